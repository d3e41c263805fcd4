"""Samples of many signals onto one time grid.

Rules: a value holds from its stamp to the next one (OPC 10000-13, stepped interpolation), no longer
than `max_hold`, not through a declared gap of its source (at whose end it holds again: the source
told its values anew, and one that had not changed gave no sample), and not beyond the horizon, up
to which anything is known. Bad (class 2) and null hold no value. Cells are [edge, next edge); what
a cell says depends on samples and edges alone, never on the range that was asked for.

Aggregates of OPC 10000-13: last = Interpolative (the value that held at the cell's opening edge),
mean = Average, twa = TimeAverage2, min = Minimum, max = Maximum, first = Start, count = Count,
good_share = PercentGood as a share of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from lineshaft.core.quality import BAD, GOOD, UNCERTAIN, Reason, bad
from lineshaft.rooms.history.engine.rows import Column, Rows

__all__ = [
    "NO_LIMIT", "Grid", "Holding", "Holds", "How", "Rule", "admitted", "aligned_edges",
    "cells", "grid", "hold", "tracks", "weights",
]  # fmt: skip

NO_LIMIT: Final = 1 << 61
Spans = Sequence[tuple[int, int]]


class How(StrEnum):
    """What a cell says (OPC 10000-13): `last` is the value that held at the cell's beginning, `twa`
    the mean weighted by time, `good_share` for which share of the cell a good value held."""

    LAST = "last"
    MEAN = "mean"
    TWA = "twa"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    COUNT = "count"
    GOOD_SHARE = "good_share"


class Rule(StrEnum):
    """Which values count: `good` alone, `usable` (good and uncertain), or `worst`: those, under the
    worst quality of all that touched the cell, bad included."""

    GOOD = "good"
    USABLE = "usable"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class Holding:
    """How long values hold: `max_hold` µs, never beyond the stamp `horizon`."""

    max_hold: int = NO_LIMIT
    horizon: int = NO_LIMIT


@dataclass(frozen=True, slots=True)
class Holds:
    """One signal's values, ascending, shape `(n,)`: each holds in [ts, until), which may be empty.

    `told` is False where a value was not told at its stamp but holds again or ends there (the rims
    of gaps), None where all were told.
    """

    ts: Column
    v: Column
    q: Column
    until: Column
    told: Column | None = None

    def only(self, chosen: Column) -> tuple[Column, Column, Column]:
        """Return (ts, v, q) of the told values under the mask `chosen`."""
        chosen = chosen if self.told is None else chosen & self.told
        if chosen.all():
            return self.ts, self.v, self.q
        return self.ts[chosen], self.v[chosen], self.q[chosen]


@dataclass(frozen=True, slots=True)
class Grid:
    """`ts` (n_cells,): where cells begin; `v` (NaN for none) and `q`: (n_signals, n_cells)."""

    ts: Column
    v: Column
    q: Column


def aligned_edges(start: int, end: int, step: int) -> Column:
    """Return the edges of the whole cells, aligned to 1970 UTC, that touch [start, end)."""
    return np.arange(start // step, -(-end // step) + 1, dtype=np.int64) * step


def hold(ts: Column, v: Column, q: Column, gaps: Spans, holding: Holding) -> Holds:
    """Return how long each value holds; `ts` ascending, `gaps` as (from, to)."""
    told = None
    if gaps and len(ts):
        ts, v, q, told = _cut(ts, v, q, gaps)
    until = np.empty_like(ts)
    until[:-1] = ts[1:]
    until[-1:] = NO_LIMIT
    if holding.max_hold < NO_LIMIT:
        np.minimum(until, ts + holding.max_hold, out=until)
    np.minimum(until, holding.horizon, out=until)
    return Holds(ts, v, q, until, told)


def _cut(
    ts: Column, v: Column, q: Column, gaps: Spans
) -> tuple[Column, Column, Column, Column]:  # fmt: skip
    """Put the rims of gaps between the samples: a null after `from`, the held value at `to`."""
    start, end = _disjoint(gaps)
    some = np.searchsorted(ts, start, "right") > 0  # else nothing held that could end
    start, end = start[some], end[some]
    held = np.searchsorted(ts, end, "right") - 1
    again = ts[held] != end
    stamps = np.concatenate((start + 1, ts, end[again]))
    # Rims stand before samples of the same stamp, so that what was told there holds.
    order = np.argsort(stamps, kind="stable")
    null = np.full(len(start), np.nan)
    lost = np.full(len(start), bad(Reason.LINK), q.dtype)
    held = held[again]
    told = np.zeros(len(stamps), bool)
    told[len(start) : len(start) + len(ts)] = True
    values = np.concatenate((null, v, v[held]))[order]
    return stamps[order], values, np.concatenate((lost, q, q[held]))[order], told[order]


def _disjoint(spans: Spans) -> tuple[Column, Column]:
    """Return spans as ascending (from, to) columns, those that overlap joined to one."""
    start, end = np.array(sorted(spans), np.int64).reshape(-1, 2).T
    furthest = np.maximum.accumulate(end)
    first = np.append(True, start[1:] >= furthest[:-1])
    return start[first], furthest[np.append(np.flatnonzero(first)[1:] - 1, len(start) - 1)]


def admitted(holds: Holds, rule: Rule) -> Column:
    """Return the mask of the values that count under the rule."""
    limit = UNCERTAIN if rule is Rule.GOOD else BAD
    return (holds.q < limit) & ~np.isnan(holds.v)


def cells(
    holds: Holds, edges: Column, how: How, rule: Rule, horizon: int = NO_LIMIT
) -> tuple[Column, Column]:  # fmt: skip
    """Return value (NaN for none) and quality of each cell of one signal."""
    match how:
        case How.LAST:
            return _last(holds, edges, rule)
        case How.TWA:
            chosen = admitted(holds, rule)
            weight, total = weights(holds, edges, chosen)
            v = np.divide(total, weight, out=np.full(len(weight), np.nan), where=weight > 0)
            return v, _quality(holds, edges, chosen, rule, np.isnan(v), carried=True)
        case How.GOOD_SHARE:
            weight, _ = weights(holds, edges, admitted(holds, Rule.GOOD))
            length = (np.minimum(edges[1:], horizon) - edges[:-1]).astype(float)
            known = length > 0
            v = np.divide(weight, length, out=np.full(len(weight), np.nan), where=known)
            return v, np.where(known, GOOD, BAD).astype(np.int32)
        case _:
            return _of_samples(holds, edges, how, rule)


def _last(holds: Holds, edges: Column, rule: Rule) -> tuple[Column, Column]:
    v = np.full(len(edges) - 1, np.nan)
    q = np.full(len(edges) - 1, BAD, np.int32)
    at = np.searchsorted(holds.ts, edges[:-1], "right") - 1
    some = np.flatnonzero(at >= 0)
    at = at[some]
    holding = edges[some] < holds.until[at]
    good = holding & admitted(holds, rule)[at]
    v[some[good]] = holds.v[at[good]]
    q[some] = np.where(holding, holds.q[at], bad(Reason.TIMEOUT))
    unused = some[holding & ~good]
    q[unused] = np.maximum(q[unused], BAD)
    return v, q


def _of_samples(holds: Holds, edges: Column, how: How, rule: Rule) -> tuple[Column, Column]:
    chosen = admitted(holds, rule)
    ts, values, _ = holds.only(chosen)
    at = np.searchsorted(ts, edges)
    count = at[1:] - at[:-1]
    full = np.flatnonzero(count)
    begins, v = at[full], np.full(len(count), np.nan)
    inside = values[: at[-1]]
    match how:
        case How.COUNT:
            v = count.astype(float)
        case How.FIRST:
            v[full] = values[begins]
        case How.MEAN if len(full):
            v[full] = np.add.reduceat(inside, begins) / count[full]
        case How.MIN | How.MAX if len(full):
            extreme = np.minimum if how is How.MIN else np.maximum
            v[full] = extreme.reduceat(inside, begins)
    return v, _quality(holds, edges, chosen, rule, np.isnan(v), carried=False)


def weights(holds: Holds, edges: Column, chosen: Column) -> tuple[Column, Column]:
    """Return per cell for how long (µs) a chosen value held, and the integral of value over µs."""
    ts, until = holds.ts, holds.until
    at = np.searchsorted(ts, edges)
    first, end = int(at[0]), int(at[-1])
    weight, total = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    everything = bool(chosen.all())
    value = holds.v if everything else np.where(chosen, holds.v, 0.0)
    full = np.flatnonzero(at[1:] > at[:-1])
    if len(full):
        lasting = (until[first:end] - ts[first:end]).astype(float)
        final = at[full + 1] - 1
        lasting[final - first] = np.minimum(until[final], edges[full + 1]) - ts[final]
        np.maximum(lasting, 0.0, out=lasting)
        if not everything:
            lasting *= chosen[first:end]
        weight[full] = np.add.reduceat(lasting, at[full] - first)
        lasting *= value[first:end]
        total[full] = np.add.reduceat(lasting, at[full] - first)
    carried = np.flatnonzero(at[:-1] > 0)  # the value that held when the cell opened
    before = at[carried] - 1
    rest = np.minimum(until[before], edges[carried + 1]) - edges[carried]
    rest = np.maximum(rest, 0) * chosen[before]
    weight[carried] += rest
    total[carried] += rest * value[before]
    return weight, total


def _quality(
    holds: Holds, edges: Column, chosen: Column, rule: Rule, empty: Column, *, carried: bool
) -> Column:  # fmt: skip
    """Return the worst quality of each cell: of what counted, or of all where nothing did."""
    if not holds.q.any() and not empty.any():
        return np.zeros(len(empty), np.int32)
    worst = _worst(holds, edges, np.ones(len(chosen), bool), carried)
    q = worst if rule is Rule.WORST else _worst(holds, edges, chosen, carried)
    return np.where(empty, np.maximum(worst, BAD), q).astype(np.int32)


def _worst(holds: Holds, edges: Column, chosen: Column, carried: bool) -> Column:
    q = np.where(chosen, holds.q, GOOD)
    at = np.searchsorted(holds.ts, edges)
    worst = np.zeros(len(edges) - 1, np.int32)
    full = np.flatnonzero(at[1:] > at[:-1])
    if len(full):
        worst[full] = np.maximum.reduceat(q[: at[-1]], at[full])
    if carried:
        some = np.flatnonzero(at[:-1] > 0)
        before = at[some] - 1
        reaches = holds.until[before] > edges[some]
        some, before = some[reaches], before[reaches]
        worst[some] = np.maximum(worst[some], q[before])
    return worst


def tracks(rows: Rows, before: Rows, sids: Sequence[int]) -> list[tuple[Column, Column, Column]]:
    """Return (ts, v, q) of each signal: the row that held before, then its rows; both arguments
    sorted by sid and ts, `before` with one row a signal at most."""
    keys = np.array(sids, np.int32)
    first, end = np.searchsorted(rows.sid, keys), np.searchsorted(rows.sid, keys, "right")
    old, none = np.searchsorted(before.sid, keys), len(before)
    found = []
    for at, (low, high) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        known = int(old[at])
        has = known < none and before.sid[known] == keys[at]
        parts = [(before, known, known + 1)] if has else []
        parts.append((rows, low, high))
        columns = (
            np.concatenate([getattr(part, name)[i:j] for part, i, j in parts])
            for name in ("ts", "v", "q")
        )
        ts, v, q = columns
        found.append((ts, v, q))
    return found


def grid(
    rows: Rows, before: Rows, sids: Sequence[int], gaps: Mapping[int, Spans], edges: Column,
    how: How, rule: Rule = Rule.USABLE, holding: Holding | None = None,
) -> Grid:  # fmt: skip
    """Return the cells between `edges` of each signal in `sids`, in that order.

    `rows` have edges[0] <= ts < edges[-1]; `before` is the row of each signal that held before;
    `gaps` are the declared gaps of each signal's source.
    """
    holding = holding or Holding()
    v = np.empty((len(sids), len(edges) - 1))
    q = np.empty(v.shape, np.int32)
    for at, (sid, own) in enumerate(zip(sids, tracks(rows, before, sids), strict=True)):
        holds = hold(*own, gaps.get(sid, ()), holding)
        v[at], q[at] = cells(holds, edges, how, rule, holding.horizon)
    return Grid(edges[:-1], v, q)
