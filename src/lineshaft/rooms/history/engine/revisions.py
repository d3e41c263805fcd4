"""Rows of one (sid, ts): which of them says something new, and which one holds.

A sample may arrive again: resent (equal in everything but its number) or corrected. A *revision* is
a row that differs from the one before it, in the order of numbers, under the same (sid, ts); a row
that only repeats says nothing and goes. What held at the number X is the last revision among the
rows with `seq <= X`: the same answer before and after the repeating rows were dropped from disk.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc

from lineshaft.rooms.history.engine.rows import Column, Rows, order_by_signal

__all__ = ["merge", "revisions", "until"]


def merge(parts: Sequence[Rows], *, all_revisions: bool = False) -> Rows:
    """Return the rows of all parts sorted by sid, ts and seq: the revision that holds of each
    (sid, ts), or all of them."""
    rows = _sorted(parts)
    same = _same_key(rows)
    if not same.any():
        return rows
    rows = revisions(rows, same)
    if all_revisions:
        return rows
    return rows.take(np.append(~_same_key(rows), True))


def revisions(rows: Rows, same: Column | None = None) -> Rows:
    """Return rows sorted by sid, ts and seq without those that repeat the one before them.

    `same`, shape `(n - 1,)`, says which rows share the key of the row before, where it is known.
    """
    same = _same_key(rows) if same is None else same
    at = np.flatnonzero(same) + 1
    if not len(at):
        return rows
    # Compared by their bits: NaN repeats NaN.
    bits = rows.v.view(np.int64)
    repeats = (bits[at] == bits[at - 1]) & (rows.q[at] == rows.q[at - 1])
    if rows.s is not None and repeats.any():
        here, before = rows.s.take(at), rows.s.take(at - 1)
        equal = pc.fill_null(pc.equal(here, before), False)
        both_null = pc.and_(pc.is_null(here), pc.is_null(before))
        repeats &= pc.or_(equal, both_null).to_numpy(zero_copy_only=False)
    if not repeats.any():
        return rows
    keep = np.ones(len(rows), bool)
    keep[at[repeats]] = False
    return rows.take(keep)


def until(rows: Rows, as_of: int | None) -> Rows:
    """Return the rows that were there at the number `as_of` (None: all)."""
    if as_of is None or not len(rows) or int(rows.seq.max()) <= as_of:
        return rows
    return rows.take(rows.seq <= as_of)


def _sorted(parts: Sequence[Rows]) -> Rows:
    some = [part for part in parts if len(part)]
    by_signal = sorted(some, key=lambda part: (int(part.sid[0]), int(part.ts[0])))
    # Files of one run lie apart by signal: one after the other they are sorted already.
    if all(one.sid[-1] < next_one.sid[0] for one, next_one in pairwise(by_signal)):
        some = by_signal
    rows = Rows.concat(some)
    if len(rows) < 2:
        return rows
    if (rows.sid[1:] < rows.sid[:-1]).any():
        rows = rows.take(order_by_signal(rows.sid))
    same = rows.sid[1:] == rows.sid[:-1]
    if (same & (rows.ts[1:] <= rows.ts[:-1])).any():
        rows = rows.take(np.lexsort((rows.seq, rows.ts, rows.sid)))
    return rows


def _same_key(rows: Rows) -> Column:
    same: Column = (rows.sid[1:] == rows.sid[:-1]) & (rows.ts[1:] == rows.ts[:-1])
    return same
