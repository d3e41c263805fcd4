"""What a loop hears of its signals: newest values, means over a period, plant time.

Rules: a value holds until the next one of its signal (machines send what changes), so a mean is
weighed by time; a Bad value holds nothing; a mean of less than half a period is none (NaN). Time
goes on with the newest stamp heard. Plant time is wall time times the speed that the clock signal
held. Arrays of one entry a signal, never an object a sample; the same blocks give the same bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.quality import BAD

__all__ = ["Window"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_HOUR_US: Final = 3_600_000_000
_SPEEDS: Final = 400
_FIELDS: Final = ("v", "ts", "q", "seq", "area", "span", "speeds")


class Window:
    """The signals of one loop, by ascending sid; `clock` is one of them or None. Public arrays
    `(n_signals,)`: `v`, `ts`, `q` of the newest sample, `seq` the number of its block."""

    def __init__(self, sids: Sequence[int], clock: int | None) -> None:
        self.sids: Ints = np.array(sorted(sids), np.int64)
        n = len(self.sids)
        self._place = {sid: place for place, sid in enumerate(self.sids.tolist())}
        self._clock = None if clock is None else self._place[clock]
        self.v: Floats = np.full(n, np.nan)
        self.ts: Ints = np.zeros(n, np.int64)
        self.q: Ints = np.full(n, BAD, np.int64)
        self.seq: Ints = np.zeros(n, np.int64)
        self.area: Floats = np.zeros(n)
        self.span: Floats = np.zeros(n)
        self.speeds: Floats = np.zeros((0, 2))
        self.begun = 0
        self.now = 0
        self._plant_us = 0.0

    @property
    def hours(self) -> float:
        """Return the plant hours that it has heard so far."""
        return self._plant_us / _HOUR_US

    def place(self, sid: int) -> int:
        """Return where a signal stands in the arrays."""
        return self._place[sid]

    def of(self, sids: Sequence[int]) -> Ints:
        """Return where signals stand in the arrays, as an index."""
        return np.array([self._place[sid] for sid in sids], np.int64)

    def take(self, sid: Ints, ts: Ints, v: Floats, q: Ints, seq: int) -> bool:
        """Take a block's columns, sorted by sid and ts; return whether any was ours and new."""
        at = np.searchsorted(self.sids, sid)
        at = np.minimum(at, len(self.sids) - 1)
        mine = (self.sids[at] == sid) & (ts > self.ts[at])
        if not mine.any():
            return False
        at, ts, q = at[mine], ts[mine].astype(np.int64), q[mine].astype(np.int64)
        v = np.where(q < BAD, v[mine], np.nan)
        self._advance(at, ts, v)
        fresh = np.append(True, at[1:] != at[:-1])
        since = np.where(fresh, self.ts[at], np.append(0, ts[:-1]))
        held = np.where(fresh, self.v[at], np.append(np.nan, v[:-1]))
        self._add(at, held, since, ts)
        last = np.append(at[1:] != at[:-1], True)
        at = at[last]
        self.v[at], self.ts[at], self.q[at], self.seq[at] = v[last], ts[last], q[last], seq
        return True

    def _add(self, at: Ints, held: Floats, since: Ints, until: Ints) -> None:
        width = np.maximum(until - np.maximum(since, self.begun), 0) * np.isfinite(held)
        np.add.at(self.area, at, np.nan_to_num(held) * width)
        np.add.at(self.span, at, width)

    def _advance(self, at: Ints, ts: Ints, v: Floats) -> None:
        """Go on to the newest stamp, through every change of the clock."""
        newest = int(ts.max())
        if self._clock is not None:
            mine = at == self._clock
            for stamp, speed in zip(ts[mine].tolist(), v[mine].tolist(), strict=True):
                self._go_to(stamp)
                changed = not len(self.speeds) or self.speeds[-1, 1] != speed
                if changed and np.isfinite(speed):
                    self.speeds = np.append(self.speeds, [[stamp, speed]], axis=0)[-_SPEEDS:]
        if not self.now:
            self.now = self.begun = newest
        self._go_to(newest)

    def _go_to(self, stamp: int) -> None:
        if self.now and stamp > self.now:
            speed = 1.0
            if self._clock is not None:
                speed = float(self.speeds[-1, 1]) if len(self.speeds) else 0.0
            self._plant_us += max(0.0, speed) * (stamp - self.now)
            self.now = stamp

    def close(self) -> Floats:
        """Return the mean of each signal over the period that ends now, and begin the next."""
        every = np.arange(len(self.sids))
        until = np.maximum(self.now, self.ts)
        self._add(every, self.v, self.ts, until)
        whole = max(1, self.now - self.begun)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(self.span >= 0.5 * whole, self.area / self.span, np.nan)
        self.begun = self.now
        self.area[:], self.span[:] = 0.0, 0.0
        return means

    def save(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return all of it as facts and arrays."""
        facts = {"begun": self.begun, "now": self.now, "plant_us": self._plant_us}
        return facts, {"sids": self.sids, **{name: getattr(self, name) for name in _FIELDS}}

    def load(self, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what was saved, for the signals that are the same."""
        self.begun, self.now, self._plant_us = facts["begun"], facts["now"], facts["plant_us"]
        self.speeds = arrays["speeds"]
        _, mine, theirs = np.intersect1d(self.sids, arrays["sids"], return_indices=True)
        for name in _FIELDS[:-1]:
            getattr(self, name)[mine] = arrays[name][theirs]
