// Signals grouped by the machine that their path names, in the order in which they come.

import type { Signal } from "./api/types";

export interface Machine {
  /** The path between the source's prefix and the signal: "reactor" or "press-1/oil". */
  key: string;
  signals: Signal[];
}

/** A machine's name: that of a drawn plant in the chosen language, any other as its path says it. */
export function machineName(key: string, view: string, tell: (key: string, fallback: string) => string): string {
  return view ? tell(`machine.${key}`, key) : key;
}

/** The part of a signal's path below its source's prefix. */
export function below(path: string, prefix: string): string {
  return prefix && path.startsWith(prefix + "/") ? path.slice(prefix.length + 1) : path.split("/").slice(4).join("/");
}

export function machinesOf(signals: readonly Signal[], prefix: string): Machine[] {
  const machines = new Map<string, Machine>();
  for (const signal of signals) {
    const key = below(signal.path, prefix).split("/").slice(0, -1).join("/");
    const machine = machines.get(key);
    if (machine) machine.signals.push(signal);
    else machines.set(key, { key, signals: [signal] });
  }
  return [...machines.values()];
}

const TOLD: Record<string, string[]> = {
  tep: [
    "reactor/pressure", "reactor/temperature", "reactor/level", "separator/level", "stripper/level",
    "product/flow", "product/composition-g", "purge/flow", "economics/cost",
  ],
  "williams-otto": [
    "reactor/temperature", "reactor/level", "jacket/temperature", "product/flow",
    "product/fraction-p", "economics/profit",
  ],
};

/**
 * The signals that say most about a plant in few: the known ones of a drawn plant, else those with
 * normal limits, then measured ones.
 */
export function keySignals(signals: readonly Signal[], limit: number, view = ""): Signal[] {
  const told = (TOLD[view] ?? []).map((key) => signals.find((s) => s.path.endsWith(`/${key}`))).filter((s) => s !== undefined);
  if (told.length) return told.slice(0, limit);
  const rank = (s: Signal): number => {
    if (s.kind !== "float" || /-(sp|local|margin)$/.test(s.path)) return 0;
    if (s.limit_low !== null || s.limit_high !== null) return 3;
    return s.low !== null && s.high !== null && !s.writable ? 1 : 0;
  };
  return signals
    .map((s, i) => ({ s, i, r: rank(s) }))
    .filter((x) => x.r > 0)
    .sort((a, b) => b.r - a.r || a.i - b.i)
    .slice(0, limit)
    .map((x) => x.s);
}
