// Comparing with an earlier period: the same signals, so much earlier, laid over the present.

import { DAY, MINUTE } from "../time";
import { parseSpan } from "../url";
import type { Line } from "./lines";
import type { Micros } from "../api/types";

export const SHIFTS = ["1h", "8h", "1d", "7d"] as const;

/** `vs=1d` of an address: how much earlier; 0 for no comparison. */
export function parseShift(text: string | undefined): Micros {
  const shift = parseSpan(text ?? "") ?? 0;
  return shift <= 3660 * DAY ? shift : 0;
}

export function shifted(line: Line, by: Micros): Line {
  return { ts: line.ts.map((t) => t + by), v: line.v };
}

/** How far the earlier period is fetched beyond the window, so that a live view need not ask anew. */
export function lead(span: Micros, shift: Micros): Micros {
  return Math.min(shift, Math.max(MINUTE, Math.round(span / 10)));
}
