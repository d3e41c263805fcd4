// What there is of a signal in a range of time, and its nearest samples before and after.

import { api } from "./api/client";
import type { Micros } from "./api/types";
import { qualityClass } from "./quality";
import { tellCause } from "./tell";
import type { Around } from "./why";

export async function around(sid: number, source: string, from: Micros, to: Micros): Promise<Around> {
  const [trend, after] = await Promise.all([api.trend([sid], from, to, 100), firstAfter(sid, to)]);
  const line = trend.series[0] ?? { ts: [], v: [], q: [] };
  const inside = line.ts.map((ts, i) => ({ ts, v: line.v[i], q: line.q[i]! })).filter((p) => p.ts >= from && p.ts < to);
  const before = line.ts.find((ts) => ts < from) ?? null;
  return {
    from,
    to,
    values: inside.filter((p) => p.v !== null).length,
    bad: inside.filter((p) => p.v === null && qualityClass(p.q) === "bad").length,
    before,
    after,
    gaps: trend.gaps.filter((g) => g.source === source).map((g) => tellCause(g.cause)),
  };
}

/** The stamp of the first sample at or after a moment: a drawing in one column begins with it. */
async function firstAfter(sid: number, from: Micros): Promise<Micros | null> {
  const { last } = await api.extent([sid]);
  if (last === null || last < from) return null;
  const drawn = await api.trend([sid], from, last + 1, 1);
  return drawn.series[0]?.ts.find((ts) => ts >= from) ?? null;
}
