// Numbers, units and sizes as people read them. Fixed decimals per signal, so that columns stand
// still; the minus sign is the true one, as wide as a digit.

import type { Signal } from "./api/types";

const SPELLED: Record<string, string> = {
  "1": "", Cel: "°C", degC: "°C", "[degF]": "°F", 
  "kPa{gauge}": "kPa(g)", "%{mol}": "mol%", "mol%": "mol%", "{mol%}": "mol%", "[pH]": "pH",
};
const RAISED: Record<string, string> = { "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "6": "⁶", "9": "⁹" };

/** A UCUM code as it is printed on an instrument: `m3/h` → `m³/h`, `Cel` → `°C`. */
export function displayUnit(code: string): string {
  const known = SPELLED[code];
  if (known !== undefined) return known;
  return code
    .replace(/\[?\bUSD\b\]?/g, "$$")
    .replace(/\bCel\b/g, "°C")
    .replace(/10\*(\d)/g, (_, d: string) => `10${RAISED[d] ?? "^" + d}`)
    .replace(/([A-Za-z])([2-4])(?!\d)/g, (_, a: string, d: string) => a + (RAISED[d] ?? d))
    .replace(/([a-zA-Z)\d³²])\.([a-zA-Z])/g, "$1·$2")
    .replace(/\{([^}]*)\}/g, "$1")
    .replace(/[[\]]/g, "");
}

/** The digits after the point: what the signal says, else what its range suggests. */
export function decimalsOf(signal: Pick<Signal, "kind" | "decimals" | "low" | "high">): number {
  if (signal.decimals !== null && signal.decimals >= 0) return Math.min(signal.decimals, 9);
  if (signal.kind !== "float") return 0;
  const span = (signal.high ?? NaN) - (signal.low ?? NaN);
  if (!Number.isFinite(span) || span <= 0) return 2;
  return Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(span))));
}

const formats = new Map<string, Intl.NumberFormat>();

function numberFormat(locale: string, decimals: number): Intl.NumberFormat {
  const key = `${locale}/${decimals}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
    formats.set(key, format);
  }
  return format;
}

export const NO_VALUE = "–";

export function formatNumber(v: number | null | undefined, decimals: number, locale: string): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return NO_VALUE;
  // Minus zero after rounding would print "−0.0".
  const zero = Math.abs(v) < 0.5 * 10 ** -decimals;
  return numberFormat(locale, decimals).format(zero ? 0 : v).replace("-", "−");
}

/** Three significant digits and a prefix: 12 345 678 → "12.3 M". */
export function formatCount(n: number | null | undefined, locale: string): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NO_VALUE;
  if (Math.abs(n) < 10_000) return formatNumber(n, Math.abs(n) < 100 && n % 1 !== 0 ? 1 : 0, locale);
  for (const [size, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (Math.abs(n) >= size) {
      const scaled = n / size;
      return `${formatNumber(scaled, scaled < 10 ? 2 : scaled < 100 ? 1 : 0, locale)} ${prefix}`;
    }
  }
  return formatNumber(n, 0, locale);
}

export function formatBytes(n: number | null | undefined, locale: string): string {
  if (n === null || n === undefined || !Number.isFinite(n)) return NO_VALUE;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) {
    n /= 1000;
    i += 1;
  }
  return `${formatNumber(n, i === 0 || n >= 100 ? 0 : n >= 10 ? 1 : 2, locale)} ${units[i]}`;
}

/** A span of time in its two largest units: "3 min 20 s". Input in seconds. */
export function formatSpan(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NO_VALUE;
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${(Math.floor(s * 10) / 10).toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return pair(s, 60, "min", 1, "s");
  if (s < 86400) return pair(s, 3600, "h", 60, "min");
  return pair(s, 86400, "d", 3600, "h");
}

function pair(s: number, big: number, bigName: string, small: number, smallName: string): string {
  const whole = Math.floor(s / big);
  const rest = Math.floor((s - whole * big) / small);
  return rest ? `${whole} ${bigName} ${rest} ${smallName}` : `${whole} ${bigName}`;
}

/** A position in the stream: the low 40 bits count, the others are the stream's epoch. */
export function formatSequence(seq: number, locale: string): string {
  return formatNumber(seq % 2 ** 40, 0, locale);
}

/** A thumbprint in groups of four, as people compare it by eye. */
export function groupHex(hex: string): string {
  return hex.replace(/[^0-9a-fA-F]/g, "").toUpperCase().replace(/(.{4})(?=.)/g, "$1 ");
}
