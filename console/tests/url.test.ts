import { expect, test } from "vitest";
import { buildHash, isoMicros, parseHash, parseIso, parseRange, parseSids, parseSpan, rangeQuery, spanText } from "../src/lib/url";

test("an address survives the way there and back", () => {
  const cases: [string[], Record<string, string>][] = [
    [[], {}],
    [["plant", "tep", "reactor"], { v: "7" }],
    [["sources", "Ofen 1/äöü"], {}],
    [["trends"], { s: "3,4", from: "2026-01-02T03:04:05.000006Z", to: "2026-01-02T04:00:00Z" }],
    [["x"], { q: "a=b&c?#%" }],
  ];
  for (const [path, query] of cases) {
    const expected = path[1]?.includes("/") ? [path[0], ...path[1].split("/")] : path;
    expect(parseHash(buildHash(path, query))).toEqual({ path: expected, query });
  }
});

test("times are exact to the microsecond", () => {
  for (const us of [0, 1, 1_700_000_000_000_001, 1_700_000_000_123_400, 1_700_000_000_000_000]) {
    expect(parseIso(isoMicros(us))).toBe(us);
  }
  for (const bad of ["", "2026-01-02", "2026-01-02T03:04:05", "nonsense", "2026-13-02T03:04:05Z"]) {
    expect(parseIso(bad)).toBeNull();
  }
});

test("ranges come back as they were, nonsense as the default", () => {
  const ranges = [
    { kind: "last", span: 300_000_000 }, { kind: "last", span: 7 * 86_400_000_000 }, { kind: "all" },
    { kind: "fixed", from: 1_700_000_000_000_001, to: 1_700_000_100_000_000 },
  ] as const;
  for (const range of ranges) {
    const query = Object.fromEntries(Object.entries(rangeQuery(range)).filter(([, v]) => v !== null)) as Record<string, string>;
    expect(parseRange(query)).toEqual(range);
  }
  const wrong = { from: "2026-01-02T04:00:00Z", to: "2026-01-02T03:00:00Z" };
  expect(parseRange(wrong)).toEqual({ kind: "last", span: 3_600_000_000 });
});

test("spans are short words", () => {
  expect(parseSpan("8h")).toBe(8 * 3_600_000_000);
  expect(parseSpan("8 h")).toBeNull();
  expect(spanText(5 * 60_000_000)).toBe("5m");
  expect(spanText(86_400_000_000)).toBe("1d");
  expect(spanText(90_000_000)).toBe("90s");
});

test("signal ids are distinct and positive", () => {
  expect(parseSids("3,4,3,x,-1,0,17")).toEqual([3, 4, 17]);
  expect(parseSids(undefined)).toEqual([]);
});
