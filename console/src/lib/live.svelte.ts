// One live stream a tab. It carries the union of what the views need, is read with `fetch` so that
// the server's beat can be seen, resumes by event id, and hands values over in one drawing step per
// animation frame.

import { flushSync } from "svelte";
import { SvelteMap } from "svelte/reactivity";
import { api, BASE } from "./api/client";
import type { Fact, LiveValues, Micros, Source } from "./api/types";
import { EventParser } from "./sse";

const SILENCE_MS = 2_200; // then the server is called lost (three seconds at most, with the check)
const DEAD_MS = 6_000; // then the connection is opened anew
const RETRY_MS = [200, 400, 800, 1_500];
const MAX_SIDS = 2_000;

/** The last value of a signal; another object with every change. */
export interface Cell {
  readonly v: number | null;
  readonly s: string | null;
  readonly q: number;
  readonly ts: Micros | null;
  readonly seq: number;
  /** When it came in over the stream (server time); null for a value read at the start. */
  readonly arrived: Micros | null;
}

const EMPTY: Cell = { v: null, s: null, q: 0, ts: null, seq: 0, arrived: null };

interface Drawn {
  v: number | string | null;
  ts: Micros;
  at: number;
}

/** What tests and benches read; it costs one object a drawn value. */
export const probe = {
  draws: 0,
  lastEventAt: 0,
  lastSeq: 0,
  drawn: {} as Record<number, Drawn>,
};

declare global {
  interface Window {
    __lineshaft: typeof probe;
  }
}

const state = $state({
  lost: false,
  lostSince: 0,
  connected: false,
  seq: 0,
  stored: 0,
  now: Date.now() * 1000,
});

const cells = new SvelteMap<number, Cell>();
const wanted = new Map<number, number>();
const factListeners = new Set<(fact: Fact) => void>();
const sourceListeners = new Set<(sources: Source[]) => void>();
const valueListeners = new Set<(values: LiveValues) => void>();
const connectListeners = new Set<(widened: boolean) => void>();

let offsetUs = 0;
let lastByte = performance.now();
let running: { abort: AbortController; sids: string; byte: number } | null = null;
let lastId: { id: string; sids: string } | null = null;
let started = false;
let changeTimer: ReturnType<typeof setTimeout> | undefined;
let waiting: { values: LiveValues; snapshot: boolean }[] = [];
let frame = 0;

export const live = {
  /** No sign of life from the server for more than 2.2 s. */
  get lost(): boolean {
    return state.lost;
  },
  get lostSince(): number {
    return state.lostSince;
  },
  get connected(): boolean {
    return state.connected;
  },
  /** Position of the newest event seen, and up to where samples are on disk. */
  get seq(): number {
    return state.seq;
  },
  get stored(): number {
    return state.stored;
  },
  /** The server's time, ticking twice a second. */
  get now(): Micros {
    return state.now;
  },
  cell(sid: number): Cell {
    return cells.get(sid) ?? EMPTY;
  },
  /** Asks for signals while a view shows them; call the result when it no longer does. */
  need(sids: readonly number[]): () => void {
    for (const sid of sids) wanted.set(sid, (wanted.get(sid) ?? 0) + 1);
    changed();
    return () => {
      for (const sid of sids) {
        const n = (wanted.get(sid) ?? 1) - 1;
        if (n > 0) wanted.set(sid, n);
        else wanted.delete(sid);
      }
      changed();
    };
  },
  onFact: (act: (fact: Fact) => void) => listen(factListeners, act),
  onSources: (act: (sources: Source[]) => void) => listen(sourceListeners, act),
  onValues: (act: (values: LiveValues) => void) => listen(valueListeners, act),
  /** Called whenever the stream has (re)opened; `widened`: only to carry other signals. */
  onConnect: (act: (widened: boolean) => void) => listen(connectListeners, act),
  start(): void {
    if (started) return;
    started = true;
    window.__lineshaft = probe;
    lastByte = performance.now();
    setInterval(watch, 250);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) watch();
    });
    void open();
  },
  stop(): void {
    started = false;
    running?.abort.abort();
    running = null;
    state.connected = false;
  },
};

/** The server's time now, not quantised. */
export function serverNow(): Micros {
  return Date.now() * 1000 + offsetUs;
}

/** Learns the distance between the server's clock and the browser's. */
export function syncClock(serverTime: Micros, askedAt: number, answeredAt: number): void {
  offsetUs = serverTime - ((askedAt + answeredAt) / 2) * 1000;
  state.now = serverNow();
}

function listen<T>(set: Set<T>, act: T): () => void {
  set.add(act);
  return () => void set.delete(act);
}

// Views come and go in groups; one reconnection for all of them, and none where the stream that is
// open carries everything already.
function changed(): void {
  if (!started || changeTimer !== undefined) return;
  changeTimer = setTimeout(() => {
    changeTimer = undefined;
    const have = new Set(running?.sids.split(",").map(Number));
    const missing = [...wanted.keys()].some((sid) => !have.has(sid));
    if (missing || have.size > wanted.size * 2 + 200) void open();
  }, 40);
}

async function open(tries = 0): Promise<void> {
  if (!started) return;
  const sids = [...wanted.keys()].sort((a, b) => a - b).slice(0, MAX_SIDS).join(",");
  const before = running;
  const widened = state.connected && !state.lost;
  const mine = { abort: new AbortController(), sids, byte: performance.now() };
  running = mine;
  try {
    const resume = lastId && lastId.sids === sids ? lastId.id : null;
    const answer = await fetch(`${BASE}/live?sid=${sids}`, {
      headers: { Accept: "text/event-stream", ...(resume ? { "Last-Event-ID": resume } : {}) },
      credentials: "same-origin",
      cache: "no-store",
      signal: mine.abort.signal,
    });
    if (answer.status === 401) {
      live.stop();
      await api.session().catch(() => undefined);
      location.hash = "#/sign-in";
      return;
    }
    if (!answer.ok || !answer.body) throw new Error(`live: HTTP ${answer.status}`);
    before?.abort.abort();
    alive(mine);
    state.connected = true;
    for (const act of connectListeners) act(widened);
    void askClock();
    tries = 0;
    await read(answer.body, mine);
  } catch {
    // Whatever ended the stream: the rule below opens the next one.
  }
  if (running !== mine || !started) return;
  state.connected = false;
  const wait = RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]!;
  setTimeout(() => {
    if (running === mine) void open(tries + 1);
  }, wait);
}

async function askClock(): Promise<void> {
  const asked = Date.now();
  const system = await api.system().catch(() => null);
  if (system) syncClock(system.now, asked, Date.now());
}

async function read(body: ReadableStream<Uint8Array>, mine: NonNullable<typeof running>): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  let first = lastId?.sids !== mine.sids;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive(mine);
    for (const { event, data, id } of parser.push(decoder.decode(value, { stream: true }))) {
      if (event === "values") {
        const values = JSON.parse(data) as LiveValues;
        if (id) lastId = { id, sids: mine.sids };
        waiting.push({ values, snapshot: first });
        first = false;
        state.seq = Math.max(state.seq, values.seq);
        state.stored = Math.max(state.stored, values.stored);
        probe.lastSeq = state.seq;
        probe.lastEventAt = performance.timeOrigin + performance.now();
        if (!frame) frame = requestAnimationFrame(draw);
        // A hidden tab gets no frames; the newest values are all it needs when it is seen again.
        if (waiting.length > 600) waiting.splice(0, waiting.length - 300);
      } else if (event === "fact") {
        const fact = JSON.parse(data) as Fact;
        for (const act of factListeners) act(fact);
      } else if (event === "sources") {
        const { sources } = JSON.parse(data) as { sources: Source[] };
        for (const act of sourceListeners) act(sources);
      }
    }
  }
}

function draw(): void {
  frame = 0;
  const batch = waiting;
  waiting = [];
  const now = serverNow();
  const touched: number[] = [];
  for (const { values, snapshot } of batch) {
    for (let i = 0; i < values.sid.length; i += 1) {
      const sid = values.sid[i]!;
      const ts = values.ts[i]!;
      const cell = live.cell(sid);
      if (cell.ts !== null && ts < cell.ts) continue;
      cells.set(sid, {
        v: values.v[i] ?? null,
        s: values.s?.[i] ?? null,
        q: values.q[i]!,
        ts,
        seq: values.seq,
        arrived: snapshot ? cell.arrived : now,
      });
      touched.push(sid);
    }
    for (const act of valueListeners) act(values);
  }
  flushSync();
  const at = performance.timeOrigin + performance.now();
  for (const sid of touched) {
    const cell = live.cell(sid);
    probe.drawn[sid] = { v: cell.s ?? cell.v, ts: cell.ts ?? 0, at };
  }
  probe.draws += 1;
}

function alive(mine: NonNullable<typeof running>): void {
  mine.byte = lastByte = performance.now();
  if (state.lost) {
    state.lost = false;
    state.now = serverNow();
  }
}

function watch(): void {
  if (!started) return;
  const now = performance.now();
  if (!state.lost && now - lastByte > SILENCE_MS) {
    state.lost = true;
    state.lostSince = Date.now() - (now - lastByte);
  }
  if (running && now - running.byte > DEAD_MS) {
    // Half-open: no error will ever come. The next attempt has its own life.
    const dead = running;
    dead.byte = now;
    dead.abort.abort();
  }
  if (Math.abs(serverNow() - state.now) >= 450_000) state.now = serverNow();
}
