import { expect, test } from "vitest";
import { gainSays, left, moves, place, room, steps } from "../src/decisions/decisions";
import type { LoopFigures, LoopHandle } from "../src/lib/api/types";

const handle = { sid: 1, low: 10, high: 20, rate: 1, dwell_h: 0, moves_per_h: 60, unit: "", now: 12, target: 12 } as LoopHandle;

test("a handle stands between its bounds, never beside its scale", () => {
  expect([place(handle, 10), place(handle, 15), place(handle, 25), place(handle, null)]).toEqual([0, 0.5, 1, null]);
});

test("a target counts as a move where it can be seen", () => {
  expect([moves(handle), moves({ ...handle, target: 12.5 }), moves({ ...handle, target: 12.0001 }), moves({ ...handle, now: null, target: 3 })]).toEqual([false, true, false, false]);
});

test("room to a limit is told in three steps, and as unknown where it is", () => {
  const told = [-0.1, 0, 2, 2.1, null].map((margin) => room({ sid: 1, low: null, high: 5, back_off: 2, unit: "", now: 3, margin }));
  expect(told).toEqual(["beyond", "near", "near", "free", "unknown"]);
});

test("seconds left are whole and never negative", () => {
  expect([left(5_500_000, 0), left(0, 9_000_000), left(null, 0)]).toEqual([6, 0, null]);
});

test("a gain is one only where its whole interval is", () => {
  const says = [[1, 3], [-3, -1], [-1, 3], [null, null]].map(([gain_low, gain_high]) => gainSays({ gain: 2, gain_low, gain_high } as LoopFigures));
  expect(says).toEqual(["gain", "loss", "open", "unknown"]);
});

test("the ladder has one step that is next", () => {
  expect(steps("advisory").map((one) => one.at)).toEqual(["passed", "here", "next", "later"]);
  expect(steps("autonomous").map((one) => one.at)).toEqual(["passed", "passed", "passed", "here"]);
});
