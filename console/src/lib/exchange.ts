// How long imports and exports still take, local times as they are typed, and the form of a file.

import type { Exported, ImportBrief, ImportForm, Micros } from "./api/types";
import { zoneOffset } from "./time";

/** Seconds until an import that runs is done; null where its pace does not tell, as while it waits. */
export function importLeft(one: Pick<ImportBrief, "state" | "note" | "rows" | "rows_total" | "samples" | "rate">): number | null {
  if (one.state !== "running" || one.note || !one.rows || !one.rate || one.rows >= one.rows_total) return null;
  return ((one.rows_total - one.rows) * one.samples) / one.rows / one.rate;
}

/** Seconds until an export is done, by the days that are written. */
export function exportLeft(one: Pick<Exported, "state" | "days" | "days_done" | "created">, now: Micros): number | null {
  if (one.state !== "running" || !one.days_done) return null;
  return ((now - one.created) / 1e6 / one.days_done) * (one.days - one.days_done);
}

/** A moment as it is typed, in a zone: 2024-03-01 08:00:00. */
export function localText(us: Micros, zone: string): string {
  return new Date(us / 1000 + offset(us, zone)).toISOString().slice(0, 19).replace("T", " ");
}

/** The moment that was typed so, the seconds or all of the time left out; null where it is none. */
export function fromLocal(text: string, zone: string): Micros | null {
  const match = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?))?$/.exec(text.trim());
  const wall = match ? Date.parse(`${match[1]}T${match[2] ?? "00:00"}Z`) : NaN;
  if (Number.isNaN(wall)) return null;
  // Twice, because the offset is that of the moment looked for.
  const near = wall - offset(wall * 1000, zone);
  return (wall - offset(near * 1000, zone)) * 1000;
}

function offset(us: Micros, zone: string): number {
  const match = /([+-])(\d\d):(\d\d)/.exec(zoneOffset(us, zone));
  return match ? Number(`${match[1]}1`) * (Number(match[2]) * 60 + Number(match[3])) * 60_000 : 0;
}

/** The form with another column as its time; in a wide table the old one is left out. */
export function withTime(form: ImportForm, column: string): ImportForm {
  const old = form.time.column;
  const columns = form.columns.map((c) => (c.name === column ? { ...c, name: old, unit: "", use: false } : c));
  return { ...form, columns, time: { ...form.time, column, format: "iso" } };
}
