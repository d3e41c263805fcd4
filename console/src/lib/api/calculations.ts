// Calculated signals: the calls of the page Calculations.

import { call } from "./client";
import type { Calculation, CalculationDraft, ExpressionCheck, ExpressionPreview, Micros } from "./types";

const one = (id: string): string => `/calculations/${encodeURIComponent(id)}`;

export const calculations = {
  list: () => call<{ calculations: Calculation[] }>("GET", "/calculations").then((r) => r.calculations),
  check: (expression: string, unit: string | null, signal: AbortSignal) =>
    call<ExpressionCheck>("POST", "/calculations/check", { expression, unit }, signal),
  preview: (request: { expression: string; unit: string | null; from: Micros; to: Micros; px: number }, signal: AbortSignal) =>
    call<ExpressionPreview>("POST", "/calculations/preview", request, signal),
  add: (draft: CalculationDraft) => call<Calculation>("POST", "/calculations", draft),
  change: (id: string, draft: CalculationDraft & { revision: number }) => call<Calculation>("PUT", one(id), draft),
  remove: (id: string) => call<void>("DELETE", one(id)),
  backfill: (id: string, from: Micros, to: Micros) => call<unknown>("POST", `${one(id)}/backfill`, { from, to }),
};

/** The place of a mistake: the text around it and a mark below, both in one pitch. */
export function pointAt(expression: string, column: number): string {
  const AROUND = 30;
  const at = Math.min(column - 1, expression.length);
  const from = Math.max(0, at - AROUND);
  const shown = expression.slice(from, at + AROUND).replace(/\s/g, " ");
  return `${shown}\n${" ".repeat(at - from)}^`;
}
