// Which rule says how long a signal's history stays: of those whose prefix fits, the longest.

import type { RetentionRule } from "./api/types";

/** A rule as it is being edited: an empty figure keeps for ever. */
export interface RuleDraft {
  prefix: string;
  raw: string;
  rollup: string;
}

export type RuleProblem = "prefix" | "twice" | "days";
const MOST = 40_000;

export function fits(prefix: string, path: string): boolean {
  return prefix === "" || path === prefix || path.startsWith(`${prefix}/`);
}

/** For each prefix, how many of the signals its rule decides about. */
export function decided(prefixes: readonly string[], paths: readonly string[]): number[] {
  const counts = prefixes.map(() => 0);
  for (const path of paths) {
    let best = -1;
    prefixes.forEach((prefix, i) => {
      if (fits(prefix, path) && (best < 0 || prefix.length > prefixes[best]!.length)) best = i;
    });
    if (best >= 0) counts[best]! += 1;
  }
  return counts;
}

export function draftOf(rule: RetentionRule): RuleDraft {
  return { prefix: rule.prefix, raw: rule.raw_days?.toString() ?? "", rollup: rule.rollup_days?.toString() ?? "" };
}

export function ruleOf(draft: RuleDraft): RetentionRule {
  const days = (text: string): number | null => (text.trim() === "" ? null : Number(text));
  return { prefix: draft.prefix.trim().replace(/\/+$/, ""), raw_days: days(draft.raw), rollup_days: days(draft.rollup) };
}

export function problemOf(rule: RetentionRule, all: readonly RetentionRule[]): RuleProblem | null {
  if (!/^([a-z0-9_-]+(\/[a-z0-9_-]+)*)?$/.test(rule.prefix)) return "prefix";
  if (all.filter((other) => other.prefix === rule.prefix).length > 1) return "twice";
  const well = (days: number | null): boolean => days === null || (Number.isInteger(days) && days >= 1 && days <= MOST);
  return well(rule.raw_days) && well(rule.rollup_days) ? null : "days";
}

/** For how long roll-ups really stay: never shorter than the samples they sum up. */
export function rollupDays(rule: RetentionRule): number | null {
  return rule.raw_days === null || rule.rollup_days === null ? null : Math.max(rule.raw_days, rule.rollup_days);
}
