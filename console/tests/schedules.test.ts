import { expect, test } from "vitest";
import type { Gantt } from "../src/lib/api/types";
import { HOUR } from "../src/lib/time";
import { bars, curve, firstWindow, hours, moved, offsetOf, sorted, ticks, zoomed } from "../src/schedules/schedules";

const cost = { total: 1, tardiness: 0, makespan: 1, setup: 0, late: 1 };
const chart: Gantt = {
  which: "adopted", now: 5 * HOUR, start: 0, end: 100 * HOUR, cost, method: "tabu",
  machines: [{ id: "A", name: "A", gaps: [] }, { id: "B", name: "B", gaps: [] }],
  orders: [
    { id: "W10", name: "", due: 9 * HOUR, end: 8 * HOUR, late_s: 0, weight: 1 },
    { id: "W9", name: "", due: 3 * HOUR, end: 4 * HOUR, late_s: 3600, weight: 1 },
    { id: "W1", name: "", due: null, end: 4 * HOUR, late_s: 0, weight: 1 },
  ],
  rows: {
    order: [0, 1, 2], operation: ["10", "10", "10"], machine: [0, 1, 1], start: [HOUR, 2 * HOUR, 90 * HOUR], end: [3 * HOUR, 4 * HOUR, 91 * HOUR],
    setup: [0, 1800, 0], family: ["", "", ""], state: [2, 1, 0],
  },
};

test("a long chart begins round now", () => {
  expect(firstWindow(chart)).toEqual({ from: 0, to: 35 * HOUR });
  expect(firstWindow({ ...chart, end: 20 * HOUR })).toEqual({ from: 0, to: 20 * HOUR });
});

test("zooming keeps the place, moving stays near the chart", () => {
  const w = { from: 10 * HOUR, to: 20 * HOUR };
  expect(zoomed(w, 0.5, 0.5, chart)).toEqual({ from: 12.5 * HOUR, to: 17.5 * HOUR });
  expect(zoomed(w, 0.5, 0, chart).from).toBe(10 * HOUR);
  expect(zoomed(w, 1e9, 0.5, chart).to - zoomed(w, 1e9, 0.5, chart).from).toBe(120 * HOUR);
  expect(moved(w, -100, chart)).toEqual({ from: -5 * HOUR, to: 5 * HOUR });
});

test("bars lie where their times are, only those in sight", () => {
  const found = bars(chart, { from: 0, to: 10 * HOUR }, 1000);
  expect(found.map((one) => one.index)).toEqual([0, 1]);
  expect(found[1]).toMatchObject({ line: 1, x: 200, width: 200, setup: 50, late: true, state: 1 });
});

test("ticks are round and not too near each other", () => {
  const found = ticks({ from: HOUR / 2, to: 8 * HOUR }, 800, 90, 0);
  expect(found.map((at) => at / HOUR)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("days begin at midnight of the zone", () => {
  const at = Date.UTC(2026, 11, 1, 3, 20, 7) * 1000;
  expect(offsetOf(at, "Asia/Shanghai")).toBe(8 * HOUR);
  expect(offsetOf(at, "America/New_York")).toBe(-5 * HOUR);
  expect(offsetOf(at, "UTC")).toBe(0);
});

test("the curve falls in steps", () => {
  expect(curve([], [], 10, 100, 30)).toBe("");
  expect(curve([0, 5], [20, 10], 10, 100, 30)).toBe("M0 2.0H50.0V28.0H50.0");
});

test("orders are sorted by what people ask for", () => {
  const names = (by: "late" | "due" | "id"): string[] => sorted(chart, by).map((i) => chart.orders[i]!.id);
  expect(names("late")).toEqual(["W9", "W10", "W1"]);
  expect(names("due")).toEqual(["W9", "W10", "W1"]);
  expect(names("id")).toEqual(["W1", "W9", "W10"]);
});

test("seconds are hours and minutes", () => {
  expect(hours(3900)).toBe("1:05");
  expect(hours(-90 * 60)).toBe("−1:30");
});
