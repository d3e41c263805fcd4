import { describe, expect, test } from "vitest";
import { align, appendLive, bandAt, bands, breakAtGaps, holdOver, trimBefore, valueAt, type Line } from "../src/lib/trend/lines";

const line = (...points: [number, number | null][]): Line => ({ ts: points.map((p) => p[0]), v: points.map((p) => p[1]) });
const gap = (from: number, to: number, source = "a", cause = "link"): { source: string; from: number; to: number; cause: string } => ({ source, from, to, cause });

describe("live values", () => {
  test("are appended in order", () => {
    const l = line([10, 1], [20, 2]);
    expect(appendLive(l, 30, 3)).toBe(true);
    expect(l).toEqual(line([10, 1], [20, 2], [30, 3]));
  });
  test("are not added twice", () => {
    const l = line([10, 1], [20, 2]);
    expect(appendLive(l, 20, 2)).toBe(false);
    expect(l.ts).toEqual([10, 20]);
  });
  test("replace a value of the same stamp and find their place when late", () => {
    const l = line([10, 1], [20, 2], [30, 3]);
    appendLive(l, 20, null);
    appendLive(l, 25, 9);
    expect(l).toEqual(line([10, 1], [20, null], [25, 9], [30, 3]));
  });
  test("random orders end in the same line as sorted ones", () => {
    const stamps = Array.from({ length: 200 }, (_, i) => i * 7);
    const shuffled = [...stamps].sort((a, b) => ((a * 7919) % 1009) - ((b * 7919) % 1009));
    const l = line();
    for (const t of shuffled) appendLive(l, t, t);
    for (const t of shuffled) appendLive(l, t, t);
    expect(l).toEqual({ ts: stamps, v: stamps });
  });
});

test("trimming keeps the sample by which the line enters the picture", () => {
  const l = line([1, 1], [2, 2], [3, 3], [10, 4]);
  trimBefore(l, 5);
  expect(l).toEqual(line([3, 3], [10, 4]));
});

describe("gaps", () => {
  test("break the line just inside", () => {
    expect(breakAtGaps(line([10, 1], [50, 2]), [gap(10, 50)])).toEqual(line([10, 1], [11, null], [50, 2]));
  });
  test("outside the line change nothing", () => {
    const l = line([10, 1], [20, 2]);
    expect(breakAtGaps(l, [gap(1, 5), gap(30, 40)])).toEqual(l);
  });
  test("keep every sample, late ones within the gap too", () => {
    const broken = breakAtGaps(line([10, 1], [30, 7], [50, 2]), [gap(10, 50)]);
    expect(broken).toEqual(line([10, 1], [11, null], [30, 7], [50, 2]));
  });
  test("break a line whose samples reach into them", () => {
    const l = line([0, 1], [12, 2], [48, 3], [60, 4]);
    expect(breakAtGaps(l, [gap(10, 50)])).toEqual(line([0, 1], [12, 2], [13, null], [48, 3], [60, 4]));
    expect(breakAtGaps(line([12, 2], [60, 4]), [gap(10, 50)])).toEqual(line([12, 2], [13, null], [60, 4]));
  });
  test("are joined to bands and cut to the window", () => {
    const list = bands([gap(40, 60), gap(0, 20), gap(15, 30, "b", "buffer"), gap(90, 200), gap(300, 400)], 10, 100);
    expect(list.map((b) => [b.from, b.to])).toEqual([[10, 30], [40, 60], [90, 100]]);
    expect(list[0]!.gaps.map((g) => g.cause)).toEqual(["link", "buffer"]);
    expect(bandAt(list, 50)?.from).toBe(40);
    expect(bandAt(list, 70)).toBeNull();
  });
});

test("a silence holds the value and then jumps; a break stays a break", () => {
  expect(holdOver(line([0, 1], [10, 2], [100, 3]), 20)).toEqual(line([0, 1], [10, 2], [99, 2], [100, 3]));
  expect(holdOver(line([0, 1], [10, null], [100, 3]), 20)).toEqual(line([0, 1], [10, null], [100, 3]));
});

test("aligning makes missing stamps undefined and keeps breaks null", () => {
  const [xs, a, b] = align([line([1e6, 1], [3e6, null]), line([2e6, 5], [3e6, 6])]);
  expect(xs).toEqual([1, 2, 3]);
  expect(a).toEqual([1, undefined, null]);
  expect(b).toEqual([undefined, 5, 6]);
});

test("the value at a moment is the newest before it, and nothing in a break", () => {
  const l = line([10, 1], [20, null], [30, 3]);
  expect(valueAt(l, 5)).toBeNull();
  expect(valueAt(l, 15)).toEqual({ ts: 10, v: 1 });
  expect(valueAt(l, 25)).toEqual({ ts: 20, v: null });
  expect(valueAt(l, 99)).toEqual({ ts: 30, v: 3 });
});
