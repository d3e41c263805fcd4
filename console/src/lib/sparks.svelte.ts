// The last hour of many signals for sparklines: one request for all that are shown, then a point
// every five seconds from the live values, and the whole anew every five minutes.

import { untrack } from "svelte";
import { api } from "./api/client";
import type { Gap } from "./api/types";
import { catalogue } from "./catalogue.svelte";
import { live, serverNow } from "./live.svelte";
import { qualityClass } from "./quality";
import { HOUR } from "./time";
import { appendLive, breakAtGaps, trimBefore, type Line } from "./trend/lines";

const PX = 60;
const STEP_MS = 5_000;
const AGAIN_MS = 300_000;

class Spark {
  line = $state.raw<Line>({ ts: [], v: [] });
  fetched = 0;
}

const sparks = new Map<number, Spark>();
const wanted = new Map<number, number>();
let timer: ReturnType<typeof setTimeout> | undefined;
let ticking = false;
let windowEnd = $state(0);

function spark(sid: number): Spark {
  let one = sparks.get(sid);
  if (!one) {
    one = untrack(() => new Spark()); // else its first reader would not follow it
    sparks.set(sid, one);
  }
  return one;
}

export const hour = {
  line(sid: number): Line {
    return spark(sid).line;
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
        for (const one of sparks.values()) one.fetched = 0;
        soon();
      });
      live.onFact((fact) => {
        if (fact.kind !== "link.gap") return;
        for (const one of sparks.values()) one.fetched = 0;
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
  const sids = [...wanted.keys()].filter((sid) => asked - spark(sid).fetched > AGAIN_MS);
  if (!sids.length) return;
  for (const sid of sids) spark(sid).fetched = asked;
  const to = serverNow();
  try {
    const { series, gaps } = await api.trend(sids, to - HOUR, to, PX);
    windowEnd = to;
    for (const { sid, ts, v } of series) spark(sid).line = breakAtGaps({ ts, v }, gapsOf(sid, gaps));
  } catch {
    for (const sid of sids) spark(sid).fetched = asked - AGAIN_MS + 15_000;
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
    const one = spark(sid);
    const cell = live.cell(sid);
    if (cell.ts === null || !one.fetched) continue;
    const line = { ts: [...one.line.ts], v: [...one.line.v] };
    const v = qualityClass(cell.q) === "bad" ? null : cell.v;
    if (appendLive(line, cell.ts, v)) {
      trimBefore(line, now - HOUR);
      one.line = line;
    }
  }
  soon();
}
