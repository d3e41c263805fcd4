// What a person chose for this browser: theme, language, time zone. Kept in localStorage; where
// that is closed, for this tab only.

import { isZone, localZone } from "./time";

export type Theme = "system" | "light" | "dark";

function read(key: string): string | null {
  try {
    return localStorage.getItem(`lineshaft.${key}`);
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(`lineshaft.${key}`, value);
  } catch {
    // A closed store costs the memory of the choice, nothing else.
  }
}

const theme = read("theme");
const zone = read("zone");
const state = $state({
  theme: (theme === "light" || theme === "dark" ? theme : "system") as Theme,
  zone: zone !== null && (zone === "local" || isZone(zone)) ? zone : "local",
});

/** The theme stands on the root element, so that CSS alone follows it. */
export function applyTheme(): void {
  document.documentElement.dataset.theme = state.theme;
}

export const prefs = {
  get theme(): Theme {
    return state.theme;
  },
  set theme(value: Theme) {
    state.theme = value;
    write("theme", value);
    applyTheme();
  },
  /** The language chosen before, else the browser's. */
  get lang(): "en" | "zh" {
    const kept = read("lang");
    if (kept === "en" || kept === "zh") return kept;
    return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
  },
  set lang(value: "en" | "zh") {
    write("lang", value);
  },
  /** Who signed in here last with a name. */
  get name(): string {
    return read("name") ?? "";
  },
  set name(value: string) {
    write("name", value);
  },
  /** "local" or an IANA name. */
  get zoneChoice(): string {
    return state.zone;
  },
  set zoneChoice(value: string) {
    state.zone = value;
    write("zone", value);
  },
  /** The IANA name that times are shown in. */
  get zone(): string {
    return state.zone === "local" ? localZone() : state.zone;
  },
};
