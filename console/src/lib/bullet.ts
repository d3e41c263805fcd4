// Where things lie on a bullet indicator: the scale is the engineering range, or the normal limits
// with a margin where the range is far wider, so that the normal band can be seen.

import type { Signal } from "./api/types";

export type Limits = Pick<Signal, "low" | "high" | "limit_low" | "limit_high">;

export interface BulletScale {
  low: number;
  high: number;
  bandLow: number;
  bandHigh: number;
}

export function bulletScale(s: Limits): BulletScale | null {
  const { low, high, limit_low: a, limit_high: b } = s;
  if (a !== null && b !== null && b > a) {
    const margin = (b - a) * 0.5;
    return {
      low: low === null ? a - margin : Math.max(low, a - margin),
      high: high === null ? b + margin : Math.min(high, b + margin),
      bandLow: a,
      bandHigh: b,
    };
  }
  if (low === null || high === null || high <= low) return null;
  return { low, high, bandLow: a ?? low, bandHigh: b ?? high };
}

/** 0 to 1, clamped to the scale. */
export function along(scale: BulletScale, v: number): number {
  return Math.min(1, Math.max(0, (v - scale.low) / (scale.high - scale.low)));
}

export type Beyond = "high" | "low" | null;

/** Which normal limit the value has left. */
export function beyond(s: Limits, v: number | null): Beyond {
  if (v === null) return null;
  if (s.limit_high !== null && v > s.limit_high) return "high";
  if (s.limit_low !== null && v < s.limit_low) return "low";
  return null;
}
