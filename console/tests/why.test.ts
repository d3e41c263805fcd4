import { expect, test } from "vitest";
import type { Signal, Source } from "../src/lib/api/types";
import en from "../src/i18n/en.json";
import { answer, why, type Around, type WhyFacts } from "../src/lib/why";

const signal = { sid: 7, name: "Pressure", source: "tep" } as Signal;
const source = (more: Partial<Source> = {}): Source => ({ id: "tep", name: "Plant", enabled: true, task: "running", link: "connected", since: 5, last_sample: 9, last_error: null, certificate: null, ...more }) as Source;
const around = (more: Partial<Around> = {}): Around => ({ from: 100, to: 200, values: 0, bad: 0, before: null, after: null, gaps: [], ...more });
const facts = (more: Partial<WhyFacts> = {}): WhyFacts => ({
  serverLost: false, silentSince: null, signal, source: source(), newest: { ts: 9, q: 0, stale: false }, range: null, ...more,
});
const told = (more: Partial<WhyFacts>): string => {
  const step = answer(why(facts(more)));
  return step ? `${step.place}.${step.says}` : "";
};
const untrusted = { trusted: false } as Source["certificate"];

test("a value that is there has a whole chain", () => {
  expect(told({})).toBe("");
  expect(why(facts()).map((s) => s.place)).toEqual(["screen", "signal", "value", "source", "machine"]);
});

test("each break is named, the nearest to the machine where several stand in a row", () => {
  expect(told({ serverLost: true, source: source({ link: "disconnected" }) })).toBe("screen.silent");
  expect(told({ signal: undefined, source: undefined })).toBe("signal.retired");
  expect(told({ newest: { ts: null, q: 0, stale: true } })).toBe("value.never");
  expect(told({ newest: { ts: 9, q: 512 + 5, stale: false } })).toBe("value.quality");
  expect(told({ newest: { ts: 9, q: 0, stale: true }, source: source({ link: "disconnected" }) })).toBe("machine.disconnected");
  expect(told({ newest: { ts: 9, q: 0, stale: true }, source: source({ enabled: false, link: "disconnected" }) })).toBe("source.off");
  expect(told({ source: source({ task: "stopped" }) })).toBe("source.stopped");
  expect(told({ source: undefined })).toBe("source.removed");
  expect(told({ source: source({ link: "refused", certificate: untrusted }) })).toBe("certificate.refused");
  expect(told({ signal: { ...signal, source: "" }, source: undefined, newest: { ts: null, q: 0, stale: true } })).toBe("value.never");
});

test("an empty range says what lies beside it", () => {
  expect(told({ range: around() })).toBe("range.never");
  expect(told({ range: around({ before: 50 }) })).toBe("range.late");
  expect(told({ range: around({ after: 250 }) })).toBe("range.early");
  expect(told({ range: around({ before: 50, after: 250 }) })).toBe("range.between");
  expect(told({ range: around({ bad: 3 }) })).toBe("range.bad");
  expect(told({ range: around({ before: 50, gaps: ["link"] }) })).toBe("range.gap");
  expect(told({ range: around({ values: 2 }) })).toBe("");
});

test("a range of the past is not explained by a link that is lost now", () => {
  expect(told({ range: around({ before: 50, after: 250 }), source: source({ link: "disconnected", last_sample: 900 }) })).toBe("range.between");
});

test("every step has its sentence", () => {
  const all = [
    facts(), facts({ source: source({ last_error: { code: "", message: "x", hint: "", at: 1 } }) }), facts({ range: around({ values: 1 }) }),
    ...(["connecting", "disconnected", "refused"] as const).map((link) => facts({ source: source({ link }) })),
  ].flatMap(why);
  for (const step of all) expect(Object.keys(en)).toContain(`why.${step.place}.${step.says}`);
});
