// A loop as it stands in its form: numbers are texts until they are read. Pure.

import { typedNumber } from "../desk/table";
import type { Loop, LoopDraft, Signal } from "../lib/api/types";
import type { Key } from "../lib/i18n.svelte";

/** A row of a table of signals with numbers; `unit` is what its numbers were given in, else "". */
export interface HandleRow { sid: number; low: string; high: string; rate: string; dwell: string; moves: string; unit: string }
export interface LimitRow { sid: number; low: string; high: string; backOff: string; unit: string }
export interface LockRow { sid: number; low: string; high: string; unit: string }
export interface WorthRow { quantity: string; factor: string }

type Sense = LoopDraft["goal"]["sense"];
type Worth = NonNullable<LoopDraft["worth"]>;

export interface Sheet {
  name: string;
  machine: string;
  by: "signal" | "expression";
  goal: number | null;
  expression: string;
  unit: string;
  sense: Sense;
  handles: HandleRow[];
  limits: LimitRow[];
  inputs: number[];
  clock: number | null;
  period: string;
  settle: string;
  /** In percent. */
  tolerance: string;
  method: LoopDraft["method"];
  settings: string;
  seed: string;
  approvals: 1 | 2;
  answer: string;
  fresh: string;
  locks: LockRow[];
  twins: string[];
  asked: { twins: string[]; sids: number[]; hours: string };
  wish: number | null;
  heartbeat: number | null;
  baseline: Worth["baseline"];
  worth: WorthRow[];
  move: string;
  enabled: boolean;
}

/** Why a field cannot be taken: a text and what it speaks of. */
export interface Said { key: Key; params?: Record<string, number> }
export interface Read { draft: LoopDraft; wrong: ReadonlyMap<string, Said> }

/** Plant hours in which a handle may cross its range where nobody says otherwise. */
const CROSS_H = 25;
const LONGEST_H = 8760;

const text = (v: number | null | undefined): string => (v === null || v === undefined ? "" : String(v));
/** A number without what binary fractions add to it. */
const plain = (v: number, digits = 12): number => Number(v.toPrecision(digits));

export function blankSheet(): Sheet {
  return {
    name: "", machine: "", by: "signal", goal: null, expression: "", unit: "", sense: "minimise", handles: [], limits: [],
    inputs: [], clock: null, period: "1", settle: "24", tolerance: "2", method: "optimise", settings: "", seed: "1",
    approvals: 1, answer: "120", fresh: "30", locks: [], twins: [], asked: { twins: [], sids: [], hours: "1" },
    wish: null, heartbeat: null, baseline: "before", worth: [], move: "0", enabled: true,
  };
}

/** The signal that an expression does no more than name. */
export function named(expression: string): string | null {
  return /^\s*"([^"]+)"\s*$/.exec(expression)?.[1] ?? null;
}

/** A loop as its form begins. `signalAt` finds a signal by its path. */
export function sheetOf(loop: Loop, signalAt: (path: string) => Signal | undefined): Sheet {
  const path = named(loop.goal.expression);
  const goal = path === null ? undefined : signalAt(path);
  const bySignal = goal !== undefined && (loop.goal.unit ?? "") === goal.unit;
  const { conditions, remote, worth } = loop;
  return {
    name: loop.name, machine: loop.machine, by: bySignal ? "signal" : "expression", goal: bySignal ? goal.sid : null,
    expression: loop.goal.expression, unit: loop.goal.unit ?? "", sense: loop.goal.sense,
    handles: loop.handles.map((h) => ({ sid: h.sid, low: text(h.low), high: text(h.high), rate: text(h.rate), dwell: text(h.dwell_h), moves: text(h.moves_per_h), unit: h.unit ?? "" })),
    limits: loop.limits.map((x) => ({ sid: x.sid, low: text(x.low), high: text(x.high), backOff: text(x.back_off), unit: x.unit ?? "" })),
    inputs: [...loop.inputs], clock: loop.clock, period: text(loop.period_h), settle: text(loop.settle_h), tolerance: text(plain(loop.tolerance * 100)),
    method: loop.method as LoopDraft["method"], settings: Object.keys(loop.settings).length ? JSON.stringify(loop.settings, null, 2) : "", seed: text(loop.seed),
    approvals: conditions.approvals, answer: text(conditions.answer_s), fresh: text(conditions.fresh_s),
    locks: (conditions.interlocks ?? []).map((x) => ({ sid: x.sid, low: text(x.low), high: text(x.high), unit: "" })),
    twins: [...(conditions.twins ?? [])],
    asked: { twins: [...(conditions.foresight?.twins ?? [])], sids: [...(conditions.foresight?.sids ?? [])], hours: text(conditions.foresight?.hours ?? 1) },
    wish: remote.wish ?? null, heartbeat: remote.heartbeat ?? null, baseline: worth.baseline, worth: Object.entries(worth.per_unit ?? {}).map(([quantity, factor]) => ({ quantity, factor: text(factor) })), move: text(worth.move),
    enabled: loop.enabled,
  };
}

/** A handle as it is offered: its signal's whole range, slowly. */
export function handleOf(signal: Signal): HandleRow {
  const { low, high } = signal;
  const known = low !== null && high !== null && high > low;
  return { sid: signal.sid, low: text(low), high: text(high), rate: known ? text(plain((high - low) / CROSS_H, 4)) : "", dwell: "0", moves: "60", unit: "" };
}

/** A limit as it is offered: the signal's own. */
export function limitOf(signal: Signal): LimitRow {
  return { sid: signal.sid, low: text(signal.limit_low), high: text(signal.limit_high), backOff: "0", unit: "" };
}

/** What everybody must give and is not there yet, as texts. */
export function missing(sheet: Sheet): Key[] {
  const goal = sheet.by === "signal" ? sheet.goal !== null : sheet.expression.trim() !== "";
  const needs: [boolean, Key][] = [
    [goal, "decisions.form.missingGoal"], [sheet.name.trim() !== "", "decisions.form.missingName"],
    [sheet.machine.trim() !== "", "decisions.form.missingMachine"], [sheet.handles.length > 0, "decisions.form.missingHandle"],
  ];
  return needs.filter(([is]) => !is).map(([, key]) => key);
}

interface Bounds { low?: number; high?: number; above?: number; optional?: boolean; whole?: boolean }

/** Reads texts as numbers and keeps, by field, why one could not be read. */
class Reader {
  readonly wrong = new Map<string, Said>();

  say(at: string, key: Key, params?: Record<string, number>): void {
    this.wrong.set(at, params ? { key, params } : { key });
  }
  number(at: string, typed: string, { low, high, above, optional, whole }: Bounds = {}): number | null {
    const v = typedNumber(typed);
    if (v === null) {
      if (!optional) this.say(at, "decisions.form.needed");
      return null;
    }
    if (!Number.isFinite(v) || (whole && !Number.isInteger(v))) this.say(at, whole ? "decisions.form.noWhole" : "decisions.form.noNumber");
    else if (above !== undefined && v <= above) this.say(at, "decisions.form.above", { low: above });
    else if (low !== undefined && v < low) this.say(at, high === undefined ? "decisions.form.least" : "decisions.form.range", high === undefined ? { low } : { low, high });
    else if (high !== undefined && v > high) this.say(at, "decisions.form.most", { high });
    return v;
  }
  /** Two bounds of which one may be open, unless both are needed. */
  bounds(at: string, row: { low: string; high: string }, optional: boolean): { low: number | null; high: number | null } {
    const low = this.number(`${at}.low`, row.low, { optional });
    const high = this.number(`${at}.high`, row.high, { optional });
    if (low !== null && high !== null && low > high) this.say(`${at}.high`, "decisions.form.order");
    if (optional && low === null && high === null) this.say(`${at}.low`, "decisions.form.either");
    return { low, high };
  }
  settings(at: string, typed: string): Record<string, unknown> {
    try {
      const found: unknown = JSON.parse(typed.trim() || "{}");
      if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Record<string, unknown>;
    } catch {
      // Said below, with what is JSON but no object.
    }
    this.say(at, "decisions.form.noJson");
    return {};
  }
}

/** The loop that a form stands for, and what in it cannot be read; `pathOf` gives a signal's path. */
export function read(sheet: Sheet, pathOf: (sid: number) => string | undefined): Read {
  const r = new Reader();
  const figure = (at: string, typed: string, bounds?: Bounds): number => r.number(at, typed, bounds) ?? 0;
  const handles = sheet.handles.map((row) => {
    const at = `handles.${row.sid}`;
    const { low, high } = r.bounds(at, row, false);
    if (low !== null && low === high) r.say(`${at}.high`, "decisions.form.order");
    return {
      sid: row.sid, low: low ?? 0, high: high ?? 0, rate: figure(`${at}.rate`, row.rate, { above: 0 }),
      dwell_h: figure(`${at}.dwell`, row.dwell, { low: 0 }), moves_per_h: figure(`${at}.moves`, row.moves, { above: 0 }), unit: row.unit,
    };
  });
  const limits = sheet.limits.map((row) => {
    const at = `limits.${row.sid}`;
    const { low, high } = r.bounds(at, row, true);
    const back_off = figure(`${at}.backOff`, row.backOff, { low: 0 });
    if (low !== null && high !== null && low <= high && low + back_off >= high - back_off) r.say(`${at}.backOff`, "decisions.form.nothingLeft");
    return { sid: row.sid, low, high, back_off, unit: row.unit };
  });
  const per_unit: Record<string, number> = {};
  sheet.worth.forEach(({ quantity, factor }, i) => {
    const name = quantity.trim();
    if (!name) r.say(`worth.${i}.quantity`, "decisions.form.neededName");
    else if (name in per_unit) r.say(`worth.${i}.quantity`, "decisions.form.twice");
    per_unit[name] = figure(`worth.${i}.factor`, factor);
  });
  const limited = new Set(sheet.limits.map((row) => row.sid));
  const goalPath = sheet.by === "signal" && sheet.goal !== null ? pathOf(sheet.goal) : undefined;
  const draft: LoopDraft = {
    name: sheet.name.trim(), machine: sheet.machine.trim(),
    goal: sheet.by === "signal" ? { expression: goalPath === undefined ? "" : `"${goalPath}"`, sense: sheet.sense, unit: "" } : { expression: sheet.expression.trim(), sense: sheet.sense, unit: sheet.unit.trim() },
    handles, limits, inputs: sheet.inputs, clock: sheet.clock,
    period_h: figure("period", sheet.period, { above: 0, high: LONGEST_H }), settle_h: figure("settle", sheet.settle, { above: 0, high: LONGEST_H }),
    tolerance: plain(figure("tolerance", sheet.tolerance, { above: 0, high: 100 }) / 100),
    method: sheet.method, settings: r.settings("settings", sheet.settings), seed: figure("seed", sheet.seed, { low: 0, high: 2 ** 31 - 1, whole: true }),
    conditions: {
      approvals: sheet.approvals, answer_s: figure("answer", sheet.answer, { low: 1, high: 3600 }), fresh_s: figure("fresh", sheet.fresh, { low: 0.1, high: 86_400 }),
      interlocks: sheet.locks.map((row) => ({ sid: row.sid, ...r.bounds(`locks.${row.sid}`, row, true) })), twins: sheet.twins,
      // A limit that was taken away cannot be foretold any more.
      foresight: { twins: sheet.asked.twins, sids: sheet.asked.sids.filter((sid) => limited.has(sid)), hours: figure("asked", sheet.asked.hours, { above: 0, high: 1000 }) },
    },
    remote: { wish: sheet.wish, heartbeat: sheet.heartbeat },
    worth: { baseline: sheet.baseline, per_unit, move: figure("move", sheet.move, { low: 0 }) },
    enabled: sheet.enabled,
  };
  return { draft, wrong: r.wrong };
}

export type Section = "name" | "machine" | "goal" | "handles" | "limits" | "timing" | "method" | "conditions" | "foresight" | "remote" | "worth";

const SECTIONS: readonly [RegExp, Section][] = [
  [/^loop\.name$/, "name"], [/^path\./, "machine"], [/^(expression|unit|calculation)\.|^loop\.goal$/, "goal"],
  [/^loop\.(handles?|range)$/, "handles"], [/^loop\.limits?$/, "limits"], [/^loop\.(period|tolerance)$/, "timing"],
  [/^(mpc|rules)\.|^loop\.(method|settings)$/, "method"], [/^loop\.(interlock|approvals|times)$/, "conditions"],
  [/^loop\.foresight$/, "foresight"], [/^loop\.worth$/, "worth"],
];

/** The part of the form that a refusal is about; null where it cannot be told. */
export function sectionOf(code: string, message: string, draft: LoopDraft, pathOf: (sid: number) => string | undefined): Section | null {
  if (code === "loop.writable" && message.includes("remote")) return "remote";
  const known = SECTIONS.find(([pattern]) => pattern.test(code))?.[1];
  if (known) return known;
  const speaks = ({ sid }: { sid: number }): boolean => message.includes(`'${pathOf(sid)}'`);
  return draft.handles.some(speaks) ? "handles" : draft.limits?.some(speaks) ? "limits" : null;
}

/** What is asked of people who choose signals. */
export interface Pick {
  title: Key;
  many?: boolean;
  only?: (signal: Signal) => boolean;
  chosen: () => readonly number[];
  choose: (sid: number, on: boolean) => void;
}

export const writable = (signal: Signal): boolean => signal.writable;

/** Rows with one for a signal that was chosen, or without one that is not any more. */
export function turned<Row extends { sid: number }>(rows: readonly Row[], sid: number, row: Row | null): Row[] {
  return row === null ? rows.filter((one) => one.sid !== sid) : [...rows, row];
}
