// Twins without their picture: the fleet's order, what a figure is worth, residuals, and futures as
// they stand in an address. Pure.

import type { Behaviour, Figure, Micros, Signal, Twin, TwinDraft, WhatIfAnswer } from "../lib/api/types";
import { NO_VALUE } from "../lib/format";
import type { Line } from "../lib/trend/lines";

/** A healthy machine is that far from its twin once in a thousand samples. */
export const THRESHOLD = 3;
/** Where the bar of a score ends. */
export const FULL = 6;
const Z95 = 1.96;

const RANK: Record<Twin["state"], number> = { running: 0, untaught: 1, waiting: 2, disabled: 3 };

/** The twins in which every typed word occurs: by score where there is one, then by what is missing. */
export function fleet(twins: readonly Twin[], typed: string): Twin[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const own = twins.filter((one) => {
    const text = `${one.name} ${one.machine} ${one.behaviour}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return own.sort((a, b) => RANK[a.state] - RANK[b.state] || (b.score ?? -1) - (a.score ?? -1) || (a.machine < b.machine ? -1 : a.machine > b.machine ? 1 : 0));
}

/** A number with four digits that count (or as many as asked), whatever its size. */
export function figure(v: number | null | undefined, locale: string, digits = 4): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return NO_VALUE;
  const far = v !== 0 && (Math.abs(v) >= 1e7 || Math.abs(v) < 1e-4);
  return new Intl.NumberFormat(locale, { maximumSignificantDigits: digits, notation: far ? "scientific" : "standard" }).format(v).replace("-", "−");
}

/** How far a fitted figure may be off, 19 times out of 20; null where that is not known. */
export function margin(one: Figure | undefined): number | null {
  return one?.sigma === null || one?.sigma === undefined ? null : Z95 * one.sigma;
}

export type Origin = "set" | "fitted" | "untold" | "default";

/** Where a parameter has its value from; `untold`: fitted, but history says nothing of it. */
export function originOf(one: Figure | undefined): Origin {
  if (!one) return "default";
  return one.is_set ? "set" : margin(one) === null ? "untold" : "fitted";
}

/** Measured less predicted at the stamps that both have; where they share too few, as those of two
 * thinned lines may, against the straight line between predictions. */
export function residual(measured: Line, predicted: Line): Line {
  const at = new Map(predicted.ts.map((t, i) => [t, predicted.v[i]!] as const));
  const shared = measured.ts.reduce((n, t, i) => n + (measured.v[i] !== null && typeof at.get(t) === "number" ? 1 : 0), 0);
  const between = shared * 10 < measured.ts.length;
  const out: Line = { ts: [], v: [] };
  let next = 0;
  for (let i = 0; i < measured.ts.length; i += 1) {
    const t = measured.ts[i]!;
    const v = measured.v[i]!;
    while (next < predicted.ts.length && predicted.ts[next]! < t) next += 1;
    let p: number | null | undefined = at.get(t);
    if (p === undefined && between && next > 0 && next < predicted.ts.length) {
      const [a, b] = [predicted.v[next - 1]!, predicted.v[next]!];
      const share = (t - predicted.ts[next - 1]!) / (predicted.ts[next]! - predicted.ts[next - 1]!);
      p = a === null || b === null ? null : a + (b - a) * share;
    }
    if (p === undefined && v !== null) continue;
    out.ts.push(t);
    out.v.push(v === null || p === null || p === undefined ? null : v - p);
  }
  return out;
}

/** A twin as its form begins: without what the platform says of it. */
export function draftOf(twin: Twin): TwinDraft {
  const { name, machine, behaviour, method, inputs, outputs, parameters, starts, spreads, walks, noises, clock, enabled } = twin;
  return { name, machine, behaviour, method, inputs, outputs, parameters, starts, spreads, walks, noises, clock, enabled };
}

/** The ports that a refusal over units speaks of. */
export function portsOf(message: string, behaviour: Behaviour, bound: Readonly<Record<string, number>>, unitOf: (sid: number) => string | undefined): string[] {
  return [...behaviour.inputs, ...behaviour.outputs]
    .filter((port) => bound[port.name] && port.unit && message.includes(`'${unitOf(bound[port.name]!)}'`) && message.includes(`'${port.unit}'`))
    .map((port) => port.name);
}

export interface Change {
  sid: number;
  at_s: number;
  value: number;
  ramp_s: number;
}
export interface Future {
  name: string;
  changes: Change[];
}
const MOST_FUTURES = 10;

/** `f=as it is~full!3:0:100:60`: futures by `~`, their changes by `!` as sid:at:value:ramp. */
export function futuresText(futures: readonly Future[]): string {
  return futures.map((one) => [one.name.replace(/[~!]/g, " "), ...one.changes.map((c) => [c.sid, c.at_s, c.value, c.ramp_s].join(":"))].join("!")).join("~");
}

export function parseFutures(text: string): Future[] {
  return text.split("~").slice(0, MOST_FUTURES).map((part) => {
    const [name = "", ...rest] = part.split("!");
    const changes = rest.map((one) => one.split(":").map(Number)).filter((c) => c.length === 4 && c.every(Number.isFinite) && c[0]! > 0);
    return { name, changes: changes.map(([sid, at_s, value, ramp_s]) => ({ sid: sid!, at_s: at_s!, value: value!, ramp_s: ramp_s! })) };
  });
}

/** Seconds as they are typed: 90, 90s, 15m, 8h, 2d; null where it is none. */
export function typedSeconds(text: string): number | null {
  const match = /^\s*(\d{1,8}(?:[.,]\d{1,3})?)\s*(s|m|min|h|d)?\s*$/.exec(text);
  if (!match) return null;
  const size = { s: 1, m: 60, min: 60, h: 3600, d: 86_400 }[match[2] ?? "s"]!;
  return Number(match[1]!.replace(",", ".")) * size;
}

/** Seconds as `typedSeconds` reads them, in the largest unit that fits. */
export function secondsText(s: number): string {
  for (const [size, unit] of [[86_400, "d"], [3600, "h"], [60, "m"]] as const) if (s > 0 && s % size === 0) return `${s / size}${unit}`;
  return `${s}s`;
}

export interface Drawn {
  /** The measured signal, then low, middle and high of every future. */
  lines: Line[];
  /** The places of the edges among them, high before low. */
  fans: [number, number][];
}

/** One output of an answer as lines in wall time; the plant runs `speed` times as fast. */
export function drawn(answer: WhatIfAnswer, twin: string, output: string, past: Line, speed: number): Drawn {
  const ts = answer.times.map((s): Micros => Math.round(answer.at + (s * 1e6) / speed));
  const lines = [past];
  const fans: [number, number][] = [];
  for (const future of answer.futures) {
    const band = future.outputs.find((one) => one.twin === twin && one.output === output);
    if (!band) continue;
    fans.push([lines.length + 2, lines.length]);
    lines.push({ ts, v: band.low }, { ts, v: band.middle }, { ts, v: band.high });
  }
  return { lines, fans };
}

/** A signal as a plot takes it: without limits, its kind a number. */
export function plotted(signal: Signal | undefined, sid: number, name: string, limit: number | null = null): Signal {
  return { ...(signal ?? { unit: "", path: name }), sid, name, kind: "float", limit_low: null, limit_high: limit } as Signal;
}
