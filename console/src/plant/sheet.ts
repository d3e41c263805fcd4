// What flow sheets share: where a signal of the sheet is found, and the shapes of pipes.

import type { Signal } from "../lib/api/types";
import { catalogue } from "../lib/catalogue.svelte";

/** Finds the sheet's signals by the last two levels of their paths. */
export type Finder = (key: string) => Signal | undefined;

export function finder(prefix: string): Finder {
  return (key) => catalogue.byPath(`${prefix}/${key}`);
}

/** A pipe through points; corners are cut by a small arc, so that lines read as pipes. */
export function pipe(points: readonly (readonly [number, number])[], r = 6): string {
  const [first, ...rest] = points;
  let path = `M${first![0]} ${first![1]}`;
  for (let i = 0; i < rest.length; i += 1) {
    const [x, y] = rest[i]!;
    const next = rest[i + 1];
    if (!next) {
      path += `L${x} ${y}`;
      continue;
    }
    const [px, py] = i ? rest[i - 1]! : first!;
    const inX = Math.sign(x - px) * r;
    const inY = Math.sign(y - py) * r;
    const outX = Math.sign(next[0] - x) * r;
    const outY = Math.sign(next[1] - y) * r;
    path += `L${x - inX} ${y - inY}Q${x} ${y} ${x + outX} ${y + outY}`;
  }
  return path;
}

/** A horizontal pipe from right to left that jumps over what it crosses at the given x. */
export function jumping(y: number, from: number, to: number, over: readonly number[], r = 7): string {
  const left = to < from;
  let path = `M${from} ${y}`;
  for (const x of [...over].sort((a, b) => (left ? b - a : a - b))) {
    path += left ? `L${x + r} ${y}A${r} ${r} 0 0 0 ${x - r} ${y}` : `L${x - r} ${y}A${r} ${r} 0 0 1 ${x + r} ${y}`;
  }
  return `${path}L${to} ${y}`;
}
