// What there is: signals and sources, loaded once and kept current by the live stream.

import { api } from "./api/client";
import type { Signal, Source } from "./api/types";
import { live } from "./live.svelte";

let current = $state.raw<Snapshot>(snapshot([], []));
let ready = $state(false);
let shape = "";

interface Snapshot {
  signals: Signal[];
  bySid: Map<number, Signal>;
  byPath: Map<string, Signal>;
  sources: Source[];
  bySource: Map<string, Source>;
}

function snapshot(signals: Signal[], sources: Source[]): Snapshot {
  return {
    signals,
    bySid: new Map(signals.map((s) => [s.sid, s])),
    byPath: new Map(signals.map((s) => [s.path, s])),
    sources,
    bySource: new Map(sources.map((s) => [s.id, s])),
  };
}

export const catalogue = {
  get ready(): boolean {
    return ready;
  },
  get signals(): Signal[] {
    return current.signals;
  },
  get sources(): Source[] {
    return current.sources;
  },
  signal(sid: number): Signal | undefined {
    return current.bySid.get(sid);
  },
  byPath(path: string): Signal | undefined {
    return current.byPath.get(path);
  },
  source(id: string): Source | undefined {
    return current.bySource.get(id);
  },
  signalsOf(source: string): Signal[] {
    return current.signals.filter((s) => s.source === source);
  },
  async load(): Promise<void> {
    const [signals, sources] = await Promise.all([api.signals(), api.sources()]);
    shape = shapeOf(sources);
    current = snapshot(signals, sources);
    ready = true;
  },
  /** Follows the stream: new states at once, new signals when a source's shape changed. */
  follow(): void {
    live.onSources((sources) => {
      const before = shape;
      shape = shapeOf(sources);
      current = { ...current, sources, bySource: new Map(sources.map((s) => [s.id, s])) };
      if (shape !== before) void this.load().catch(() => undefined);
    });
    live.onConnect(() => {
      if (ready) void this.load().catch(() => undefined);
    });
  },
};

function shapeOf(sources: Source[]): string {
  return sources.map((s) => `${s.id}:${s.signals}:${s.prefix}`).join("|");
}
