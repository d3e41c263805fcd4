// Where the marks of notes stand over a plot: pure.

import type { Micros } from "../api/types";
import type { Window } from "./window";

export interface Flag {
  id: number;
  /** Pixels from the plot's left edge: the range, cut to the window. */
  left: number;
  width: number;
  /** Marks that would cover one another stand in lanes, from the top. */
  lane: number;
}

const MARK = 28;
const LANES = 4;

/** The marks of the notes that touch the window, oldest first. */
export function flags(notes: readonly { id: number; from: Micros; to: Micros }[], w: Window, px: number): Flag[] {
  const scale = px / (w.to - w.from);
  const free = new Array<number>(LANES).fill(-Infinity);
  const out: Flag[] = [];
  for (const note of [...notes].sort((a, b) => a.from - b.from || a.id - b.id)) {
    if (note.to < w.from || note.from > w.to) continue;
    const left = Math.max(0, (note.from - w.from) * scale);
    const right = Math.min(px, (note.to - w.from) * scale);
    const open = free.findIndex((end) => end <= left);
    const lane = open >= 0 ? open : free.indexOf(Math.min(...free));
    free[lane] = left + MARK;
    out.push({ id: note.id, left, width: Math.max(1, right - left), lane });
  }
  return out;
}
