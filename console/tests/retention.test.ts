import { expect, test } from "vitest";
import { decided, draftOf, fits, problemOf, rollupDays, ruleOf } from "../src/lib/retention";

const rule = (prefix: string, raw_days: number | null = null, rollup_days: number | null = null) => ({ prefix, raw_days, rollup_days });

test("a prefix fits whole levels", () => {
  expect([fits("", "a/b"), fits("a", "a/b"), fits("a/b", "a/b"), fits("a", "ab/c"), fits("a/b", "a")]).toEqual([true, true, true, false, false]);
});

test("of the rules that fit the longest decides", () => {
  expect(decided(["a", "a/b", ""], ["a/b/1", "a/b/2", "a/c/1", "d/1"])).toEqual([1, 2, 1]);
  expect(decided(["x"], ["a/1"])).toEqual([0]);
});

test("a rule is edited as text and an empty figure is for ever", () => {
  expect(ruleOf({ prefix: " a/b/ ", raw: "90", rollup: "" })).toEqual(rule("a/b", 90));
  expect(ruleOf(draftOf(rule("a", null, 400)))).toEqual(rule("a", null, 400));
});

test("what the server would refuse is said before", () => {
  const problem = (one: ReturnType<typeof rule>, ...others: ReturnType<typeof rule>[]): string | null => problemOf(one, [one, ...others]);
  expect(problem(rule("a", 90, 400))).toBe(null);
  expect(problem(rule("A b"))).toBe("prefix");
  expect(problem(rule("a"), rule("a"))).toBe("twice");
  for (const days of [0, 1.5, 40_001, Number.NaN]) expect(problem(rule("a", days))).toBe("days");
});

test("roll-ups stay at least as long as their samples", () => {
  expect([rule("", 90, 30), rule("", null, 30), rule("", 90, null), rule("", 30, 90)].map(rollupDays)).toEqual([90, null, null, 90]);
});
