// A period in words: "1 day", "14 days", "8 h".

import type { Micros } from "../lib/api/types";
import { t } from "../lib/i18n.svelte";
import { DAY, HOUR, MINUTE } from "../lib/time";

export function shiftText(shift: Micros): string {
  if (shift % (7 * DAY) === 0) return t("compare.nWeeks", { n: shift / (7 * DAY) });
  if (shift % DAY === 0) return t("compare.nDays", { n: shift / DAY });
  if (shift % HOUR === 0) return t("compare.nHours", { n: shift / HOUR });
  return t("compare.nMinutes", { n: Math.round(shift / MINUTE) });
}
