// The path of a small line chart: one subpath for every unbroken run.

import type { Line } from "./lines";

export interface Box {
  width: number;
  height: number;
}

export interface Scale {
  low: number;
  high: number;
}

/** The range of a line with a margin; a flat line lies in the middle. */
export function sparkScale(line: Line): Scale | null {
  let low = Infinity;
  let high = -Infinity;
  for (const v of line.v) {
    if (v === null) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) return null;
  const margin = (high - low) * 0.08 || Math.abs(high) * 1e-3 || 1;
  return { low: low - margin, high: high + margin };
}

export function sparkPath(line: Line, from: number, to: number, box: Box, scale: Scale): string {
  const sx = box.width / (to - from);
  const sy = box.height / (scale.high - scale.low);
  let path = "";
  let pen = false;
  for (let i = 0; i < line.ts.length; i += 1) {
    const v = line.v[i];
    if (v === null || v === undefined) {
      pen = false;
      continue;
    }
    const x = Math.max(0, (line.ts[i]! - from) * sx);
    const y = Math.min(box.height, Math.max(0, box.height - (v - scale.low) * sy));
    path += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return path;
}
