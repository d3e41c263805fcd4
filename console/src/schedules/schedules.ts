// Schedules without their picture: windows of time, ticks, bars, the curve of a search. Pure.

import type { Gantt, Micros } from "../lib/api/types";
import { DAY, formatTime, HOUR, MINUTE } from "../lib/time";

export interface Window {
  from: Micros;
  to: Micros;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 10_080, 43_200].map((m) => m * MINUTE);
const SHORTEST = 10 * MINUTE;

/** What a chart shows at first: all there is, or a day round now where that is longer. */
export function firstWindow(chart: Gantt): Window {
  if (chart.end - chart.start <= 2 * DAY || chart.now < chart.start || chart.now > chart.end) return { from: chart.start, to: chart.end };
  return { from: Math.max(chart.start, chart.now - 6 * HOUR), to: Math.min(chart.end, chart.now + 30 * HOUR) };
}

/** A window grown (factor above 1) or shrunk round a place in it (0 left, 1 right), kept near the chart. */
export function zoomed(w: Window, factor: number, at: number, chart: { start: Micros; end: Micros }): Window {
  const whole = Math.max(chart.end - chart.start, SHORTEST);
  const size = Math.min(Math.max((w.to - w.from) * factor, SHORTEST), whole * 1.2);
  return moved({ from: w.from + (w.to - w.from - size) * at, to: w.from + (w.to - w.from - size) * at + size }, 0, chart);
}

/** A window moved by a share of its size, its middle never outside the chart. */
export function moved(w: Window, share: number, chart: { start: Micros; end: Micros }): Window {
  const size = w.to - w.from;
  const middle = Math.min(Math.max((w.from + w.to) / 2 + share * size, chart.start), chart.end);
  return { from: Math.round(middle - size / 2), to: Math.round(middle + size / 2) };
}

/** How far the clocks of a zone are before those of UTC at a moment. */
export function offsetOf(at: Micros, zone: string): Micros {
  const minute = Math.floor(at / MINUTE) * MINUTE;
  return Date.parse(`${formatTime(minute, "full", "en", zone).replace(" ", "T")}Z`) * 1000 - minute;
}

/** Round times in a window, about one every `gap` pixels of `width`; days begin at midnight of the zone. */
export function ticks(w: Window, width: number, gap: number, offset: Micros): Micros[] {
  const least = ((w.to - w.from) * gap) / Math.max(width, 1);
  const step = STEPS.find((s) => s >= least) ?? STEPS.at(-1)!;
  const found: Micros[] = [];
  for (let at = Math.ceil((w.from + offset) / step) * step - offset; at <= w.to; at += step) found.push(at);
  return found;
}

export interface Bar {
  index: number;
  line: number;
  x: number;
  width: number;
  setup: number;
  late: boolean;
  state: 0 | 1 | 2;
}

/** The bars that lie in a window, in pixels of `width`; `setup` is the width of the set-up before. */
export function bars(chart: Gantt, w: Window, width: number): Bar[] {
  const { rows, orders } = chart;
  const scale = width / (w.to - w.from);
  const out: Bar[] = [];
  for (let i = 0; i < rows.start.length; i += 1) {
    const start = rows.start[i]!;
    const end = rows.end[i]!;
    const setup = rows.setup[i]! * 1e6;
    if (end < w.from || start - setup > w.to) continue;
    out.push({
      index: i,
      line: rows.machine[i]!,
      x: (start - w.from) * scale,
      width: Math.max((end - start) * scale, 1),
      setup: setup * scale,
      late: orders[rows.order[i]!]!.late_s > 0,
      state: rows.state[i] as 0 | 1 | 2,
    });
  }
  return out;
}

/** The steps of a falling cost as an SVG path in a box, from 0 to `seconds`; empty where there is none. */
export function curve(at: readonly number[], cost: readonly number[], seconds: number, width: number, height: number): string {
  if (!at.length) return "";
  const high = Math.max(...cost);
  const low = Math.min(...cost);
  const y = (c: number): string => (high > low ? 2 + ((high - c) / (high - low)) * (height - 4) : height / 2).toFixed(1);
  const x = (s: number): string => Math.min((s / Math.max(seconds, 1e-9)) * width, width).toFixed(1);
  let path = `M0 ${y(cost[0]!)}`;
  for (let i = 1; i < at.length; i += 1) path += `H${x(at[i]!)}V${y(cost[i]!)}`;
  return `${path}H${x(at.at(-1)!)}`;
}

/** Seconds as hours and minutes: 3:05. */
export function hours(s: number): string {
  const minutes = Math.round(Math.abs(s) / 60);
  return `${s < 0 ? "−" : ""}${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
}

export type Sort = "late" | "due" | "id";

/** The places of the orders in a list: the latest first, by due date, or by name. */
export function sorted(chart: Gantt, by: Sort): number[] {
  const { orders } = chart;
  const name = (a: number, b: number): number => orders[a]!.id.localeCompare(orders[b]!.id, "en", { numeric: true });
  const due = (i: number): number => orders[i]!.due ?? Infinity;
  const places = orders.map((_, i) => i);
  if (by === "late") return places.sort((a, b) => orders[b]!.late_s - orders[a]!.late_s || due(a) - due(b) || name(a, b));
  if (by === "due") return places.sort((a, b) => due(a) - due(b) || name(a, b));
  return places.sort(name);
}
