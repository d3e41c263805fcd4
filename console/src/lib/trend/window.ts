// Moving about in time: zoom, pan, and the texts of a time axis.

import { DAY, HOUR, MINUTE, SECOND } from "../time";
import type { Micros } from "../api/types";

export interface Window {
  from: Micros;
  to: Micros;
}

export const MIN_SPAN = 20_000;
export const MAX_SPAN = 40 * 365 * DAY;

/** Zooms by `factor` (below 1: closer) and keeps the moment at `at` where it is. */
export function zoom(w: Window, factor: number, at: Micros = (w.from + w.to) / 2): Window {
  const span = Math.min(MAX_SPAN, Math.max(MIN_SPAN, (w.to - w.from) * factor));
  const share = (at - w.from) / (w.to - w.from);
  const from = Math.round(at - span * share);
  return { from, to: Math.round(from + span) };
}

/** Shifts by a share of the span, never further than just past the present. */
export function pan(w: Window, share: number, now: Micros): Window {
  const span = w.to - w.from;
  const shift = Math.min(span * share, now + span * 0.05 - w.to);
  return { from: Math.round(w.from + shift), to: Math.round(w.to + shift) };
}

export type AxisStyle = "fine" | "time" | "minute" | "day" | "month" | "year";

/** How the ticks of an axis are written, from the distance between two of them. */
export function axisStyle(step: Micros): AxisStyle {
  if (step < SECOND) return "fine";
  if (step < MINUTE) return "time";
  if (step < DAY) return "minute";
  if (step < 27 * DAY) return "day";
  return step < 360 * DAY ? "month" : "year";
}

export const PRESETS = [
  { key: "5m", span: 5 * MINUTE },
  { key: "1h", span: HOUR },
  { key: "8h", span: 8 * HOUR },
  { key: "1d", span: DAY },
  { key: "7d", span: 7 * DAY },
] as const;
