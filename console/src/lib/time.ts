// Times as people read them: 24-hour clock, the chosen zone, formatters kept because making one
// costs more than using it a thousand times.

import type { Micros } from "./api/types";

export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export type TimeStyle = "fine" | "time" | "minute" | "full" | "milli" | "date" | "dayMinute" | "day" | "month" | "year";

const STYLES: Record<TimeStyle, Intl.DateTimeFormatOptions> = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  fine: { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
  minute: { hour: "2-digit", minute: "2-digit" },
  full: {
    year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
  },
  milli: {
    year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
  },
  date: { year: "numeric", month: "2-digit", day: "2-digit" },
  dayMinute: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  day: { month: "short", day: "numeric" },
  month: { month: "short", year: "numeric" },
  year: { year: "numeric" },
};

const made = new Map<string, Intl.DateTimeFormat>();

/** English dates in figures are written the ISO way: 03/04 means two days to two readers. */
function localeOf(style: TimeStyle, lang: string): string {
  if (lang !== "en") return lang;
  return style === "day" || style === "dayMinute" || style === "month" ? "en-GB" : "sv-SE";
}

function formatter(style: TimeStyle, lang: string, zone: string): Intl.DateTimeFormat {
  const key = `${style}/${lang}/${zone}`;
  let format = made.get(key);
  if (!format) {
    const options = { ...STYLES[style], hourCycle: "h23", timeZone: zone } as const;
    format = new Intl.DateTimeFormat(localeOf(style, lang), options);
    made.set(key, format);
  }
  return format;
}

/** `lang` is "en" or a locale; `zone` an IANA name. */
export function formatTime(us: Micros | null | undefined, style: TimeStyle, lang: string, zone: string): string {
  if (us === null || us === undefined || !Number.isFinite(us)) return "–";
  // Swedish is the ISO form but for the comma before a fraction.
  return formatter(style, lang, zone).format(new Date(us / 1000)).replace(/,(\d{3})$/, ".$1");
}

export function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** The zone's distance to UTC at a moment, as "UTC+08:00". */
export function zoneOffset(us: Micros, zone: string): string {
  const part = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" })
    .formatToParts(new Date(us / 1000))
    .find((p) => p.type === "timeZoneName")?.value;
  return (part ?? "GMT").replace("GMT", "UTC");
}
