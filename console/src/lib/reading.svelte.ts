// Everything that a view may say about one value, worked out in one place.

import { beyond, type Beyond } from "./bullet";
import type { Signal, Source } from "./api/types";
import { catalogue } from "./catalogue.svelte";
import { decimalsOf, displayUnit, formatNumber, NO_VALUE } from "./format";
import { i18n, t } from "./i18n.svelte";
import { live, type Cell } from "./live.svelte";
import { qualityClass, type QualityClass } from "./quality";
import { isStale } from "./stale";

export interface Reading {
  readonly signal: Signal | undefined;
  readonly source: Source | undefined;
  readonly cell: Cell;
  readonly quality: QualityClass;
  readonly stale: boolean;
  /** Number or text, with the signal's decimals, without the unit. */
  readonly text: string;
  readonly unit: string;
  readonly beyond: Beyond;
}

/** Live while something reads its getters; `sid` is read anew each time. */
export function reading(sid: () => number): Reading {
  const signal = $derived(catalogue.signal(sid()));
  const cell = $derived(live.cell(sid()));
  const source = $derived(signal ? catalogue.source(signal.source) : undefined);
  const stale = $derived.by(() => {
    if (cell.ts === null) return true;
    const facts = {
      ts: cell.ts,
      arrived: cell.arrived,
      period_ms: signal?.period_ms ?? null,
      writable: signal?.writable ?? false,
      link: source?.link ?? null,
      sourceLast: source?.last_sample ?? null,
    };
    return isStale(facts, live.now, live.lost);
  });
  const quality = $derived(qualityClass(cell.q));
  return {
    get signal() {
      return signal;
    },
    get source() {
      return source;
    },
    get cell() {
      return cell;
    },
    get quality() {
      return quality;
    },
    get stale() {
      return stale;
    },
    get text() {
      return valueText(signal, cell.v, cell.s);
    },
    get unit() {
      return signal ? displayUnit(signal.unit) : "";
    },
    get beyond() {
      return signal && quality !== "bad" ? beyond(signal, cell.v) : null;
    },
  };
}

export function valueText(signal: Signal | undefined, v: number | null, s: string | null): string {
  if (s !== null) return s;
  if (v === null) return NO_VALUE;
  if (signal?.kind === "bool") return v ? t("value.on") : t("value.off");
  return formatNumber(v, signal ? decimalsOf(signal) : 2, i18n.locale);
}
