// Why is this empty? The way of a value from the screen back to its machine, one step a place, each
// with what is known about it. The first step that is broken is the answer; where none is, the last
// one says that the machine itself has said nothing.

import type { Micros, Signal, Source } from "./api/types";
import { qualityClass, qualityReason, type Reason } from "./quality";

export type Place = "screen" | "signal" | "range" | "value" | "source" | "certificate" | "machine";

export interface Step {
  place: Place;
  /** `null` where nothing is known of it. */
  well: boolean | null;
  /** Which sentence says it: `why.PLACE.says`. */
  says: string;
  at?: Micros | null;
  name?: string;
  reason?: Reason;
  cause?: string;
}

export interface WhyFacts {
  serverLost: boolean;
  /** Since when the server is silent. */
  silentSince: Micros | null;
  signal: Signal | undefined;
  source: Source | undefined;
  /** The newest value, `ts` null where none is known. */
  newest: { ts: Micros | null; q: number; stale: boolean };
  /** What a chart shows; null for a single value. */
  range: Around | null;
}

/** What there is of a signal in a range and beside it. */
export interface Around {
  from: Micros;
  to: Micros;
  /** Samples with a value within the range. */
  values: number;
  /** Samples without one: bad ones. */
  bad: number;
  before: Micros | null;
  after: Micros | null;
  /** Why a source declared a gap that touches the range. */
  gaps: string[];
}

export function why(f: WhyFacts): Step[] {
  const steps: Step[] = [f.serverLost ? { place: "screen", well: false, says: "silent", at: f.silentSince } : { place: "screen", well: true, says: "well" }];
  if (!f.signal) return [...steps, { place: "signal", well: false, says: "retired" }];
  steps.push({ place: "signal", well: true, says: "well", name: f.signal.name });
  steps.push(f.range ? rangeStep(f.range) : valueStep(f.newest));
  return [...steps, ...sourceSteps(f.signal, f.source)];
}

/** The step that answers the question: nothing beyond a lost screen or an unknown signal counts;
 * then what broke nearest to the machine. A range of the past answers for itself. */
export function answer(steps: readonly Step[]): Step | undefined {
  const broken = steps.filter((s) => s.well === false);
  const first = broken[0];
  if (first?.place === "screen" || first?.place === "signal") return first;
  if (first?.place === "range" && first.says !== "late" && first.says !== "never") return first;
  return broken[broken.length - 1];
}

function rangeStep(r: Around): Step {
  if (r.values > 0) return { place: "range", well: true, says: "well" };
  if (r.gaps.length) return { place: "range", well: false, says: "gap", cause: r.gaps[0]! };
  if (r.bad > 0) return { place: "range", well: false, says: "bad" };
  if (r.before === null && r.after === null) return { place: "range", well: false, says: "never" };
  if (r.before === null) return { place: "range", well: false, says: "early", at: r.after };
  if (r.after === null) return { place: "range", well: false, says: "late", at: r.before };
  return { place: "range", well: false, says: "between", at: r.before };
}

function valueStep(v: WhyFacts["newest"]): Step {
  if (v.ts === null) return { place: "value", well: false, says: "never" };
  if (qualityClass(v.q) !== "good") return { place: "value", well: false, says: "quality", at: v.ts, reason: qualityReason(v.q) };
  return v.stale ? { place: "value", well: false, says: "stale", at: v.ts } : { place: "value", well: true, says: "well", at: v.ts };
}

function sourceSteps(signal: Signal, source: Source | undefined): Step[] {
  if (!signal.source) return [];
  if (!source) return [{ place: "source", well: false, says: "removed" }];
  const { name } = source;
  if (!source.enabled) return [{ place: "source", well: false, says: "off", name }];
  if (source.task === "stopped" || source.task === "idle") return [{ place: "source", well: false, says: "stopped", name }];
  const steps: Step[] = [{ place: "source", well: true, says: "well", name }];
  if (source.certificate && !source.certificate.trusted) return [...steps, { place: "certificate", well: false, says: "refused", name }];
  const told = source.last_error?.message;
  if (source.link === "connected") {
    // A note on a connected source tells of nodes that cannot be followed.
    steps.push(told ? { place: "machine", well: null, says: "noted", at: source.since, cause: told } : { place: "machine", well: true, says: "well", at: source.since });
  } else {
    steps.push({ place: "machine", well: false, says: source.link, at: source.last_sample, ...(told ? { cause: told } : {}) });
  }
  return steps;
}
