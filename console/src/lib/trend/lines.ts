// Trend data between the server and the plot: pure, so that every rule can be tested.
//
// - A line is drawn between two samples only where nothing is known to be missing: a declared gap
//   and a bad value break it (null).
// - A machine that reports changes only has said "unchanged" by its silence: over a silence longer
//   than three periods the last value holds and then jumps; it is never a slope.
// - Live values are appended in stamp order; what is already there is not added again.

import type { Gap, Micros } from "../api/types";

export interface Line {
  ts: Micros[];
  v: (number | null)[];
}

export type Aligned = [xs: number[], ...ys: (number | null | undefined)[][]];

/** Adds a live sample. False where the line has this stamp already. */
export function appendLive(line: Line, ts: Micros, v: number | null): boolean {
  const { ts: stamps } = line;
  let at = stamps.length;
  while (at > 0 && stamps[at - 1]! > ts) at -= 1;
  if (at > 0 && stamps[at - 1] === ts) {
    if (line.v[at - 1] === v) return false;
    line.v[at - 1] = v;
    return true;
  }
  if (at === stamps.length) {
    stamps.push(ts);
    line.v.push(v);
  } else {
    stamps.splice(at, 0, ts);
    line.v.splice(at, 0, v);
  }
  return true;
}

/** Drops what lies before `from`, but keeps one sample, so that the line enters the picture. */
export function trimBefore(line: Line, from: Micros): void {
  let n = 0;
  while (n + 1 < line.ts.length && line.ts[n + 1]! < from) n += 1;
  if (n > 0) {
    line.ts.splice(0, n);
    line.v.splice(0, n);
  }
}

/**
 * A copy with a null in every gap that lies within the line: where the gap leaves it silent longest,
 * because a declared gap may begin a moment before the last sample or end a moment after the next.
 */
export function breakAtGaps(line: Line, gaps: readonly Pick<Gap, "from" | "to">[]): Line {
  const { ts, v } = line;
  const cuts = new Set<number>();
  for (const { from, to } of gaps) {
    let longest = 0;
    let at = -1;
    for (let i = Math.max(1, firstAfter(ts, from)); i < ts.length && ts[i - 1]! < to; i += 1) {
      const silent = Math.min(ts[i]!, to) - Math.max(ts[i - 1]!, from);
      if (silent > longest) [longest, at] = [silent, i];
    }
    const cut = at > 0 ? Math.max(ts[at - 1]!, from) + 1 : 0;
    if (at > 0 && cut < ts[at]!) cuts.add(cut);
  }
  if (!cuts.size) return line;
  const out: Line = { ts: [], v: [] };
  const order = [...cuts].sort((a, b) => a - b);
  let next = 0;
  for (let i = 0; i < ts.length; i += 1) {
    for (; next < order.length && order[next]! < ts[i]!; next += 1) {
      out.ts.push(order[next]!);
      out.v.push(null);
    }
    out.ts.push(ts[i]!);
    out.v.push(v[i]!);
  }
  return out;
}

/** The number of the first stamp after a moment. */
function firstAfter(ts: readonly Micros[], at: Micros): number {
  let low = 0;
  let high = ts.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (ts[mid]! <= at) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** A copy in which a value holds over every silence longer than `silence`. */
export function holdOver(line: Line, silence: Micros): Line {
  const out: Line = { ts: [], v: [] };
  for (let i = 0; i < line.ts.length; i += 1) {
    const t = line.ts[i]!;
    const before = out.v[out.v.length - 1];
    const last = out.ts[out.ts.length - 1];
    if (last !== undefined && before !== null && before !== undefined && t - last > silence) {
      out.ts.push(t - 1);
      out.v.push(before);
    }
    out.ts.push(t);
    out.v.push(line.v[i]!);
  }
  return out;
}

/**
 * Lines on one time axis, in seconds. Undefined where a line has no sample at another's stamp (it
 * runs on), null where it is broken.
 */
export function align(lines: readonly Line[]): Aligned {
  const all = new Set<number>();
  for (const line of lines) for (const t of line.ts) all.add(t);
  const stamps = Float64Array.from(all).sort();
  const columns = lines.map((line) => {
    const column = new Array<number | null | undefined>(stamps.length);
    let at = 0;
    for (let i = 0; i < line.ts.length; i += 1) {
      while (stamps[at]! < line.ts[i]!) at += 1;
      column[at] = line.v[i];
    }
    return column;
  });
  return [Array.from(stamps, (t) => t / 1e6), ...columns];
}

export interface Band {
  from: Micros;
  to: Micros;
  gaps: Gap[];
}

/** Gaps as bands to shade: overlapping ones joined, cut to the window, empty ones left out. */
export function bands(gaps: readonly Gap[], from: Micros, to: Micros): Band[] {
  const out: Band[] = [];
  for (const gap of [...gaps].sort((a, b) => a.from - b.from)) {
    const a = Math.max(gap.from, from);
    const b = Math.min(gap.to, to);
    if (b <= a) continue;
    const last = out[out.length - 1];
    if (last && a <= last.to) {
      last.to = Math.max(last.to, b);
      last.gaps.push(gap);
    } else {
      out.push({ from: a, to: b, gaps: [gap] });
    }
  }
  return out;
}

export function bandAt(list: readonly Band[], at: Micros): Band | null {
  return list.find((band) => band.from <= at && at <= band.to) ?? null;
}

/** The sample that holds at a moment: the newest at or before it. Null in a break. */
export function valueAt(line: Line, at: Micros): { ts: Micros; v: number | null } | null {
  const next = firstAfter(line.ts, at);
  return next ? { ts: line.ts[next - 1]!, v: line.v[next - 1]! } : null;
}
