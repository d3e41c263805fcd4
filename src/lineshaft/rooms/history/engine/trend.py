"""What a reader does with rows: merge them into one truth, choose the points of a trend.

The trend keeps the first, least, greatest and last value of every pixel column, at their true
stamps, so that the drawn line equals the line through all points (Jugel et al., "M4: A
Visualization-Oriented Time Series Data Aggregation", VLDB 2014).
"""

from collections.abc import Sequence

import numpy as np

from lineshaft.core.quality import Reason, bad
from lineshaft.rooms.history.engine.rows import Column, Rows, order_by_signal

__all__ = ["break_at_gaps", "choose_points", "held_through", "merge"]


def merge(parts: Sequence[Rows]) -> Rows:
    """Return one row per (sid, ts), that with the highest seq, sorted by sid and ts."""
    rows = Rows.concat([part for part in parts if len(part)])
    if len(rows) < 2:
        return rows
    if (rows.sid[1:] < rows.sid[:-1]).any():
        rows = rows.take(order_by_signal(rows.sid))
    same = rows.sid[1:] == rows.sid[:-1]
    if (same & (rows.ts[1:] <= rows.ts[:-1])).any():
        rows = rows.take(np.lexsort((rows.seq, rows.ts, rows.sid)))
        same = rows.sid[1:] == rows.sid[:-1]
        final = np.append(~(same & (rows.ts[1:] == rows.ts[:-1])), True)
        rows = rows.take(final)
    return rows


def choose_points(ts: Column, v: Column, start: int, end: int, pixels: int) -> Column:
    """Return the ascending positions of the points that draw `pixels` columns from start to end.

    `ts` (µs, ascending) and `v` (NaN for null) have shape `(n,)`; stamps before `start` count to
    the first column. All positions come back where there are no more than four per column.
    """
    if len(ts) <= 4 * pixels:
        return np.arange(len(ts))
    # Where each column begins, without a product that int64 cannot hold.
    step, rest = divmod(max(1, end - start), pixels)
    column = np.arange(1, pixels)
    begins = start + column * step - (-column * rest // pixels)
    first = np.unique(np.concatenate(([0], np.searchsorted(ts, begins))))
    first = first[first < len(ts)]
    last = np.append(first[1:], len(ts)) - 1
    least = _where(np.minimum, np.where(np.isnan(v), np.inf, v), first, last)
    greatest = _where(np.maximum, np.where(np.isnan(v), -np.inf, v), first, last)
    return np.unique(np.concatenate((first, least, greatest, last)))


def _where(extreme: np.ufunc, v: Column, first: Column, last: Column) -> Column:
    """Return where each column first holds its extreme value."""
    found = np.repeat(extreme.reduceat(v, first), last - first + 1)
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
