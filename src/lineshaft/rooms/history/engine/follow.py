"""A calculated signal as its inputs arrive: what is due, and what has to be said again.

Rules: what is due up to a moment is what evaluation over history gives up to it. A row that comes
late makes the outputs from its stamp on due again, as far back as `KEEP_US` before the newest; an
output is handed out only where it differs from what was given before. So any order and any cutting
of the inputs ends in the same outputs, as long as nothing comes later than that; what does is
counted.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lineshaft.rooms.history.engine.calculate import Series, Step, Track, evaluate, looking
from lineshaft.rooms.history.engine.rows import Column, Rows

__all__ = ["EMPTY", "KEEP_US", "Follower", "differing", "track_of"]

KEEP_US: Final = 60_000_000
EMPTY: Final = Series(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))


def track_of(rows: Rows) -> Track:
    """Return one signal's rows, ascending by stamp, as an input."""
    return Track(rows.ts, rows.v, rows.q, rows.s)


def differing(new: Series, given: Series) -> Series:
    """Return what of `new` is not in `given` already, and at stamps that only `given` has the
    value that holds there now; both in one range."""
    stale = given.ts[~np.isin(given.ts, new.ts)]
    if len(stale) and len(new.ts):
        new = new.joined(Series(stale, *new.at(stale)))
    at = np.searchsorted(given.ts, new.ts)
    known = np.append(given.ts, -1)[at] == new.ts
    v, q = np.append(given.v, np.nan)[at], np.append(given.q, -1)[at]
    same = known & (q == new.q) & ((v == new.v) | (np.isnan(v) & np.isnan(new.v)))
    return Series(new.ts[~same], new.v[~same], new.q[~same])


class Follower:
    """Keeps the inputs of one calculation as far back as they are needed.

    `rows` hold each input from `root.reach(start)` on; `given` the outputs there are from `start`.
    """

    def __init__(self, root: Step, rows: Sequence[Rows], given: Series, start: int) -> None:
        self._root, self._rows, self._given = root, list(rows), given
        self._floor = self._dirty = start
        self.late = 0

    @property
    def newest(self) -> int | None:
        """Return up to which stamp all inputs were heard; None before each has told something."""
        stamps = [int(rows.ts[-1]) if len(rows) else None for rows in self._rows]
        known = [stamp for stamp in stamps if stamp is not None]
        return min(known) if len(known) == len(stamps) else None

    @property
    def waits(self) -> bool:
        """Return whether an input has rows that nothing was made of yet."""
        return any(len(rows) and int(rows.ts[-1]) >= self._dirty for rows in self._rows)

    def hear(self, number: int, rows: Rows) -> None:
        """Take rows of input `number`, ascending by stamp; a row heard before changes nothing."""
        if not len(rows):
            return
        self.late += int(np.count_nonzero(rows.ts < self._floor))
        self._rows[number] = _merged(self._rows[number], rows)
        self._dirty = min(self._dirty, max(int(rows.ts[0]), self._floor))

    def due(self, end: int) -> Series:
        """Return the outputs before the stamp `end` that differ from those given before."""
        if end <= self._dirty:
            return EMPTY
        tracks = [track_of(rows) for rows in self._rows]
        new = evaluate(self._root, tracks, self._dirty, end)
        return differing(new, self._given.cut(self._dirty, end))

    def gave(self, series: Series, end: int) -> None:
        """Note that what was due before `end` has been given; forget what is not needed again."""
        self._dirty = max(self._dirty, end)
        given, old = self._given, ~np.isin(self._given.ts, series.ts)
        self._given = Series(given.ts[old], given.v[old], given.q[old]).joined(series)
        if len(self._given.ts) and int(self._given.ts[-1]) - KEEP_US > self._floor:
            self._forget(int(self._given.ts[-1]) - KEEP_US)

    def _forget(self, floor: int) -> None:
        self._floor = floor
        self._given = self._given.cut(floor)
        before = looking([rows.ts for rows in self._rows])
        for number, stamp in self._root.reach(floor, before).items():
            rows = self._rows[number]
            first = int(np.searchsorted(rows.ts, np.int64(stamp)))
            if first > len(rows) // 2:  # seldom, so that it costs little
                self._rows[number] = rows.take(np.arange(first, len(rows)))

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows)


def _merged(known: Rows, new: Rows) -> Rows:
    rows = Rows.concat([known, new])
    if len(known) and known.ts[-1] >= new.ts[0]:
        rows = rows.take(np.lexsort((rows.seq, rows.ts)))
        last: Column = np.append(rows.ts[1:] != rows.ts[:-1], True)
        rows = rows.take(last)
    return rows
