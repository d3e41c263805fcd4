"""Watch: a monitor that looks at one twin's signals while they come.

Rules: the monitor sees rows evenly spaced in plant time, each signal as it stood then; a row is
looked at once nothing older can come, that is when a later sample is there. Three alarms in a row
are abnormal, thirty rows without one are normal again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lineshaft.rooms.twins.engine import monitor as monitors
from lineshaft.rooms.twins.engine.kept import from_bytes, to_bytes
from lineshaft.rooms.twins.engine.monitor import Memory, Monitor

__all__ = ["Watch"]

Array = np.ndarray[Any, Any]
_ALARMS: Final = 3
_CALM: Final = 30
_MOST_ROWS: Final = 1000


class Watch:
    """One monitor at work; a row comes every `period_us` of plant time."""

    def __init__(self, monitor: Monitor, period_us: int) -> None:
        self._monitor, self._period = monitor, period_us
        self._memory = monitors.begin(monitor)
        self._held = np.full(int(monitor.width), np.nan)
        self._next = 0
        self._run = np.zeros(3, np.int64)  # alarms in a row, calm rows in a row, is abnormal

    @classmethod
    def of(cls, kept: bytes) -> "Watch":
        """Return a watch with what `pack` wrote."""
        period, _, monitor = kept.partition(b"\n")
        return cls(from_bytes(Monitor, monitor), int(period))

    @staticmethod
    def pack(monitor: Monitor, period_us: int) -> bytes:
        """Return a monitor and its period, for `of`."""
        return b"%d\n" % period_us + to_bytes(monitor)

    def hear(
        self, port: Array, at: Array, value: Array
    ) -> tuple[bool, Sequence[tuple[str, float]]] | None:  # fmt: skip
        """Take samples `(n,)` of the twin's ports at plant µs; return whether the process became
        abnormal (with the signals that show it, by their share) or normal again, None where it is
        as before."""
        if not len(port):
            return None
        last = int(at.max())
        if not self._next or last - self._next > _MOST_ROWS * self._period:
            self._next = last - last % self._period + self._period  # after a silence: from here on
        ticks = np.arange(self._next, last + 1, self._period)
        rows = np.tile(self._held, (len(ticks), 1))
        for one in range(len(self._held)):
            mine = np.flatnonzero((port == one) & np.isfinite(value))
            mine = mine[np.argsort(at[mine], kind="stable")]
            if len(mine):
                where = np.searchsorted(at[mine], ticks, "right")
                known = where > 0
                rows[known, one] = value[mine[where[known] - 1]]
                self._held[one] = value[mine[-1]]
        if not len(ticks):
            return None
        self._next = int(ticks[-1]) + self._period
        before = self._memory
        found = monitors.score(self._monitor, rows, before)
        self._memory = found.memory
        return self._judge(found.alarm, rows, before)

    def _judge(
        self, alarm: Array, rows: Array, before: Memory
    ) -> tuple[bool, Sequence[tuple[str, float]]] | None:  # fmt: skip
        was = self._run[2]
        for one in alarm:
            self._run[0] = self._run[0] + 1 if one else 0
            self._run[1] = 0 if one else self._run[1] + 1
            if self._run[0] >= _ALARMS:
                self._run[2] = 1
            elif self._run[1] >= _CALM:
                self._run[2] = 0
        if self._run[2] == was:
            return None
        if not self._run[2]:
            return False, []
        return True, monitors.explain(self._monitor, rows, before)

    def save(self) -> dict[str, Array]:
        """Return copies of everything that this knows but the monitor."""
        saved = {f: np.copy(getattr(self._memory, f)) for f in Memory.__slots__}
        return {**saved, "held": self._held.copy(), "next": np.array(self._next),
                "run": self._run.copy()}  # fmt: skip

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved."""
        self._memory = Memory(**{f: saved[f].copy() for f in Memory.__slots__})
        self._held, self._next = saved["held"].copy(), int(saved["next"])
        self._run = saved["run"].copy()
