// The views' addresses. Everything a view needs to come back exactly stands in the hash, so that a
// copied link shows another person the same thing: `#/trends?s=3,4&from=…&to=…`.

import { DAY, HOUR, MINUTE } from "./time";
import type { Micros } from "./api/types";

export interface Route {
  /** Path levels after `#/`, decoded; the first names the page. */
  path: string[];
  query: Record<string, string>;
}

export function parseHash(hash: string): Route {
  const text = hash.replace(/^#\/?/, "");
  const cut = text.indexOf("?");
  const levels = (cut < 0 ? text : text.slice(0, cut)).split("/").filter(Boolean).map(decode);
  const query: Record<string, string> = {};
  for (const part of cut < 0 ? [] : text.slice(cut + 1).split("&")) {
    const eq = part.indexOf("=");
    if (part) query[decode(eq < 0 ? part : part.slice(0, eq))] = eq < 0 ? "" : decode(part.slice(eq + 1));
  }
  return { path: levels, query };
}

export function buildHash(path: readonly string[], query: Record<string, string | null | undefined> = {}): string {
  const parts = Object.entries(query)
    .filter((entry): entry is [string, string] => entry[1] !== null && entry[1] !== undefined && entry[1] !== "")
    .map(([key, value]) => `${encode(key)}=${encode(value)}`);
  return `#/${path.map(encode).join("/")}${parts.length ? `?${parts.join("&")}` : ""}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// Commas and colons are legal in a fragment and keep the links readable.
function encode(text: string): string {
  return encodeURIComponent(text).replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%2F/g, "/");
}

/** What a trend shows in time: the last `span` and following, everything, or a fixed range. */
export type Range =
  | { kind: "last"; span: Micros }
  | { kind: "all" }
  | { kind: "fixed"; from: Micros; to: Micros };

const UNITS: Record<string, number> = { s: 1_000_000, m: MINUTE, h: HOUR, d: DAY };
export const DEFAULT_RANGE: Range = { kind: "last", span: HOUR };

export function parseSpan(text: string): Micros | null {
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text);
  const size = match && UNITS[match[2]!];
  return match && size ? Number(match[1]) * size : null;
}

export function spanText(span: Micros): string {
  for (const unit of ["d", "h", "m"] as const) {
    if (span % UNITS[unit]! === 0) return `${span / UNITS[unit]!}${unit}`;
  }
  return `${Math.max(1, Math.round(span / 1_000_000))}s`;
}

/** Microseconds as ISO 8601 in UTC with as many digits as needed: exact both ways. */
export function isoMicros(us: Micros): string {
  const whole = Math.floor(us / 1_000_000);
  const rest = us - whole * 1_000_000;
  const base = new Date(whole * 1000).toISOString().slice(0, 19);
  return rest ? `${base}.${String(rest).padStart(6, "0").replace(/0+$/, "")}Z` : `${base}Z`;
}

export function parseIso(text: string): Micros | null {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/.exec(text);
  if (!match) return null;
  const whole = Date.parse(match[1] + "Z");
  return Number.isNaN(whole) ? null : whole * 1000 + Number((match[2] ?? "").padEnd(6, "0"));
}

export function parseRange(query: Record<string, string>): Range {
  const from = parseIso(query.from ?? "");
  const to = parseIso(query.to ?? "");
  if (from !== null && to !== null && to > from) return { kind: "fixed", from, to };
  if (query.last === "all") return { kind: "all" };
  const span = parseSpan(query.last ?? "");
  return span ? { kind: "last", span } : DEFAULT_RANGE;
}

export function rangeQuery(range: Range): Record<string, string | null> {
  if (range.kind === "fixed") return { last: null, from: isoMicros(range.from), to: isoMicros(range.to) };
  return { from: null, to: null, last: range.kind === "all" ? "all" : spanText(range.span) };
}

/** `s=3,4,17` → distinct positive ids in order. */
export function parseSids(text: string | undefined): number[] {
  const ids = (text ?? "").split(",").map(Number).filter((n) => Number.isSafeInteger(n) && n > 0);
  return [...new Set(ids)];
}
