"""How far each signal of a source is complete, and what may be missing after an interruption. Pure.

A source cannot be asked what happened while nobody listened. But it tells how things stand when the
next subscription begins, and that bounds the loss, signal by signal:

- a signal whose initial value was sent before has not changed: it lacks nothing;
- otherwise its lost changes lie after its last sent stamp and up to its initial stamp;
- and not before the last sign of life of the link, told in the signal's own clock, which lags
  behind the arrival by what it lagged at its last change;
- where its stamps went back, its clock was set back: then the loss is told in its new time.

The gaps are those stretches joined. The first connection ever lacks nothing.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from lineshaft.core.samples import Ints
from lineshaft.rooms.connect.engine import Gap, Mask, Rows

__all__ = ["Continuity"]

_NEVER: Final = -1  # no stamp lies before 1970
_UNKNOWN: Final = np.iinfo(np.int64).min
_LAG_US: Final = 900_000  # assumed where no change was ever seen
_MOST_GAPS: Final = 16


class Continuity:
    """Remembers, by signal, the newest stamp sent, its quality, and its lag (arrival - stamp).

    `margin` (µs) is one publishing interval: the last notification may lack what was sampled
    while it was on its way.
    """

    def __init__(self, margin: int) -> None:
        self.margin = margin
        self._sid = np.empty(0, np.int64)  # ascending; the other columns go with it
        self._ts = np.empty(0, np.int64)
        self._q = np.empty(0, np.int64)
        self._lag = np.empty(0, np.int64)
        self._high: int | None = None
        self._alive: int | None = None
        self._lags: deque[int] = deque(maxlen=64)

    def seed(self, high: int, arrival: int | None = None) -> None:
        """Begin where an earlier process ended: its newest stamp, and when that arrived."""
        self._high, self._alive = high, arrival

    def learn(self, sid: Ints, ts: Ints, q: Ints | None = None, lag: Ints | None = None) -> None:
        """Note samples that were sent; without `q` and `lag` those are not known."""
        places = self._places(sid)
        order = np.argsort(ts, kind="stable")  # of several of one signal the newest stays
        places, stamps = places[order], ts[order]
        newer = stamps >= self._ts[places]
        places = places[newer]
        self._ts[places] = stamps[newer]
        self._q[places] = _UNKNOWN if q is None else q[order][newer]
        self._lag[places] = _UNKNOWN if lag is None else lag[order][newer]
        if lag is not None and len(lag):
            self._lags.append(max(0, int(lag.min())))

    def heard(self, rows: Rows) -> None:
        """Note samples that came as changes."""
        if not len(rows):
            return
        self.learn(rows.sid, rows.ts, rows.q, rows.arrival - rows.ts)
        newest = int(rows.ts.max())
        self._high = newest if self._high is None else max(newest, self._high)
        self._alive = rows.arrival

    def alive(self, arrival: int) -> None:
        """Note a sign of life without samples."""
        self._alive = arrival

    def stamp(self, sid: int) -> int | None:
        """Return the newest stamp sent of a signal, or None."""
        place = int(np.searchsorted(self._sid, sid))
        if place == len(self._sid) or self._sid[place] != sid or self._ts[place] == _NEVER:
            return None
        return int(self._ts[place])

    def knows(self, rows: Rows) -> Mask:
        """Return, row by row, whether this very sample was the last one sent of its signal."""
        places = self._places(rows.sid)
        quality = self._q[places]
        same = (self._ts[places] == rows.ts) & ((quality == rows.q) | (quality == _UNKNOWN))
        return np.asarray(same, np.bool_)

    def resume(self, fresh: Sequence[Rows], arrival: int, cause: str) -> list[Gap]:
        """Say what may be missing, given the initial values that were not sent before; and go on
        from them."""
        stretches = [self._stretches(rows, arrival) for rows in fresh if len(rows)]
        for rows in fresh:
            if len(rows):
                self._restart(rows)
        self._alive = arrival
        if not stretches:
            return []
        joined = _join([stretch for some in stretches for stretch in some], self.margin)
        return [Gap(start, end, cause) for start, end in joined]

    def _stretches(self, rows: Rows, arrival: int) -> list[tuple[int, int]]:
        """Return (start, end) of what the initial values may hide.

        Where a clock went back meanwhile, nobody knows when: samples may be missing with stamps of
        either time.
        """
        ahead: list[tuple[int, int]] = []
        places = self._places(rows.sid)
        before, lag = self._ts[places], self._lag[places].copy()
        known = before != _NEVER
        if self._high is None:
            start = np.where(known, before, rows.ts)  # a signal never met lacks nothing
        else:
            start = np.where(known, before, self._high)
        if self._alive is not None:
            usual = max(self._lags) if self._lags else _LAG_US
            lag[lag == _UNKNOWN] = usual
            start = np.where(known, np.maximum(start, self._alive - lag), start)
            back = known & (rows.ts < before)
            start[back] = rows.ts[back] - (arrival - self._alive)
            ends = (before[back] + (arrival - self._alive)).tolist()
            ahead = list(zip((before[back] - self.margin).tolist(), ends, strict=True))
        lacking = rows.ts > start
        starts = (start[lacking] - self.margin).tolist()
        return ahead + list(zip(starts, rows.ts[lacking].tolist(), strict=True))

    def _restart(self, rows: Rows) -> None:
        """Take over initial values, also where a clock went back."""
        places = self._places(rows.sid)
        self._ts[places], self._q[places] = rows.ts, rows.q
        self._lag[places] = _UNKNOWN
        newest = int(rows.ts.max())
        self._high = newest if self._high is None else max(newest, self._high)

    def _places(self, sid: Ints) -> Ints:
        """Return where each signal stands, making room for those not met before."""
        places = np.searchsorted(self._sid, sid)
        found = places < len(self._sid)
        found[found] = self._sid[places[found]] == sid[found]
        if found.all():
            return places
        new = np.unique(sid[~found])
        at = np.searchsorted(self._sid, new)
        self._sid = np.insert(self._sid, at, new)
        self._ts = np.insert(self._ts, at, _NEVER)
        self._q = np.insert(self._q, at, _UNKNOWN)
        self._lag = np.insert(self._lag, at, _UNKNOWN)
        return np.searchsorted(self._sid, sid)


def _join(stretches: list[tuple[int, int]], near: int) -> list[tuple[int, int]]:
    """Join stretches that overlap or lie `near` (µs) each other; of too many make one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1] + near:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    if len(joined) > _MOST_GAPS:
        return [(joined[0][0], joined[-1][1])]
    return joined
