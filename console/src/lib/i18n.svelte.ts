// Texts in two languages with equal key sets. `{name}` is replaced by a parameter; where `n` is
// given, `key.one` or `key.other` is taken by the language's plural rule if they exist.

import en from "../i18n/en.json";
import { prefs } from "./prefs.svelte";

export type Lang = "en" | "zh";
type Base<K> = K extends `${infer B}.${"one" | "other"}` ? B : K;
export type Key = keyof typeof en | Base<keyof typeof en>;
type Table = Record<string, string>;

const tables: { en: Table; zh: Table | null } = { en, zh: null };
const state = $state<{ lang: Lang }>({ lang: "en" });
const plurals = { en: new Intl.PluralRules("en"), zh: new Intl.PluralRules("zh") };

export const i18n = {
  get lang(): Lang {
    return state.lang;
  },
  /** For Intl: numbers. */
  get locale(): string {
    return state.lang === "zh" ? "zh-CN" : "en-GB";
  },
  /** For `formatTime`. */
  get dates(): string {
    return state.lang === "zh" ? "zh-CN" : "en";
  },
  async use(lang: Lang): Promise<void> {
    if (lang === "zh" && !tables.zh) tables.zh = (await import("../i18n/zh.json")).default;
    state.lang = lang;
    prefs.lang = lang;
    document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  },
};

export function t(key: Key, params: Record<string, string | number> = {}): string {
  return fill(lookup(key, params.n) ?? key, params);
}

/** For texts whose key comes from data: the fallback is shown where there is none. */
export function tOr(key: string, fallback: string, params: Record<string, string | number> = {}): string {
  const text = lookup(key, params.n);
  return text === undefined ? fallback : fill(text, params);
}

function lookup(key: string, n: string | number | undefined): string | undefined {
  const table = tables[state.lang] ?? tables.en;
  if (n !== undefined) {
    // Counts arrive formatted; only "1" is singular in English.
    const count = typeof n === "number" ? n : n === "1" ? 1 : 2;
    const form = table[`${key}.${plurals[state.lang].select(count)}`] ?? table[`${key}.other`];
    if (form !== undefined) return form;
  }
  return table[key];
}

function fill(text: string, params: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}
