// What there is: signals and sources, loaded once and kept current by the live stream.

import { api } from "./api/client";
import type { Signal, Source } from "./api/types";
import { live } from "./live.svelte";

// Two states, because sources change every second and signals hardly ever.
let current = $state.raw(indexSignals([]));
let origin = $state.raw(indexSources([]));
let ready = $state(false);
let shape = "";
let imported: ReturnType<typeof setTimeout> | undefined;

interface Signals {
  list: Signal[];
  bySid: Map<number, Signal>;
  byPath: Map<string, Signal>;
  bySource: Map<string, Signal[]>;
}

function indexSignals(list: Signal[]): Signals {
  const bySource = new Map<string, Signal[]>();
  for (const s of list) {
    const own = bySource.get(s.source);
    if (own) own.push(s);
    else bySource.set(s.source, [s]);
  }
  return {
    list,
    bySid: new Map(list.map((s) => [s.sid, s])),
    byPath: new Map(list.map((s) => [s.path, s])),
    bySource,
  };
}

function indexSources(list: Source[]): { list: Source[]; byId: Map<string, Source> } {
  return { list, byId: new Map(list.map((s) => [s.id, s])) };
}

const NO_SIGNALS: Signal[] = [];

export const catalogue = {
  get ready(): boolean {
    return ready;
  },
  get signals(): Signal[] {
    return current.list;
  },
  get sources(): Source[] {
    return origin.list;
  },
  signal(sid: number): Signal | undefined {
    return current.bySid.get(sid);
  },
  byPath(path: string): Signal | undefined {
    return current.byPath.get(path);
  },
  source(id: string): Source | undefined {
    return origin.byId.get(id);
  },
  signalsOf(source: string): Signal[] {
    return current.bySource.get(source) ?? NO_SIGNALS;
  },
  /** The sources that signals name and nobody lists. */
  get strays(): string[] {
    return [...current.bySource.keys()].filter((id) => !origin.byId.has(id));
  },
  async load(): Promise<void> {
    const [signals, sources] = await Promise.all([api.signals(), api.sources()]);
    shape = shapeOf(sources);
    current = indexSignals(signals);
    origin = indexSources(sources);
    ready = true;
  },
  /** Takes a signal as it is now, where it is known. */
  put(signal: Signal): void {
    if (current.bySid.has(signal.sid)) current = indexSignals(current.list.map((s) => (s.sid === signal.sid ? signal : s)));
  },
  /** Follows the stream: new states at once, new signals when a source's shape changed, what a
   * person edited when it is told. */
  follow(): void {
    live.onSources((sources) => {
      const before = shape;
      shape = shapeOf(sources);
      origin = indexSources(sources);
      if (shape !== before) void this.load().catch(() => undefined);
    });
    live.onConnect((widened) => {
      if (ready && !widened) void this.load().catch(() => undefined);
    });
    live.onFact((fact) => {
      if (fact.kind === "signal.changed") {
        if (current.bySid.get(Number(fact.subject))?.revision === fact.body.revision) return;
        void api.signalsAt(String(fact.body.path)).then((found) => found.forEach((s) => this.put(s))).catch(() => undefined);
      } else if (fact.kind === "signals.imported" || fact.kind === "import.started") {
        clearTimeout(imported);
        imported = setTimeout(() => void this.load().catch(() => undefined), 500);
      }
    });
  },
};

function shapeOf(sources: Source[]): string {
  return sources.map((s) => `${s.id}:${s.signals}:${s.prefix}`).join("|");
}
