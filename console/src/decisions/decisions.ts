// What the page Decisions reckons: where a handle stands, how near a limit is, what a gain is.

import type { LoopFigures, LoopHandle, LoopLimit, LoopMode, Micros } from "../lib/api/types";

export const MODES: readonly LoopMode[] = ["shadow", "advisory", "supervised", "autonomous"];

/** Where a value lies between a handle's bounds, 0 to 1; null where it is not known. */
export function place(handle: Pick<LoopHandle, "low" | "high">, v: number | null | undefined): number | null {
  if (v === null || v === undefined) return null;
  return Math.min(1, Math.max(0, (v - handle.low) / (handle.high - handle.low)));
}

/** Whether a proposal moves a handle by more than what its figures show. */
export function moves(handle: LoopHandle): boolean {
  const { now, target } = handle;
  return now !== null && now !== undefined && target !== null && target !== undefined && Math.abs(target - now) > 1e-4 * (handle.high - handle.low);
}

/** How much room a limited signal has: beyond its limit, inside the distance that the loop keeps, or free. */
export function room(limit: LoopLimit): "unknown" | "beyond" | "near" | "free" {
  const { margin } = limit;
  if (margin === null || margin === undefined) return "unknown";
  if (margin < 0) return "beyond";
  return margin <= (limit.back_off ?? 0) ? "near" : "free";
}

/** Whole seconds until a proposal expires; null where it does not wait. */
export function left(expires: Micros | null, now: Micros): number | null {
  return expires === null ? null : Math.max(0, Math.ceil((expires - now) / 1e6));
}

/** What can be said of a gain: nothing yet, that it is a gain or a loss, or that zero is possible. */
export function gainSays(f: LoopFigures): "unknown" | "gain" | "loss" | "open" {
  const [low, high] = [f.gain_low, f.gain_high];
  if (f.gain === null || f.gain === undefined || low === null || low === undefined || high === null || high === undefined) return "unknown";
  return low > 0 ? "gain" : high < 0 ? "loss" : "open";
}

/** The steps of a ladder as they are drawn: passed, here, next, or later. */
export function steps(mode: LoopMode): { mode: LoopMode; at: "passed" | "here" | "next" | "later" }[] {
  const here = MODES.indexOf(mode);
  return MODES.map((one, i) => ({ mode: one, at: i < here ? "passed" : i === here ? "here" : i === here + 1 ? "next" : "later" }));
}
