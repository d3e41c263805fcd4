import { expect, test } from "vitest";
import { blankSheet, handleOf, limitOf, missing, named, read, sectionOf, sheetOf, turned, type Sheet } from "../src/decisions/sheet";
import type { Loop, LoopDraft, Signal } from "../src/lib/api/types";

const signal = (sid: number, path: string, more: Partial<Signal> = {}): Signal => ({ sid, path, name: path, unit: "kPa", kind: "float", low: null, high: null, limit_low: null, limit_high: null, ...more }) as Signal;
const KNOWN = [signal(1, "a/cost", { unit: "[USD]/h" }), signal(2, "a/pressure-sp", { low: 0, high: 3000 }), signal(3, "a/pressure", { limit_high: 2800 })];
const pathOf = (sid: number): string | undefined => KNOWN.find((one) => one.sid === sid)?.path;
const signalAt = (path: string): Signal | undefined => KNOWN.find((one) => one.path === path);

function whole(): Sheet {
  return { ...blankSheet(), name: " Cost ", machine: "e/s/a/l/m", goal: 1, handles: [handleOf(KNOWN[1]!)], limits: [limitOf(KNOWN[2]!)] };
}
const keys = (sheet: Sheet): Record<string, string> => Object.fromEntries([...read(sheet, pathOf).wrong].map(([at, said]) => [at, said.key.split(".").pop()!]));

test("a handle begins with its signal's range, slowly; one without a range with nothing", () => {
  expect(handleOf(KNOWN[1]!)).toMatchObject({ low: "0", high: "3000", rate: "120", dwell: "0", moves: "60" });
  expect(handleOf(signal(9, "x", { low: 0, high: 1 / 3 })).rate).toBe("0.01333");
  expect(handleOf(KNOWN[2]!)).toMatchObject({ low: "", high: "", rate: "" });
  expect(limitOf(KNOWN[2]!)).toMatchObject({ low: "", high: "2800", backOff: "0" });
});

test("what everybody must give is asked for, and nothing else", () => {
  expect(missing(blankSheet()).map((key) => key.split("missing")[1])).toEqual(["Goal", "Name", "Machine", "Handle"]);
  expect(missing(whole())).toEqual([]);
  expect(missing({ ...whole(), by: "expression", expression: " " })).toHaveLength(1);
});

test("a whole sheet is a draft with the defaults", () => {
  const { draft, wrong } = read(whole(), pathOf);
  expect(wrong.size).toBe(0);
  expect(draft).toMatchObject({
    name: "Cost", goal: { expression: '"a/cost"', sense: "minimise", unit: "" }, handles: [{ sid: 2, low: 0, high: 3000, rate: 120, dwell_h: 0, moves_per_h: 60, unit: "" }],
    limits: [{ sid: 3, low: null, high: 2800, back_off: 0 }], period_h: 1, settle_h: 24, tolerance: 0.02, settings: {}, seed: 1, worth: { baseline: "before", per_unit: {}, move: 0 },
  });
});

test("numbers are read as people type them, and each that cannot be is said at its field", () => {
  const sheet = whole();
  sheet.handles = [{ ...sheet.handles[0]!, low: "−1,5", high: "x", rate: "0", dwell: "-1", moves: "" }];
  sheet.tolerance = "150";
  sheet.seed = "1.5";
  sheet.settings = "[1]";
  expect(keys(sheet)).toEqual({ "handles.2.high": "noNumber", "handles.2.rate": "above", "handles.2.dwell": "least", "handles.2.moves": "needed", tolerance: "most", seed: "noWhole", settings: "noJson" });
  expect(read(sheet, pathOf).draft.handles[0]!.low).toBe(-1.5);
});

test("bounds that leave nothing are said before the server must name a signal by number", () => {
  const sheet = whole();
  sheet.handles = [{ ...sheet.handles[0]!, low: "5", high: "5" }];
  sheet.limits = [{ ...sheet.limits[0]!, low: "10", high: "20", backOff: "5" }];
  sheet.locks = [{ sid: 7, low: "", high: "", unit: "" }, { sid: 8, low: "0", high: "0", unit: "" }];
  sheet.worth = [{ quantity: "t", factor: "1" }, { quantity: "t", factor: "2" }, { quantity: "", factor: "" }];
  expect(keys(sheet)).toEqual({
    "handles.2.high": "order", "limits.3.backOff": "nothingLeft", "locks.7.low": "either",
    "worth.1.quantity": "twice", "worth.2.quantity": "neededName", "worth.2.factor": "needed",
  });
});

test("a loop comes out of its form as it went in", () => {
  const draft: LoopDraft = {
    name: "Cost", machine: "e/s/a/l/m", goal: { expression: '"a/cost"', sense: "maximise", unit: "" },
    handles: [{ sid: 2, low: 0.1, high: 0.3, rate: 0.01, dwell_h: 0.5, moves_per_h: 4, unit: "kPa" }], limits: [{ sid: 3, low: null, high: 2800, back_off: 12, unit: "kPa" }],
    inputs: [3], clock: 5, period_h: 0.25, settle_h: 24, tolerance: 0.07, method: "rules", settings: { rules: [{ name: "r" }] }, seed: 4,
    conditions: { approvals: 2, answer_s: 60, fresh_s: 10, interlocks: [{ sid: 8, low: 0, high: 0 }], twins: ["t"], foresight: { twins: ["u"], sids: [3], hours: 2 } },
    remote: { wish: 6, heartbeat: 7 }, worth: { baseline: "before", per_unit: { EUR: 0.92 }, move: 3 }, enabled: false,
  };
  const loop = { ...draft, goal: { ...draft.goal, unit: "[USD]/h" } } as unknown as Loop;
  expect(read(sheetOf(loop, signalAt), pathOf).draft).toEqual(draft);
});

test("an objective in another unit than its signal's, or of more than one, stays an expression", () => {
  const loop = (expression: string, unit: string): Loop => ({ ...read(whole(), pathOf).draft, goal: { expression, sense: "minimise", unit } }) as unknown as Loop;
  const by = (one: Loop): unknown => [sheetOf(one, signalAt).by, read(sheetOf(one, signalAt), pathOf).draft.goal];
  expect(by(loop('"a/cost"', "[EUR]/h"))).toEqual(["expression", { expression: '"a/cost"', sense: "minimise", unit: "[EUR]/h" }]);
  expect(by(loop('"a/cost" * 2', "[USD]/h"))).toEqual(["expression", { expression: '"a/cost" * 2', sense: "minimise", unit: "[USD]/h" }]);
  expect([named(' "a/b" '), named('"a" + "b"')]).toEqual(["a/b", null]);
});

test("what is no longer limited is no longer foretold", () => {
  const sheet = whole();
  sheet.asked = { twins: ["t"], sids: [3, 4], hours: "1" };
  expect(read(sheet, pathOf).draft.conditions?.foresight?.sids).toEqual([3]);
});

test("rows come and go with what is chosen", () => {
  const rows = [{ sid: 1 }, { sid: 2 }];
  expect([turned(rows, 3, { sid: 3 }).length, turned(rows, 1, null)]).toEqual([3, [{ sid: 2 }]]);
});

test("a refusal stands where it belongs", () => {
  const { draft } = read(whole(), pathOf);
  const at = (code: string, message = ""): string | null => sectionOf(code, message, draft, pathOf);
  expect(["loop.range", "loop.limit", "path.levels", "expression.wrong", "rules.settings", "loop.foresight", "http.500"].map((code) => at(code))).toEqual(["handles", "limits", "machine", "goal", "method", "foresight", null]);
  expect([at("loop.writable", "'a/pressure-sp' cannot be written"), at("loop.writable", "the signal 7 of the remote control cannot be written"), at("loop.unit", "'a/pressure' is in 'kPa'")]).toEqual(["handles", "remote", "limits"]);
});
