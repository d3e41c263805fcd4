import { describe, expect, test } from "vitest";
import { decimalsOf, displayUnit, formatBytes, formatCount, formatNumber, formatSpan, groupHex } from "../src/lib/format";

const float = { kind: "float" as const, decimals: null, low: null, high: null };

test("units are printed as on an instrument", () => {
  const cases = {
    Cel: "°C", "m3/h": "m³/h", "kg/h": "kg/h", "%": "%", "1": "", kPa: "kPa", "[USD]/h": "$/h",
    "[USD]/kmol": "$/kmol", "N.m": "N·m", "m/s2": "m/s²", "10*3.m3/h": "10³·m³/h", "1/min": "1/min", "": "",
  };
  for (const [code, shown] of Object.entries(cases)) expect(displayUnit(code)).toBe(shown);
});

describe("numbers", () => {
  test("keep their decimals", () => {
    expect(formatNumber(2705, 1, "en-GB")).toBe("2,705.0");
    expect(formatNumber(0.8361, 3, "en-GB")).toBe("0.836");
  });
  test("have a true minus and no minus zero", () => {
    expect(formatNumber(-3.2, 1, "en-GB")).toBe("−3.2");
    expect(formatNumber(-0.04, 1, "en-GB")).toBe("0.0");
  });
  test("are a dash where there is no value", () => {
    for (const v of [null, undefined, NaN, Infinity]) expect(formatNumber(v, 2, "en-GB")).toBe("–");
  });
  test("take decimals from the signal, else from its range", () => {
    expect(decimalsOf({ ...float, decimals: 2 })).toBe(2);
    expect(decimalsOf({ ...float, kind: "int" })).toBe(0);
    expect(decimalsOf({ ...float, low: 0, high: 1000 })).toBe(0);
    expect(decimalsOf({ ...float, low: 0, high: 10 })).toBe(2);
    expect(decimalsOf(float)).toBe(2);
  });
});

test("counts and sizes have three digits and a prefix", () => {
  expect(formatCount(9999, "en-GB")).toBe("9,999");
  expect(formatCount(12_345, "en-GB")).toBe("12.3 k");
  expect(formatCount(118_204_530, "en-GB")).toBe("118 M");
  expect(formatCount(null, "en-GB")).toBe("–");
  expect(formatBytes(1_940_000_000, "en-GB")).toBe("1.94 GB");
  expect(formatBytes(512, "en-GB")).toBe("512 B");
});

test("spans show their two largest units and never round up", () => {
  expect(formatSpan(0.924)).toBe("924 ms");
  expect(formatSpan(9.99)).toBe("9.9 s");
  expect(formatSpan(59.99)).toBe("59 s");
  expect(formatSpan(60)).toBe("1 min");
  expect(formatSpan(214)).toBe("3 min 34 s");
  expect(formatSpan(5 * 3600 + 24 * 60)).toBe("5 h 24 min");
  expect(formatSpan(null)).toBe("–");
});

test("a thumbprint is grouped for the eye", () => {
  expect(groupHex("8f1c2a7755")).toBe("8F1C 2A77 55");
});
