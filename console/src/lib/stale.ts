// When is a value stale? One rule for every place that shows a value.
//
// - The server or the value's source is not connected: at once.
// - The period is known: after three periods.
// - The period is not known, or the value is one that people write (a set-point): such a value is
//   reported only when it changes, so what counts is the source's last sign of life: after 10 s.
//
// Age is counted from the stamp, but never more than the time since the value arrived live: a
// machine with a wrong clock is not stale while it reports.

import type { Link, Micros } from "./api/types";

export const UNKNOWN_PERIOD_US = 10_000_000;
export const PERIODS = 3;

export interface Freshness {
  ts: Micros;
  /** When the value came in over the live stream (server time); null for a value read at start. */
  arrived: Micros | null;
  period_ms: number | null;
  writable: boolean;
  link: Link | null;
  sourceLast: Micros | null;
}

export function isStale(f: Freshness, now: Micros, serverLost: boolean): boolean {
  if (serverLost || (f.link !== null && f.link !== "connected")) return true;
  const age = Math.min(now - f.ts, f.arrived === null ? Infinity : now - f.arrived);
  if (f.period_ms !== null && f.period_ms > 0 && !f.writable) {
    // A period below the 10-Hz rhythm of the live stream cannot be seen through it.
    return age >= PERIODS * Math.max(f.period_ms, 500) * 1000;
  }
  const life = f.sourceLast === null ? age : Math.min(age, now - f.sourceLast);
  return life >= UNKNOWN_PERIOD_US;
}
