// Facts in a sentence: what happened, to what, and where it says why.

import type { Fact } from "./api/types";
import { catalogue } from "./catalogue.svelte";
import { formatSpan } from "./format";
import { t, tOr } from "./i18n.svelte";

export function tellFact(fact: Fact): string {
  const id = String(fact.body.source ?? fact.subject);
  const name = catalogue.source(id)?.name ?? String(fact.body.name ?? fact.subject);
  const from = Number(fact.body.from);
  const to = Number(fact.body.to);
  return tOr(`fact.${fact.kind}`, `${fact.kind} · ${name}`, {
    name,
    span: Number.isFinite(to - from) ? formatSpan((to - from) / 1e6) : t("value.unknown"),
  });
}

/** The cause in the words of whoever said it; empty where nobody did. */
export function factCause(fact: Fact): string {
  const error = fact.body.error as { message?: unknown } | undefined;
  const cause = fact.body.cause ?? error?.message ?? fact.body.reason ?? fact.body.message;
  return typeof cause === "string" ? tellCause(cause) : "";
}

/** Short cause codes get words, sentences stay as they are. */
export function tellCause(cause: string): string {
  return tOr(`cause.${cause}`, cause);
}

export function isTrouble(kind: string): boolean {
  return /\.(lost|gap|quarantined|replaced|failed|refused)$/.test(kind);
}
