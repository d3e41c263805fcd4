import { expect, test } from "vitest";
import { isStale, type Freshness } from "../src/lib/stale";

const S = 1_000_000;
const now = 1_000_000 * S;
const value = (more: Partial<Freshness>): Freshness => ({
  ts: now, arrived: now, period_ms: 1000, writable: false, link: "connected", sourceLast: now, ...more,
});

test("a value is stale after three periods", () => {
  expect(isStale(value({ ts: now - 2.9 * S, arrived: now - 2.9 * S }), now, false)).toBe(false);
  expect(isStale(value({ ts: now - 3 * S, arrived: now - 3 * S }), now, false)).toBe(true);
});

test("a source that is not connected, or a lost server, makes its values stale at once", () => {
  for (const link of ["disconnected", "connecting", "refused"] as const) {
    expect(isStale(value({ link }), now, false)).toBe(true);
  }
  expect(isStale(value({}), now, true)).toBe(true);
});

test("without a period ten seconds of the source's silence count", () => {
  const old = { ts: now - 3600 * S, arrived: null, period_ms: null };
  expect(isStale(value({ ...old, sourceLast: now - 9 * S }), now, false)).toBe(false);
  expect(isStale(value({ ...old, sourceLast: now - 10 * S }), now, false)).toBe(true);
  expect(isStale(value({ ...old, sourceLast: null }), now, false)).toBe(true);
});

test("a set-point holds while its source lives", () => {
  const setpoint = { ts: now - 3600 * S, arrived: null, writable: true };
  expect(isStale(value({ ...setpoint, sourceLast: now - S }), now, false)).toBe(false);
  expect(isStale(value({ ...setpoint, sourceLast: now - 20 * S }), now, false)).toBe(true);
});

test("a machine whose clock is behind is not stale while it reports", () => {
  expect(isStale(value({ ts: now - 3600 * S, arrived: now - 0.5 * S }), now, false)).toBe(false);
});
