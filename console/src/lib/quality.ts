// Quality of a sample: class times 256 plus a reason (0 good, 1 uncertain, 2 bad).

export type QualityClass = "good" | "uncertain" | "bad";

export const REASONS = [
  "none", "clock", "not_a_number", "timeout", "link", "sensor", "device", "config",
  "out_of_service", "last_usable", "substituted", "engineering_limits", "type", "access",
] as const;

export type Reason = (typeof REASONS)[number];

export function qualityClass(q: number): QualityClass {
  const level = Math.floor(q / 256);
  return level <= 0 ? "good" : level === 1 ? "uncertain" : "bad";
}

/** The reason in its short name; an unknown number is `none`. */
export function qualityReason(q: number): Reason {
  return REASONS[q % 256] ?? "none";
}
