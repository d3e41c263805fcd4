"""Fleet: all twins of one behaviour and one method, as arrays that are stepped together.

Rules: a row is one twin; a row given back is used again. What a fleet knows is in its arrays, so
saving and loading them is exact. Events of one call are put into order by twin and time, inputs
before outputs of the same instant; the result has the caller's order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Vector
from lineshaft.rooms.twins.engine.compiled import Kernels, compile_behaviour
from lineshaft.rooms.twins.engine.setup import Setup

__all__ = ["METHODS", "Estimates", "Fleet", "in_order"]

METHODS: Final = {
    "open": filters.OPEN, "kalman": filters.KALMAN, "unscented": filters.UNSCENTED,
}  # fmt: skip

Array = np.ndarray[Any, Any]
_SAVED: Final = (
    "x", "p", "u", "par", "walk", "noise", "t", "started", "behind", "start",
    "spread",
    "ring_n",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimates:
    """What came of events, each `(E,)`: the output's estimate, the innovation over its standard
    deviation, and a flag of `filters`."""

    y: Vector
    z: Vector
    flag: Array


class Fleet:
    """Twins of one behaviour, filtered by `method` (a key of METHODS)."""

    def __init__(self, behaviour: Behaviour, method: str, capacity: int = 64) -> None:
        self.behaviour, self.method = behaviour, method
        self._kernels: Kernels | None = None
        self._delays = np.array(behaviour.delays(), np.int64)
        self._low = np.array([state.low for state in behaviour.states])
        self._high = np.array([state.high for state in behaviour.states])
        self._free: list[int] = []
        self._used = 0
        n, m, r = len(behaviour.states), len(behaviour.inputs), len(behaviour.outputs)
        depth = filters.RING if (self._delays >= 0).any() else 2
        k = len(behaviour.parameters)
        self.x, self.p = np.zeros((capacity, n)), np.zeros((capacity, n, n))
        self.u, self.par = np.zeros((capacity, m)), np.zeros((capacity, k))
        self.walk, self.noise = np.zeros((capacity, n)), np.ones((capacity, r))
        self.t, self.started = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
        self.behind = np.zeros(capacity, np.int64)
        self.start, self.spread = np.zeros((capacity, n)), np.ones((capacity, n))
        self.ring_t = np.zeros((capacity, m, depth), np.int64)
        self.ring_v = np.zeros((capacity, m, depth))
        self.ring_n = np.zeros((capacity, m), np.int64)

    def __len__(self) -> int:
        return self._used - len(self._free)

    def add(self, setup: Setup) -> int:
        """Take a twin in and return its row."""
        if self._free:
            row = self._free.pop()
        else:
            row = self._used
            if row == len(self.t):
                self._grow()
            self._used += 1
        self.change(row, setup)
        self.x[row], self.u[row] = setup.start, setup.inputs
        self.p[row] = np.diag(setup.spread**2)
        self.t[row] = self.started[row] = self.behind[row] = 0
        self.ring_n[row] = 0
        return row

    def change(self, row: int, setup: Setup) -> None:
        """Give a twin other figures; its state stays."""
        self.par[row] = self.behaviour.checked(setup.parameters)
        self.start[row], self.spread[row] = setup.start, setup.spread
        self.walk[row], self.noise[row] = setup.walk, setup.noise

    def remove(self, row: int) -> None:
        """Forget a twin."""
        self._free.append(row)

    def _grow(self) -> None:
        for name in (*_SAVED, "ring_t", "ring_v"):
            old = getattr(self, name)
            more = max(64, len(old))
            setattr(self, name, np.concatenate([old, np.zeros((more, *old.shape[1:]), old.dtype)]))

    def process(self, twin: Array, port: Array, at: Array, value: Array) -> Estimates:
        """Take events `(E,)`: rows, ports (inputs first, then outputs), µs of plant time, values
        in the form's units (NaN is a bad value)."""
        return in_order(self._run, twin, port, at, value)

    def _run(self, events: tuple[Array, ...], found: Estimates) -> None:
        """Write what comes of events that are in order."""
        if self._kernels is None:
            self._kernels = compile_behaviour(self.behaviour)
        arrays = filters.Fleet(
            self.x, self.p, self.u, self.par, self.walk, self.noise, self.t, self.started,
            self.behind, self.start, self.spread, self._low, self._high, self._delays,
            self.ring_t, self.ring_v, self.ring_n,
        )  # fmt: skip
        filters.run_filters(
            self._kernels.advance, self._kernels.measure, METHODS[self.method],
            self.behaviour.longest_s, arrays, *events, found.y, found.z, found.flag,
        )  # fmt: skip

    def states(self, rows: Array) -> Array:
        """Return the states `(len(rows), n_states)` of these rows."""
        return self.x[rows]

    def save(self) -> dict[str, Array]:
        """Return copies of everything that this knows."""
        saved = {name: getattr(self, name)[: self._used].copy() for name in _SAVED}
        waiting = self._waiting(self._used)
        saved["ring_t"] = self.ring_t[: self._used][waiting]
        saved["ring_v"] = self.ring_v[: self._used][waiting]
        return {**saved, "free": np.array(self._free, np.int64)}

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved; raises ValueError where the shapes are another behaviour's."""
        self._used = len(saved["t"])
        while len(self.t) < self._used:
            self._grow()
        for name in _SAVED:
            mine, theirs = getattr(self, name), saved[name]
            if mine.shape[1:] != theirs.shape[1:] or mine.dtype != theirs.dtype:
                raise ValueError(f"{name} of '{self.behaviour.name}' has shape {theirs.shape[1:]}")
            mine[: self._used] = theirs
        waiting = self._waiting(self._used)
        self.ring_t[: self._used][waiting] = saved["ring_t"]
        self.ring_v[: self._used][waiting] = saved["ring_v"]
        self._free = saved["free"].tolist()

    def _waiting(self, rows: int) -> Array:
        """Return which places of the rings are taken."""
        return np.arange(self.ring_t.shape[2]) < self.ring_n[:rows, :, None]


_EVENT: Final = (np.int64, np.int64, np.int64, np.float64)


def in_order(
    run: Callable[[tuple[Array, ...], Estimates], None], twin: Array, port: Array, at: Array,
    value: Array,
) -> Estimates:  # fmt: skip
    """Have events `(E,)` run by twin, time and port; return what `run` wrote in the order given."""
    events: tuple[Array, ...] = (twin, port, at, value)
    order = _order(twin, port, at)
    if order is not None:
        events = tuple(column[order] for column in events)
    count = len(twin)
    found = Estimates(np.zeros(count), np.zeros(count), np.zeros(count, np.int64))
    columns = (np.ascontiguousarray(c, t) for c, t in zip(events, _EVENT, strict=True))
    run(tuple(columns), found)
    if order is None:
        return found
    back = np.empty(count, np.int64)
    back[order] = np.arange(count)
    return Estimates(found.y[back], found.z[back], found.flag[back])


def _order(twin: Array, port: Array, at: Array) -> Array | None:
    """Return the order by twin, time and port, or None where that is the order given."""
    later = twin[1:] > twin[:-1]
    if later.all():
        return None
    same = twin[1:] == twin[:-1]
    later |= same & (at[1:] > at[:-1])
    if (later | (same & (at[1:] == at[:-1]) & (port[1:] >= port[:-1]))).all():
        return None
    return np.lexsort((port, at, twin))
