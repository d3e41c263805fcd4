import { expect, test } from "vitest";
import type { Twin, WhatIfAnswer } from "../src/lib/api/types";
import { drawn, figure, fleet, futuresText, margin, originOf, parseFutures, portsOf, residual, secondsText, typedSeconds } from "../src/twins/twins";

const twin = (name: string, state: Twin["state"], score: number | null): Twin => ({ name, machine: `plant/${name}`, behaviour: "lag", state, score }) as Twin;

test("the fleet comes by score, then what has none yet, and is filtered by every word", () => {
  const all = [twin("off", "disabled", null), twin("near", "running", 0.2), twin("still", "waiting", null), twin("far", "running", 4), twin("young", "untaught", null)];
  expect(fleet(all, "").map((one) => one.name)).toEqual(["far", "near", "young", "still", "off"]);
  expect(fleet(all, "PLANT lag far").map((one) => one.name)).toEqual(["far"]);
  expect(fleet(all, "far near")).toEqual([]);
});

test("figures keep four digits that count", () => {
  expect(figure(0.00123456, "en")).toBe("0.001235");
  expect(figure(-41234.5, "en")).toBe("−41,230");
  expect(figure(3e9, "en")).toBe("3E9");
  expect(figure(NaN, "en")).toBe("–");
});

test("a figure's margin and origin", () => {
  expect(margin({ value: 1, sigma: 0.5, is_set: false })).toBeCloseTo(0.98);
  expect(margin({ value: 1, sigma: null, is_set: false })).toBeNull();
  expect([undefined, { value: 1, sigma: null, is_set: true }, { value: 1, sigma: 1, is_set: false }, { value: 1, is_set: false }].map(originOf)).toEqual(["default", "set", "fitted", "untold"]);
});

test("a residual is taken at shared stamps; a break stays a break", () => {
  const found = residual({ ts: [1, 2, 3, 4], v: [10, null, 12, 13] }, { ts: [1, 2, 3], v: [9, 9, 10] });
  expect(found).toEqual({ ts: [1, 2, 3], v: [1, null, 2] });
});

test("a residual of lines that share no stamp is taken against the line between", () => {
  expect(residual({ ts: [15], v: [4] }, { ts: [10, 20], v: [1, 3] })).toEqual({ ts: [15], v: [2] });
});

test("futures come back from an address as they went in", () => {
  const futures = [{ name: "as it is", changes: [] }, { name: "full: now", changes: [{ sid: 3, at_s: 60, value: -1.5, ramp_s: 0 }] }];
  expect(parseFutures(futuresText(futures))).toEqual(futures);
  expect(parseFutures("x!nonsense!0:1:2:3")).toEqual([{ name: "x", changes: [] }]);
});

test("seconds are read and written in one form", () => {
  expect(["90", "15m", "8h", "1,5d", "", "soon", "-1"].map(typedSeconds)).toEqual([90, 900, 28_800, 129_600, null, null, null]);
  expect([0, 90, 900, 28_800].map(secondsText)).toEqual(["0s", "90s", "15m", "8h"]);
});

test("an answer is drawn in wall time, the plant running sixty times as fast", () => {
  const band = { twin: "a", output: "level", sid: 1, low: [0, 1], middle: [1, 2], high: [2, 3] };
  const answer = { at: 1_000_000, times: [0, 60], futures: [{ name: "x", outputs: [band] }] } as WhatIfAnswer;
  const { lines, fans } = drawn(answer, "a", "level", { ts: [1], v: [1] }, 60);
  expect(lines.map((line) => line.ts)).toEqual([[1], ...Array(3).fill([1_000_000, 2_000_000])]);
  expect(fans).toEqual([[3, 1]]);
});

test("a refusal over units names its port", () => {
  const behaviour = { inputs: [{ name: "inflow", unit: "m3/h" }], outputs: [{ name: "level", unit: "m" }] } as never;
  expect(portsOf("values in 'Cel' cannot be converted to 'm'", behaviour, { inflow: 1, level: 2 }, (sid) => (sid === 2 ? "Cel" : "m3/h"))).toEqual(["level"]);
});
