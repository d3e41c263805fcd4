"""Linear: twins that run an identified model, and the same model over a whole table.

Rules: the model ticks at multiples of its step in plant time, with what stood then: inputs until
they change, outputs for as long as they used to stand while it was learned, after that they are no
news. A tick is due when a sample after it comes. What an output is foretold for the tick to come is
its estimate, how far a sample is from that its surprise. Values further off than 1,000 spreads
count as that far, and a state that leaves all bounds starts anew: it is always finite.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.fleet import Array, Estimates, in_order
from lineshaft.rooms.twins.engine.state_space import Floats, Model

__all__ = ["LinearFleet", "follow"]

_HUGE: Final = 1e120
_FAR: Final = 1e3
_LOST: Final = 1e6
_SILENT: Final = 1000  # ticks without any output after which what was known is worth nothing
_IDLE, _BEGUN, _RUNS = 0, 1, 2


class _Law(NamedTuple):
    """What a kernel needs of a model."""

    a: Any
    b: Any
    c: Any
    d: Any
    k: Any
    first: Any
    hold: Any
    step: int

    @classmethod
    def of(cls, model: Model) -> "_Law":
        arrays = {name: np.ascontiguousarray(getattr(model, name)) for name in cls._fields[:-1]}
        return cls(**arrays, step=int(model.sample_us))


class _Rows(NamedTuple):
    """N twins: states `x (N, n)`, values in units of spread `held (N, m + r)` and when they were
    `heard` (µs, 0: never), last tick `t`, `started`, last output `last`, late ones in a row
    `behind`, each (N,)."""

    x: Any
    held: Any
    heard: Any
    t: Any
    started: Any
    last: Any
    behind: Any


def follow(model: Model, table: Floats) -> tuple[Floats, Floats]:
    """Return states `(T, n)` foretold for each row of `table (T, m + r)`, in units of spread and
    NaN where unknown, and its innovations `(T, r)`; the first row tells where it begins."""
    x, e = np.zeros((len(table), len(model.a))), np.zeros((len(table), len(model.c)))
    if len(table):
        _follow(_Law.of(model), np.ascontiguousarray(table), x, e)
    return x, e


@njit(cache=True)
def _begin(law: Any, row: Any, x: Any) -> None:
    for a in range(x.size):
        x[a] = 0.0
        for j in range(row.size):
            if np.isfinite(row[j]):
                x[a] += law.first[a, j] * row[j]


@njit(cache=True)
def _mean(law: Any, x: Any, u: Any, j: int) -> float:
    found = 0.0
    for a in range(x.size):
        found += law.c[j, a] * x[a]
    for a in range(law.b.shape[1]):
        if np.isfinite(u[a]):
            found += law.d[j, a] * u[a]
    return found


@njit(cache=True)
def _tick(law: Any, row: Any, x: Any, e: Any) -> None:
    """Bring a state over one row; write the innovations, 0 where an output is not known."""
    m, swap = law.b.shape[1], np.zeros(x.size)
    for j in range(e.size):
        e[j] = row[m + j] - _mean(law, x, row, j) if np.isfinite(row[m + j]) else 0.0
    for a in range(x.size):
        for b in range(x.size):
            swap[a] += law.a[a, b] * x[b]
        for b in range(m):
            if np.isfinite(row[b]):
                swap[a] += law.b[a, b] * row[b]
        for b in range(e.size):
            swap[a] += law.k[a, b] * e[b]
    x[:] = swap


@njit(cache=True)
def _follow(law: Any, table: Any, states: Any, news: Any) -> None:
    x = np.zeros(states.shape[1])
    _begin(law, table[0], x)
    for i in range(1, len(table)):
        states[i] = x
        _tick(law, table[i], x, news[i])


@njit(cache=True)
def _catch_up(law: Any, f: Any, i: int, now: int, row: Any, e: Any) -> bool:
    """Carry out the ticks before `now`; False where the state was lost."""
    m = law.b.shape[1]
    while f.t[i] + law.step < now:
        f.t[i] += law.step
        row[:] = f.held[i]
        for j in range(e.size):
            heard = f.heard[i, m + j]
            if heard == 0 or f.t[i] - heard > law.hold[j] * law.step:
                row[m + j] = np.nan
        if f.started[i] == _BEGUN:
            _begin(law, row, f.x[i])
            f.started[i] = _RUNS
        else:
            _tick(law, row, f.x[i], e)
        for a in range(f.x.shape[1]):
            if not abs(f.x[i, a]) < _LOST:
                f.started[i] = _IDLE
                f.x[i] = 0.0
                return False
    return True


@njit(cache=True)
def _is_taken(law: Any, f: Any, i: int, now: int, is_output: bool) -> bool:
    """Return whether an output comes in time; one after a silence, or long before the newest tick
    as when a clock was set back, has its twin begin anew."""
    if is_output and f.started[i] != _IDLE and now <= f.t[i]:
        if f.behind[i] < filters.BELIEVED:
            f.behind[i] += 1
            return False
        f.started[i] = _IDLE
    if max(now - f.last[i], now - f.t[i]) > _SILENT * law.step:
        f.started[i] = _IDLE
    if is_output:
        f.behind[i] = 0
        f.last[i] = now
        if f.started[i] == _IDLE:
            f.started[i] = _BEGUN
            f.t[i] = (now - 1) // law.step * law.step
            f.heard[i] = 0
    return True


@njit(cache=True)
def _run(
    law: Any, f: Any, centre: Any, scale: Any, sigma: Any, twin: Any, port: Any, at: Any,
    value: Any, y: Any, z: Any, flag: Any,
) -> None:  # fmt: skip
    m, row, e = law.b.shape[1], np.zeros(centre.size), np.zeros(sigma.size)
    for event in range(twin.size):
        i, p, now, v = twin[event], port[event], at[event], value[event]
        flag[event] = filters.INPUT
        if not abs(v) < _HUGE:
            flag[event] = filters.BAD_VALUE
            continue
        is_late = not _is_taken(law, f, i, now, p >= m)
        if is_late:
            flag[event] = filters.LATE
        elif f.started[i] != _IDLE and not _catch_up(law, f, i, now, row, e) and p >= m:
            flag[event] = filters.RESTARTED
        if now >= f.heard[i, p]:
            f.held[i, p] = min(max((v - centre[p]) / scale[p], -_FAR), _FAR)
            f.heard[i, p] = now
        if p >= m and f.started[i] == _RUNS and not is_late:
            y[event] = _mean(law, f.x[i], f.held[i], p - m) * scale[p] + centre[p]
            z[event] = (v - y[event]) / (sigma[p - m] * scale[p])
            flag[event] = filters.ESTIMATED


class LinearFleet:
    """Twins of one model; see `runtime.Runner`."""

    def __init__(self, model: Model) -> None:
        self._model, self._law = model, _Law.of(model)
        self._sigma = np.sqrt(np.diag(model.cov))
        self._free: list[int] = []
        self._rows = self._fresh(0)

    def _fresh(self, count: int) -> _Rows:
        ports, whole = len(self._model.centre), (np.zeros(count, np.int64) for _ in range(4))
        return _Rows(np.zeros((count, len(self._model.a))), np.zeros((count, ports)),
                     np.zeros((count, ports), np.int64), *whole)  # fmt: skip

    def add(self, given: Any) -> int:
        """Take a twin in and return its row."""
        row = self._free.pop() if self._free else len(self._rows.t)
        if row == len(self._rows.t):
            both = zip(self._rows, self._fresh(1), strict=True)
            self._rows = _Rows(*(np.concatenate(pair) for pair in both))
        for mine, new in zip(self._rows, self._fresh(1), strict=True):
            mine[row] = new[0]
        return row

    def change(self, row: int, given: Any) -> None:
        """Do nothing: all that a twin has of its own is its model, and that is this fleet's."""

    def remove(self, row: int) -> None:
        """Forget a twin."""
        self._free.append(row)

    def process(self, twin: Array, port: Array, at: Array, value: Array) -> Estimates:
        """Take events `(E,)`, as `Fleet.process` does."""
        return in_order(self._take, twin, port, at, value)

    def _take(self, events: tuple[Array, ...], found: Estimates) -> None:
        _run(self._law, self._rows, self._model.centre, self._model.scale, self._sigma, *events,
             found.y, found.z, found.flag)  # fmt: skip

    def states(self, rows: Array) -> Array:
        """Return the states `(len(rows), n)` foretold for the tick to come."""
        found: Array = self._rows.x[rows]
        return found

    def save(self) -> dict[str, Array]:
        """Return copies of everything that this knows."""
        saved = {name: getattr(self._rows, name).copy() for name in _Rows._fields}
        return {**saved, "free": np.array(self._free, np.int64)}

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved; raises ValueError where the shapes are another model's."""
        rows = _Rows(*(saved[name].copy() for name in _Rows._fields))
        for name, mine, theirs in zip(_Rows._fields, self._rows, rows, strict=True):
            if mine.shape[1:] != theirs.shape[1:] or mine.dtype != theirs.dtype:
                raise ValueError(f"{name} of an identified twin has shape {theirs.shape[1:]}")
        self._rows, self._free = rows, saved["free"].tolist()
