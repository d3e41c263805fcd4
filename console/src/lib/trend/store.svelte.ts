// The data of one trend view: fetched for the window in the plot's resolution, then grown by live
// values while the view follows the present.

import { api } from "../api/client";
import type { Gap, LiveValues, Micros, Signal } from "../api/types";
import { catalogue } from "../catalogue.svelte";
import { live, serverNow } from "../live.svelte";
import { qualityClass } from "../quality";
import { isStale } from "../stale";
import type { Range } from "../url";
import { lead, shifted } from "./compare";
import { align, appendLive, bands, breakAtGaps, holdOver, trimBefore, type Aligned, type Band, type Line } from "./lines";
import type { Window } from "./window";

const UNKNOWN_SILENCE = 10_000_000;

export class TrendStore {
  window = $state.raw<Window>({ from: 0, to: 1 });
  data = $state.raw<Aligned>([[]]);
  bands = $state.raw<Band[]>([]);
  loading = $state(false);
  error = $state.raw<unknown>(null);
  /** Turns with every fetch that has arrived; tests wait on it. */
  arrived = $state(0);
  /** The whole extent of the chosen signals, for "all". */
  sids: number[] = [];
  lines = new Map<number, Line>();
  /** The lines as they are drawn: broken at gaps, holding over silences. */
  drawn = new Map<number, Line>();
  /** The same signals an earlier period ago, moved into the window; empty without comparison. */
  past = new Map<number, Line>();
  drawnPast = new Map<number, Line>();
  #shift = 0;
  #pastTo = 0;
  #pastGaps: Gap[] = [];
  #gaps: Gap[] = [];
  #px = 1000;
  #range: Range = { kind: "last", span: 3_600_000_000 };
  #abort: AbortController | null = null;
  #grown = 0;

  get following(): boolean {
    return this.#range.kind !== "fixed";
  }

  async show(sids: number[], range: Range, px: number, shift = 0): Promise<void> {
    const now = serverNow();
    this.sids = sids;
    this.#shift = shift;
    this.#range = range;
    this.#px = Math.max(50, Math.min(8000, px));
    if (range.kind === "fixed") this.window = { from: range.from, to: range.to };
    else if (range.kind === "last") this.window = { from: now - range.span, to: now };
    await this.fetch();
  }

  async fetch(): Promise<void> {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const sids = this.sids;
    if (!sids.length) {
      this.lines = new Map();
      this.past = new Map();
      this.drawnPast = new Map();
      this.data = [[]];
      this.bands = [];
      this.loading = false;
      return;
    }
    this.loading = true;
    try {
      if (this.#range.kind === "all") {
        const extent = await api.extent(sids);
        const now = serverNow();
        this.window = { from: extent.first ?? now - 3_600_000_000, to: now };
      }
      const { from, to } = this.window;
      const end = this.following ? serverNow() : to;
      const shift = this.#shift;
      const pastTo = end + (this.following ? lead(end - from, shift) : 0);
      const [trend, past] = await Promise.all([
        api.trend(sids, from, end, this.#px, abort.signal),
        shift ? api.trend(sids, Math.max(0, from - shift), pastTo - shift, this.#px, abort.signal) : null,
      ]);
      if (abort.signal.aborted) return;
      this.lines = new Map(trend.series.map(({ sid, ts, v }) => [sid, { ts, v }]));
      this.past = new Map((past?.series ?? []).map(({ sid, ts, v }) => [sid, shifted({ ts, v }, shift)]));
      this.#pastGaps = (past?.gaps ?? []).map((gap) => ({ ...gap, from: gap.from + shift, to: gap.to + shift }));
      this.#pastTo = pastTo;
      this.#gaps = trend.gaps;
      this.#grown = 0;
      this.error = null;
      this.arrived += 1;
      this.redraw();
    } catch (error) {
      if (!abort.signal.aborted) this.error = error;
    } finally {
      if (this.#abort === abort) this.loading = false;
    }
  }

  /** Live values of the chosen signals; true if a line has grown. */
  append(values: LiveValues): boolean {
    if (!this.following) return false;
    let grown = false;
    for (let i = 0; i < values.sid.length; i += 1) {
      const line = this.lines.get(values.sid[i]!);
      if (!line) continue;
      const v = qualityClass(values.q[i]!) === "bad" ? null : (values.v[i] ?? null);
      if (appendLive(line, values.ts[i]!, v)) {
        this.#grown += 1;
        grown = true;
      }
    }
    return grown;
  }

  /** Moves the window to the present and draws; asks anew when the live tail has become long. */
  follow(): void {
    if (!this.following) return;
    const now = serverNow();
    const { from, to } = this.window;
    this.window = this.#range.kind === "all" ? { from, to: now } : { from: from + (now - to), to: now };
    for (const line of this.lines.values()) trimBefore(line, this.window.from);
    const tooLong = this.#grown > this.#px * 4 * Math.max(1, this.sids.length);
    if ((tooLong || (this.past.size > 0 && now > this.#pastTo)) && !this.loading) void this.fetch();
    this.redraw();
  }

  redraw(): void {
    const { from, to } = this.window;
    const pixel = (to - from) / this.#px;
    const now = serverNow();
    const gaps = [...this.#gaps, ...this.#openGaps(now)];
    const drawn = this.sids.map((sid) => {
      const signal = catalogue.signal(sid);
      const line = this.lines.get(sid) ?? { ts: [], v: [] };
      const own = gaps.filter((gap) => gap.source === signal?.source);
      const tail = this.following && to > now - 5_000_000 ? this.#tail(sid, signal, line, now) : line;
      return breakAtGaps(holdOver(breakAtGaps(tail, own), silence(signal, pixel)), own);
    });
    this.drawn = new Map(this.sids.map((sid, i) => [sid, drawn[i]!]));
    this.drawnPast = new Map(!this.past.size ? [] : this.sids.map((sid) => {
      const signal = catalogue.signal(sid);
      const own = this.#pastGaps.filter((gap) => gap.source === signal?.source);
      const line = this.past.get(sid) ?? { ts: [], v: [] };
      return [sid, breakAtGaps(holdOver(breakAtGaps(line, own), silence(signal, pixel)), own)];
    }));
    this.data = align([...drawn, ...this.drawnPast.values()]);
    this.bands = bands(gaps, from, to);
  }

  // A value that holds reaches the present; a stale one ends where it was last heard of.
  #tail(sid: number, signal: Signal | undefined, line: Line, now: Micros): Line {
    const last = line.ts[line.ts.length - 1];
    const v = line.v[line.v.length - 1];
    if (last === undefined || v === null || v === undefined || last >= now) return line;
    const source = signal ? catalogue.source(signal.source) : undefined;
    const cell = live.cell(sid);
    const facts = {
      ts: Math.max(last, cell.ts ?? 0),
      arrived: cell.arrived,
      period_ms: signal?.period_ms ?? null,
      writable: signal?.writable ?? false,
      link: source?.link ?? null,
      sourceLast: source?.last_sample ?? null,
    };
    return isStale(facts, now, live.lost) ? line : { ts: [...line.ts, now], v: [...line.v, v] };
  }

  // A source that is away has a gap that nobody could declare yet: it lasts until now.
  #openGaps(now: Micros): Gap[] {
    const ids = new Set(this.sids.map((sid) => catalogue.signal(sid)?.source));
    return catalogue.sources
      .filter((s) => ids.has(s.id) && s.link !== "connected" && s.last_sample !== null)
      .map((s) => ({ source: s.id, from: s.last_sample!, to: now, cause: s.last_error?.message ?? s.link }));
  }
}

/** For how long a line may say nothing before it is drawn as holding. */
function silence(signal: Signal | undefined, pixel: Micros): Micros {
  if (!signal || signal.kind !== "float" || signal.writable) return 1;
  return Math.max(signal.period_ms ? signal.period_ms * 3000 : UNKNOWN_SILENCE, pixel * 2);
}
