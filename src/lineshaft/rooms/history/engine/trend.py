"""What draws a trend: the points of every column, and the breaks at gaps.

It keeps the first, least, greatest and last value of every column, at their true
stamps, so that the drawn line equals the line through all points (Jugel et al., "M4: A
Visualization-Oriented Time Series Data Aggregation", VLDB 2014).
"""

from collections.abc import Sequence

import numpy as np

from lineshaft.core.quality import Reason, bad
from lineshaft.rooms.history.engine.rows import Column

__all__ = [
    "aligned_columns", "break_at_gaps", "choose_points", "extreme_at", "held_through",
    "pixel_columns",
]  # fmt: skip


def pixel_columns(start: int, end: int, pixels: int) -> Column:
    """Return where each of `pixels` columns from `start` to `end` begins, shape `(pixels,)`."""
    # Without a product that int64 cannot hold.
    step, rest = divmod(max(1, end - start), pixels)
    column = np.arange(pixels)
    return start + column * step - (-column * rest // pixels)


def aligned_columns(start: int, end: int, step: int) -> Column:
    """Return where columns `step` wide begin: `start` and every multiple of `step` before `end`."""
    return np.append(start, np.arange(start // step + 1, -(-end // step)) * step)


def choose_points(ts: Column, v: Column, begins: Column) -> Column:
    """Return the ascending positions of the points that draw columns beginning at `begins`.

    `ts` (µs, ascending) and `v` (NaN where there is no value) have shape `(n,)`; stamps before
    the first column count to it.
    """
    if not len(ts):
        return np.arange(0)
    first = np.unique(np.concatenate(([0], np.searchsorted(ts, begins[1:]))))
    first = first[first < len(ts)]
    last = np.append(first[1:], len(ts)) - 1
    count = last - first + 1
    least = extreme_at(np.minimum, np.where(np.isnan(v), np.inf, v), first, count)
    greatest = extreme_at(np.maximum, np.where(np.isnan(v), -np.inf, v), first, count)
    return np.unique(np.concatenate((first, least, greatest, last)))


def extreme_at(extreme: np.ufunc, v: Column, first: Column, count: Column) -> Column:
    """Return where each stretch (`first` position, `count`) first holds its extreme value."""
    found = np.repeat(extreme.reduceat(v, first), count)
    hits = np.flatnonzero(v == found)
    return hits[np.searchsorted(hits, first)]


def held_through(ts: Column, gaps: Sequence[tuple[int, int]]) -> Column:
    """Return the positions of the samples whose value held at the end of each gap (from, to)."""
    held = np.searchsorted(ts, np.array([end for _, end in gaps], np.int64), side="right") - 1
    return held[held >= 0]


def break_at_gaps(
    ts: Column, v: Column, q: Column, gaps: Sequence[tuple[int, int]]
) -> tuple[Column, Column, Column]:
    """Return the points with the line broken over each gap (from, to): a null just after `from`
    and, where no sample lies at `to`, the value that held then.

    At the end of a gap the source told its current values anew; one that did not change gave no new
    sample, so the last one at or before `to` holds again.
    """
    if not gaps or not len(ts):
        return ts, v, q
    add: list[tuple[int, float, int]] = []
    for start, end in gaps:
        held = int(np.searchsorted(ts, end, side="right")) - 1
        if held < 0 or int(np.searchsorted(ts, start, side="right")) == 0:
            continue
        add.append((start + 1, np.nan, bad(Reason.LINK)))
        if ts[held] != end:
            add.append((end, float(v[held]), int(q[held])))
    if not add:
        return ts, v, q
    all_ts = np.concatenate((ts, np.array([row[0] for row in add], np.int64)))
    all_v = np.concatenate((v, np.array([row[1] for row in add])))
    all_q = np.concatenate((q, np.array([row[2] for row in add], np.int32)))
    order = np.argsort(all_ts, kind="stable")
    return all_ts[order], all_v[order], all_q[order]
