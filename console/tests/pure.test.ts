import { describe, expect, test } from "vitest";
import { browserName } from "../src/lib/agent";
import { filterNodes, isPrefix, level, ticked, tree } from "../src/lib/browse";
import { along, beyond, bulletScale } from "../src/lib/bullet";
import { below, keySignals, machinesOf } from "../src/lib/machines";
import { qualityClass, qualityReason } from "../src/lib/quality";
import { find } from "../src/lib/search";
import { EventParser } from "../src/lib/sse";
import { formatTime, isZone, zoneOffset } from "../src/lib/time";
import { sparkPath, sparkScale } from "../src/lib/trend/spark";
import { axisStyle, MIN_SPAN, pan, zoom } from "../src/lib/trend/window";
import type { BrowseNode, Signal } from "../src/lib/api/types";

test("quality has a class and a reason", () => {
  expect([0, 256, 257, 512, 517].map(qualityClass)).toEqual(["good", "uncertain", "uncertain", "bad", "bad"]);
  expect(qualityReason(517)).toBe("sensor");
  expect(qualityReason(512 + 99)).toBe("none");
});

describe("events", () => {
  const text = ": beat\n\nid: 7\nevent: values\ndata: {\"a\":1}\n\nevent: fact\ndata: one\ndata: two\n\n";
  const expected = [{ event: "values", data: '{"a":1}', id: "7" }, { event: "fact", data: "one\ntwo", id: "7" }];
  test("are found however the stream is cut", () => {
    for (let size = 1; size <= text.length; size += 1) {
      const parser = new EventParser();
      const out = [];
      for (let i = 0; i < text.length; i += size) out.push(...parser.push(text.slice(i, i + size)));
      expect(out).toEqual(expected);
    }
  });
  test("with the other line end are the same", () => {
    expect(new EventParser().push(text.replace(/\n/g, "\r\n"))).toEqual(expected);
  });
});

describe("bullets", () => {
  const none = { low: null, high: null, limit_low: null, limit_high: null };
  test("need a range or both limits", () => {
    expect(bulletScale(none)).toBeNull();
    expect(bulletScale({ ...none, low: 0 })).toBeNull();
    expect(bulletScale({ ...none, limit_low: 20, limit_high: 40 })).toEqual({ low: 10, high: 50, bandLow: 20, bandHigh: 40 });
  });
  test("never show more than the engineering range", () => {
    expect(bulletScale({ low: 15, high: 1000, limit_low: 20, limit_high: 40 })).toEqual({ low: 15, high: 50, bandLow: 20, bandHigh: 40 });
  });
  test("clamp the mark", () => {
    const scale = bulletScale({ ...none, low: 0, high: 10 })!;
    expect([-5, 5, 50].map((v) => along(scale, v))).toEqual([0, 0.5, 1]);
  });
  test("know which limit is left", () => {
    const s = { ...none, limit_low: 1, limit_high: 2 };
    expect([0.9, 1, 2, 2.1, null].map((v) => beyond(s, v))).toEqual(["low", null, null, "high", null]);
    expect(beyond(none, 1e9)).toBeNull();
  });
});

describe("the window", () => {
  test("keeps the moment under the cursor while it zooms", () => {
    const w = zoom({ from: 0, to: 1_000_000 }, 0.5, 250_000);
    expect(w).toEqual({ from: 125_000, to: 625_000 });
  });
  test("does not become smaller than can be drawn", () => {
    const w = zoom({ from: 0, to: MIN_SPAN }, 0.01);
    expect(w.to - w.from).toBe(MIN_SPAN);
  });
  test("is not moved into the future", () => {
    expect(pan({ from: 0, to: 100 }, 5, 120)).toEqual({ from: 25, to: 125 });
    expect(pan({ from: 0, to: 100 }, -0.5, 120)).toEqual({ from: -50, to: 50 });
  });
  test("has ticks in fitting words", () => {
    expect([1e5, 5e6, 600e6, 86_400e6, 31 * 86_400e6, 366 * 86_400e6].map(axisStyle)).toEqual(["fine", "time", "minute", "day", "month", "year"]);
  });
});

test("a sparkline breaks where the line does", () => {
  const line = { ts: [0, 1, 2, 3], v: [1, 2, null, 1] };
  const path = sparkPath(line, 0, 3, { width: 30, height: 10 }, { low: 0, high: 2 });
  expect(path).toBe("M0.0 5.0L10.0 0.0M30.0 5.0");
  expect(sparkScale({ ts: [0], v: [null] })).toBeNull();
  expect(sparkScale({ ts: [0], v: [5] })!.low).toBeLessThan(5);
});

test("times are written on a 24-hour clock in the chosen zone", () => {
  const us = Date.UTC(2026, 0, 2, 22, 4, 5, 678) * 1000;
  expect(formatTime(us, "milli", "en", "UTC")).toBe("2026-01-02 22:04:05.678");
  expect(formatTime(us, "time", "en", "Asia/Shanghai")).toBe("06:04:05");
  expect(formatTime(Date.UTC(2026, 0, 2) * 1000, "minute", "zh-CN", "UTC")).toBe("00:00");
  expect(formatTime(null, "full", "en", "UTC")).toBe("–");
  expect(zoneOffset(us, "Asia/Shanghai")).toBe("UTC+08:00");
  expect([isZone("Europe/Berlin"), isZone("Mars/Base")]).toEqual([true, false]);
});

const signal = (path: string, more: Partial<Signal> = {}): Signal => ({
  sid: 1, path, name: path, kind: "float", unit: "", unit_note: "", low: 0, high: 1, limit_low: null, limit_high: null, period_ms: null,
  source: "s", writable: false, decimals: null, description: "", revision: 1, declared: {}, ...more,
});

test("signals are grouped by the machine in their path", () => {
  const list = ["a/b/c/d/reactor/p", "a/b/c/d/reactor/t", "a/b/c/d/press/oil/t"].map((p) => signal(p));
  expect(machinesOf(list, "a/b/c/d").map((m) => [m.key, m.signals.length])).toEqual([["reactor", 2], ["press/oil", 1]]);
  expect(below("x/y/z/w/m/s", "other")).toBe("m/s");
});

test("key signals are those with limits first, never set-points or margins", () => {
  const list = [signal("m/a"), signal("m/b", { limit_high: 3 }), signal("m/b-sp", { limit_high: 3 }), signal("m/c-margin", { limit_low: 0 }), signal("m/n", { low: null })];
  expect(keySignals(list, 5).map((s) => s.path)).toEqual(["m/b", "m/a"]);
});

test("search needs every word and prefers starts and short names", () => {
  const items = ["reactor pressure", "pressure of the reactor vessel far away", "separator pressure"].map((text) => ({ text }));
  expect(find(items, "pres reac", 9).map((x) => x.text)).toEqual(["reactor pressure", "pressure of the reactor vessel far away"]);
  expect(find(items, "nothing", 9)).toEqual([]);
});

const node = (path: string): BrowseNode => ({
  node_id: `i=${path}`, path, name: path.split("/").pop()!, kind: "float", unit: "Cel", low: null, high: null, limit_low: null, limit_high: null, decimals: null, writable: false, value: 1, description: "", followed: false,
});

test("what a server offers becomes a tree to tick", () => {
  const nodes = ["m/z/t1", "m/z/t2", "m/speed", "loose"].map(node);
  const root = tree(nodes);
  expect(root.folders.map((f) => [f.key, f.ids.length])).toEqual([["m", 3]]);
  expect(root.nodes.map((n) => n.name)).toEqual(["loose"]);
  expect(ticked(root.folders[0]!.ids, new Set(["i=m/speed"]))).toBe("some");
  expect(ticked(root.folders[0]!.ids, new Set(nodes.map((n) => n.node_id)))).toBe("all");
  expect(filterNodes(nodes, "t1 m").map((n) => n.path)).toEqual(["m/z/t1"]);
});

test("a prefix has four plain levels", () => {
  expect(isPrefix("lineshaft/demo/chem/tep")).toBe(true);
  for (const bad of ["a/b/c", "a/b/c/d/e", "A/b/c/d", "a/b//d", ""]) expect(isPrefix(bad)).toBe(false);
  expect(level("Reactor Pressure")).toBe("reactor-pressure");
  expect(level("反应器")).toBe("u53cd-u5e94-u5668");
  expect(level("  ")).toBe("unnamed");
});

test("a browser has a short name, a program its own", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";
  expect(browserName(chrome)).toBe("Chrome, Linux");
  expect(browserName(chrome.replace("X11; Linux x86_64", "Windows NT 10.0") + " Edg/140.0")).toBe("Edge, Windows");
  expect(browserName("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1")).toBe("Safari, iOS");
  expect(browserName("python-httpx/0.28")).toBe("python-httpx/0.28");
});
