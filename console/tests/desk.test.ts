import { expect, test } from "vitest";
import { filtered, inSight, scrollTo, sorted, textOf, typedNumber } from "../src/desk/table";
import type { Signal } from "../src/lib/api/types";
import { DAY, HOUR } from "../src/lib/time";
import { lead, parseShift, shifted } from "../src/lib/trend/compare";
import { flags } from "../src/lib/trend/flags";

const signal = (sid: number, more: Partial<Signal> = {}): Signal => ({
  sid, path: `a/b/c/d/m/s${sid}`, name: `S ${sid}`, kind: "float", unit: "kPa", unit_note: "", low: 0, high: 1, limit_low: null, limit_high: null,
  period_ms: null, source: "s", writable: false, decimals: null, description: "", revision: 1, declared: {}, ...more,
});
const ANY = { typed: "", source: "", unit: null, state: "" } as const;

test("rows pass by words, source, unit and state", () => {
  const list = [signal(1), signal(2, { unit: "", source: "t" }), signal(3, { declared: { name: "x" }, limit_high: 5, unit: "odd", unit_note: "?" })];
  const texts = list.map(textOf);
  const pass = (filter: object, away: string[] = []): number[] => filtered(list, texts, [0, 1, 2], { ...ANY, ...filter }, new Set(away)).map((s) => s.sid);
  expect(pass({})).toEqual([1, 2, 3]);
  expect(pass({ typed: "M/S s3" })).toEqual([3]);
  expect(pass({ unit: "" })).toEqual([2]);
  expect(pass({ source: "t" })).toEqual([2]);
  expect(pass({ state: "edited" })).toEqual([3]);
  expect(pass({ state: "unit" })).toEqual([2, 3]);
  expect(pass({ state: "limits" })).toEqual([1, 2]);
  expect(pass({ state: "away" }, ["t"])).toEqual([2]);
});

test("rows are sorted both ways, the unknown last, equal ones by path", () => {
  const list = [signal(1, { limit_low: 5 }), signal(2), signal(3, { limit_high: 2 }), signal(4, { limit_low: 5 })];
  expect(sorted(list, "limits", false)).toEqual([2, 0, 3, 1]);
  expect(sorted(list, "limits", true)).toEqual([0, 3, 2, 1]);
  expect(sorted(list, "path", true)).toEqual([3, 2, 1, 0]);
});

test("only the rows in sight are drawn", () => {
  expect(inSight(0, 340, 34, 100_000)).toEqual({ first: 0, count: 16 });
  expect(inSight(34_000, 340, 34, 100_000)).toEqual({ first: 994, count: 22 });
  expect(inSight(1e9, 340, 34, 10)).toEqual({ first: 4, count: 6 });
  expect(inSight(0, 340, 34, 0)).toEqual({ first: 0, count: 0 });
  expect(scrollTo(3, 200, 340, 34)).toBe(102);
  expect(scrollTo(20, 0, 340, 34)).toBe(374);
  expect(scrollTo(5, 100, 340, 34)).toBe(100);
});

test("numbers as people type them", () => {
  expect(["", "1,5", "−2", "1e3", "x", "1.2.3"].map(typedNumber)).toEqual([null, 1.5, -2, 1000, NaN, NaN]);
});

test("a period to compare with comes from the address and is moved into the window", () => {
  expect([parseShift("1d"), parseShift("3h"), parseShift("x"), parseShift(undefined), parseShift("99999d")]).toEqual([DAY, 3 * HOUR, 0, 0, 0]);
  expect(shifted({ ts: [1, 2], v: [5, null] }, 10)).toEqual({ ts: [11, 12], v: [5, null] });
  expect(lead(100 * HOUR, DAY)).toBe(10 * HOUR);
  expect(lead(HOUR, 1000)).toBe(1000);
});

test("marks of notes are cut to the window and do not cover one another", () => {
  const w = { from: 0, to: 1000 };
  expect(flags([{ id: 1, from: -50, to: 100 }, { id: 2, from: 10, to: 20 }, { id: 3, from: 2000, to: 3000 }], w, 1000)).toEqual([
    { id: 1, left: 0, width: 100, lane: 0 }, { id: 2, left: 10, width: 10, lane: 1 },
  ]);
});
