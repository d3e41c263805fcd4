// The last hour of many signals for sparklines: one request for all that are shown, then a point
// every five seconds from the live values, and the whole anew every five minutes.

import { SvelteMap } from "svelte/reactivity";
import { api } from "./api/client";
import type { Gap } from "./api/types";
import { catalogue } from "./catalogue.svelte";
import { live, serverNow } from "./live.svelte";
import { qualityClass } from "./quality";
import { HOUR, MINUTE } from "./time";
import { appendLive, breakAtGaps, holdOver, trimBefore, type Line } from "./trend/lines";

const PX = 60;
const STEP_MS = 5_000;
const AGAIN_MS = 300_000;

const NONE: Line = { ts: [], v: [] };
const lines = new SvelteMap<number, Line>();
const fetched = new Map<number, number>();
const wanted = new Map<number, number>();
let timer: ReturnType<typeof setTimeout> | undefined;
let ticking = false;
let windowEnd = $state(0);
let first = $state(Infinity);

export const hour = {
  line(sid: number): Line {
    return lines.get(sid) ?? NONE;
  },
  /** The window's left end: an hour ago, or later while nothing is that old yet. */
  get start(): number {
    return Math.max(this.end - HOUR, Math.min(first, this.end - 2 * MINUTE));
  },
  /** The window's right end, the same for all. */
  get end(): number {
    return windowEnd || serverNow();
  },
  need(sids: readonly number[]): () => void {
    for (const sid of sids) wanted.set(sid, (wanted.get(sid) ?? 0) + 1);
    soon();
    if (!ticking) {
      ticking = true;
      setInterval(step, STEP_MS);
      live.onConnect(() => {
        fetched.clear();
        soon();
      });
      live.onFact((fact) => {
        if (fact.kind !== "link.gap") return;
        fetched.clear();
        soon();
      });
    }
    return () => {
      for (const sid of sids) {
        const n = (wanted.get(sid) ?? 1) - 1;
        if (n > 0) wanted.set(sid, n);
        else wanted.delete(sid);
      }
    };
  },
};

function soon(): void {
  timer ??= setTimeout(() => {
    timer = undefined;
    void fetchMissing();
  }, 60);
}

async function fetchMissing(): Promise<void> {
  const asked = Date.now();
  const sids = [...wanted.keys()].filter((sid) => asked - (fetched.get(sid) ?? 0) > AGAIN_MS);
  if (!sids.length) return;
  for (const sid of sids) fetched.set(sid, asked);
  const to = serverNow();
  try {
    // While the history is young its pixels are spent on what there is.
    if (first === Infinity) first = (await api.extent(sids)).first ?? Infinity;
    const from = Math.max(to - HOUR, Math.min(first, to - 2 * MINUTE));
    const { series, gaps } = await api.trend(sids, from, to, PX);
    windowEnd = to;
    const silence = Math.max(10_000_000, ((to - from) / PX) * 2);
    for (const { sid, ts, v } of series) {
      const own = gapsOf(sid, gaps);
      lines.set(sid, breakAtGaps(holdOver(breakAtGaps({ ts, v }, own), silence), own));
    }
  } catch {
    for (const sid of sids) fetched.set(sid, asked - AGAIN_MS + 15_000);
  }
}

function gapsOf(sid: number, gaps: Gap[]): Gap[] {
  const source = catalogue.signal(sid)?.source;
  return gaps.filter((gap) => gap.source === source);
}

function step(): void {
  if (document.hidden) return;
  const now = serverNow();
  windowEnd = now;
  for (const sid of wanted.keys()) {
    const cell = live.cell(sid);
    const before = lines.get(sid);
    if (cell.ts === null || !before) continue;
    const line = { ts: [...before.ts], v: [...before.v] };
    const v = qualityClass(cell.q) === "bad" ? null : cell.v;
    if (appendLive(line, cell.ts, v)) {
      trimBefore(line, now - HOUR);
      lines.set(sid, line);
    }
  }
  soon();
}
