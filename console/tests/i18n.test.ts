import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import en from "../src/i18n/en.json";
import zh from "../src/i18n/zh.json";

function files(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : /\.(svelte|ts)$/.test(name) ? [path] : [];
  });
}
const source = files("src").map((path) => readFileSync(path, "utf8")).join("\n");

test("both languages have the same keys", () => {
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
});

test("both languages use the same parameters, apart from a count that a singular leaves out", () => {
  for (const [key, text] of Object.entries(en)) {
    const names = (s: string): string[] => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]!).filter((n) => n !== "n").sort();
    expect([key, names((zh as Record<string, string>)[key]!)]).toEqual([key, names(text)]);
  }
});

test("no text is empty, no Chinese text was forgotten", () => {
  for (const [key, text] of [...Object.entries(en), ...Object.entries(zh)]) expect(text.trim(), key).not.toBe("");
  const same = Object.entries(en).filter(([key, text]) => (zh as Record<string, string>)[key] === text && /[a-z]{3}/.test(text));
  expect(same.map(([key]) => key)).toEqual([]);
});

test("every text is used", () => {
  const dynamic = /^signals\.(field|state|name|limits)|^limits\.(found|name)\.|^sheet\.(bad|conflict|unknown)|^(nav|link|task|quality|reason|fact|cause|machine|mode|kind|process|palette|alarm|why)\.|^settings\.theme\.|^trends\.preset\.|^add\.step\.|^system\.does\.|^role\.|^people\.state\.|^audit\.did\.|^retention\.wrong\.|^logs\.from\.|^calc\.(state|fill)\.|^twins\.(state|tells|origin|method)\.|^twins\.draft\.(name|class|behaviour|clock|side|why)\b|^sched\.(kpi|sort|state)\.|^decisions\.(condition|mode|does|effect|state|phase|ending|line|room|method|step)\.|^exchange\.(state|form|tells|layout|role|fold|which|range)\.|^ledger\.trouble\.|^tep\./;
  const unused = Object.keys(en).filter((key) => {
    const base = key.replace(/\.(one|other)$/, "");
    return !dynamic.test(key) && !source.includes(`"${base}"`) && !source.includes(`'${base}'`);
  });
  expect(unused).toEqual([]);
});

test("the alarm hues are used for alarms only", () => {
  const users = files("src").filter((path) => /var\(--p[1-4{]/.test(readFileSync(path, "utf8"))).map((p) => p.split("/").pop());
  expect(users.sort()).toEqual(["Bullet.svelte", "Drawer.svelte", "Mark.svelte", "ServerBar.svelte", "Tag.svelte"]);
});
