// Drafts without their picture: which lines a person takes, and the calls that follow. Pure.

import type { DraftField, DraftView } from "../lib/api/drafts";
import type { Figure, Signal, SignalChange, TwinDraft } from "../lib/api/types";

/** Below this a line is left until a person takes it. */
export const SURE = 0.5;

export interface Choice {
  taken: boolean;
  /** What a person wrote instead; null: as proposed. */
  value: string | number | null;
}
export type Choices = Readonly<Record<string, Choice>>;

export type Part = "name" | "class" | "behaviour" | "clock" | "inputs" | "outputs" | "parameters" | "signals";

export const partOf = (name: string): Part => name.split(".")[0] as Part;
/** The port, parameter or signal that a line speaks of; empty for the others. */
export const keyOf = (name: string): string => name.slice(name.indexOf(".") + 1).replace(/\.(unit|low|high)$/, "");
/** unit, low or high of a line about a signal. */
export const sideOf = (name: string): "unit" | "low" | "high" => name.slice(name.lastIndexOf(".") + 1) as "unit" | "low" | "high";
/** What a twin cannot be without is not left, only changed. */
export const mustBe = (name: string): boolean => ["name", "class", "behaviour"].includes(partOf(name));

/** Lines as they stand before anybody looked: those that are sure enough are taken. */
export function begun(draft: DraftView): Record<string, Choice> {
  return Object.fromEntries(draft.fields.map((one) => [one.name, { taken: mustBe(one.name) || one.confidence >= SURE, value: null }]));
}

export function valueOf(field: DraftField, choices: Choices): string | number {
  return choices[field.name]?.value ?? field.value;
}

const taken = (draft: DraftView, choices: Choices, part: Part): DraftField[] => draft.fields.filter((one) => partOf(one.name) === part && choices[one.name]?.taken);

/** The twin of the lines that were taken: ports left are unbound, figures left are the form's, figures
 * changed are set by a person. */
export function chosenTwin(draft: DraftView, choices: Choices): TwinDraft {
  const bound = (part: Part): Record<string, number> => Object.fromEntries(taken(draft, choices, part).map((one) => [keyOf(one.name), Number(valueOf(one, choices))]));
  const figures: Record<string, Figure> = {};
  for (const one of taken(draft, choices, "parameters")) {
    const changed = choices[one.name]!.value;
    const found = draft.twin.parameters?.[keyOf(one.name)];
    figures[keyOf(one.name)] = changed === null ? (found ?? { value: Number(one.value), sigma: null, is_set: false }) : { value: Number(changed), sigma: null, is_set: true };
  }
  const name = draft.fields.find((one) => one.name === "name");
  const clock = taken(draft, choices, "clock")[0];
  return {
    ...draft.twin,
    name: String(name ? valueOf(name, choices) : draft.twin.name).trim(),
    inputs: bound("inputs"),
    outputs: bound("outputs"),
    parameters: figures,
    clock: clock ? Number(valueOf(clock, choices)) : null,
  };
}

/** What the taken lines change of signals, by sid: only what is new. */
export function signalChanges(draft: DraftView, choices: Choices, signal: (sid: number) => Signal | undefined): { sid: number; change: SignalChange }[] {
  const found = new Map<number, SignalChange>();
  for (const one of taken(draft, choices, "signals")) {
    const sid = Number(keyOf(one.name));
    const known = signal(sid);
    if (!known) continue;
    const side = sideOf(one.name);
    const value = valueOf(one, choices);
    if (known[side] === value) continue;
    const change = found.get(sid) ?? { revision: known.revision };
    found.set(sid, side === "unit" ? { ...change, unit: String(value) } : { ...change, [side]: Number(value) });
  }
  return [...found].map(([sid, change]) => ({ sid, change }));
}
