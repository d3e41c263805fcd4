"""Tables: the raw rows of many signals drawn to even steps, at several scales of time.

Rules: a value holds until the next one comes; before a signal's first value there is NaN. The
widest table covers all that there is; each narrower one a quarter of the time in a quarter of the
step, laid where the signals move most, until the step is as short as the samples come. So a valve
that answers in seconds and a tank that fills in hours are both seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.quality import BAD

__all__ = ["Rows", "Table", "clock_of", "drawn_of", "tables"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEPS: Final = 1500
_ZOOM: Final = 4
_MOST_TABLES: Final = 4
_MOST_ROWS: Final = 2500
_FEWEST: Final = 40
_CLOSE: Final = 0.05
_AGREES: Final = 0.8


@dataclass(frozen=True, slots=True)
class Rows:
    """Good samples by signal: `ts` µs UTC ascending, and `v`."""

    ts: Mapping[int, Ints]
    v: Mapping[int, Floats]

    @classmethod
    def of(cls, sid: Ints, ts: Ints, v: Floats, q: Ints) -> "Rows":
        """Return the samples `(n,)` by signal, without what is bad or no number."""
        good = np.isfinite(v) & (q < BAD)
        sid, ts, v = sid[good], ts[good], v[good]
        order = np.lexsort((ts, sid))
        sid, ts, v = sid[order], ts[order].astype(np.int64), v[order]
        known, first = np.unique(sid, return_index=True)
        edges = [*first.tolist(), len(sid)]
        parts = {int(s): slice(edges[i], edges[i + 1]) for i, s in enumerate(known)}
        return cls({s: ts[p] for s, p in parts.items()}, {s: v[p] for s, p in parts.items()})

    def period_us(self, sid: int) -> float:
        """Return the median time between samples, infinite where there are not two."""
        stamps = self.ts.get(sid)
        return (
            float(np.median(np.diff(stamps))) if stamps is not None and len(stamps) > 1 else np.inf
        )


@dataclass(frozen=True, slots=True)
class Table:
    """`wall (T,)` µs UTC and `seconds (T,)` of plant time, even in the former; `values (T,
                                                                                         k)` held,
    columns in the order of `sids`; `fresh (T, k)` where a sample came since the row before."""

    sids: tuple[int, ...]
    wall: Ints
    seconds: Floats
    values: Floats
    fresh: NDArray[np.bool_]

    def column(self, sid: int) -> Floats:
        """Return one signal's values `(T,)`."""
        return np.asarray(self.values[:, self.sids.index(sid)])


def clock_of(
    rows: Rows, clocks: Mapping[int, float], speeds: Sequence[int]
) -> tuple[int, float] | None:
    """Return the signal that says how many times as fast as the wall the plant runs, and the share
    of the time in which a clock of the plant agrees; None where there is none or it runs with the
    wall. `clocks` are signals that may be the plant's time, with the seconds of their unit."""
    best: tuple[int, float] | None = None
    for clock, seconds in clocks.items():
        ts, v = rows.ts.get(clock), rows.v.get(clock)
        if ts is None or v is None or len(ts) < 10 or not (np.diff(v) >= 0).all():
            continue
        # Over stretches, as single stamps jitter.
        cut = np.unique(np.linspace(0, len(ts) - 1, min(len(ts), 60)).astype(int))
        took = np.diff(ts[cut]) * 1e-6
        pace = np.diff(v[cut]) * seconds / np.maximum(took, 1e-9)
        for speed in speeds:
            if speed not in rows.ts or np.mean(pace) < 1.02:
                continue
            told = _held(rows, speed, ts[cut[1:]])
            agrees = float(np.mean(np.abs(pace - told) <= _CLOSE * np.maximum(told, 1e-9)))
            if agrees >= _AGREES and (best is None or agrees > best[1]):
                best = speed, agrees
    return best


def _held(rows: Rows, sid: int, at: Ints) -> Floats:
    """Return the values that held at these moments, NaN before the first."""
    ts, v = rows.ts[sid], rows.v[sid]
    index = np.searchsorted(ts, at, "right") - 1
    return np.where(index >= 0, v[np.maximum(index, 0)], np.nan)


def _table(rows: Rows, sids: tuple[int, ...], start: int, end: int, clock: int | None) -> Table:
    wall = np.linspace(start, end, _STEPS).astype(np.int64)
    values = np.full((_STEPS, len(sids)), np.nan)
    fresh = np.zeros((_STEPS, len(sids)), bool)
    for column, sid in enumerate(sids):
        if sid in rows.ts:
            values[:, column] = _held(rows, sid, wall)
            seen = np.searchsorted(rows.ts[sid], wall, "right")
            fresh[:, column] = np.diff(seen, prepend=0) > 0
    speed = np.ones(_STEPS) if clock is None else np.nan_to_num(_held(rows, clock, wall), nan=1.0)
    run = np.concatenate([[0.0], np.cumsum(np.diff(wall) * np.maximum(speed[:-1], 1e-9))])
    return Table(sids, wall, run * 1e-6, values, fresh)


def tables(rows: Rows, sids: Sequence[int], clock: int | None) -> list[Table]:
    """Return the samples of these signals at even steps, the widest table first; none where there
    is nothing to see."""
    wanted = tuple(sid for sid in sids if sid in rows.ts)
    if not wanted or max(len(rows.ts[sid]) for sid in wanted) < _FEWEST:
        return []
    start = min(int(rows.ts[sid][0]) for sid in wanted)
    end = max(int(rows.ts[sid][-1]) for sid in wanted)
    finest = min(rows.period_us(sid) for sid in wanted)
    found = [_table(rows, wanted, start, end, clock)]
    while len(found) < _MOST_TABLES and (found[-1].wall[-1] - found[-1].wall[0]) / _STEPS > finest:
        start, end = _busiest(found[-1])
        found.append(_table(rows, wanted, start, end, clock))
    return found


def drawn_of(rows: Rows, table: Table, sids: Sequence[int]) -> tuple[Ints, Floats, Floats]:
    """Return wall times (µs), seconds of plant time and values `(T, len(sids))` of some signals in
    a table's time: the samples where they came, NaN between them, what held before in the first
    row; the table's own rows where that would be too many."""
    start, end = int(table.wall[0]), int(table.wall[-1])
    parts = {sid: np.flatnonzero((rows.ts[sid] >= start) & (rows.ts[sid] <= end)) for sid in sids}
    wall = np.unique(np.concatenate([[start], *(rows.ts[sid][parts[sid]] for sid in sids)]))
    if len(wall) > _MOST_ROWS:
        columns = [table.sids.index(sid) for sid in sids]
        shown = np.where(table.fresh[:, columns], table.values[:, columns], np.nan)
        shown[0] = table.values[0, columns]
        return table.wall, table.seconds, shown
    values = np.full((len(wall), len(sids)), np.nan)
    for column, sid in enumerate(sids):
        values[0, column] = table.values[0, table.sids.index(sid)]
        values[np.searchsorted(wall, rows.ts[sid][parts[sid]]), column] = rows.v[sid][parts[sid]]
    return wall, np.interp(wall, table.wall, table.seconds), values


def _busiest(table: Table) -> tuple[int, int]:
    """Return the quarter of a table's time in which its signals move most."""
    known = np.nan_to_num(table.values, nan=0.0)
    size = known.std(axis=0) + 1e-300
    moved = np.minimum(np.abs(np.diff(known, axis=0)) / size, 3.0)
    moved[:, known.std(axis=0) <= 1e-12 * np.abs(known).max(axis=0, initial=1e-300)] = 0.0
    run = np.concatenate([[0.0], np.cumsum(moved.sum(axis=1))])
    width = _STEPS // _ZOOM
    at = int(np.argmax(run[width:] - run[:-width]))
    return int(table.wall[at]), int(table.wall[at + width - 1])
