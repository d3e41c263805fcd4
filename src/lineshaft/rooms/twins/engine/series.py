"""Series: samples of several signals as one table over common times, in plant time.

Rules: a row stands where any signal has a sample; what a signal says nothing of there is NaN. Where
that is more than is wanted, times are drawn to a regular grid on which a value holds until the
next, but for two steps at most. Plant time runs from the first row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.core.quality import BAD

__all__ = ["Series", "aligned"]

Array = np.ndarray[Any, Any]
_HELD: Final = 2


@dataclass(frozen=True, slots=True)
class Series:
    """`wall (T,)` µs UTC ascending, `seconds (T,)` of plant time since the first, `values (T, k)`
    in the order of the sids asked for."""

    wall: Array
    seconds: Array
    values: Array


def aligned(
    sid: Array, ts: Array, v: Array, q: Array, sids: Sequence[int], *, clock: int | None = None,
    most: int = 6000,
) -> Series:  # fmt: skip
    """Return the samples `(n,)` of `sids` as a table of at most `most` rows; `clock` is the signal
    that tells the plant's speed. Raises Refused where there is nothing."""
    v = np.where(q >= BAD, np.nan, v)
    wanted = np.isin(sid, list(sids)) & np.isfinite(v)
    wall = np.unique(ts[wanted])
    if len(wall) < 2:
        raise Refused("there are no samples of these signals in that period", code="twin.history",
                      hint="Take a period in which the machine ran")  # fmt: skip
    if len(wall) > most:
        values, wall = _gridded(sid, ts, v, sids, wall, most)
    else:
        values = np.full((len(wall), len(sids)), np.nan)
        for column, one in enumerate(sids):
            mine = wanted & (sid == one)
            values[np.searchsorted(wall, ts[mine]), column] = v[mine]
    is_clock = (sid == clock) & (v > 0)
    return Series(wall, _plant_seconds(wall, ts[is_clock], v[is_clock]), values)


def _gridded(
    sid: Array, ts: Array, v: Array, sids: Sequence[int], wall: Array, most: int
) -> tuple[Array, Array]:
    grid = np.linspace(wall[0], wall[-1], most).astype(np.int64)
    step = (wall[-1] - wall[0]) / (most - 1)
    values = np.full((most, len(sids)), np.nan)
    for column, one in enumerate(sids):
        mine = (sid == one) & np.isfinite(v)
        if not mine.any():
            continue
        stamps, known = ts[mine], v[mine]
        at = np.searchsorted(stamps, grid, "right") - 1
        fresh = (at >= 0) & (grid - stamps[np.maximum(at, 0)] <= _HELD * max(step, 1))
        values[fresh, column] = known[at[fresh]]
    return values, grid


def _plant_seconds(wall: Array, at: Array, speed: Array) -> Array:
    """Return the plant seconds since the first row; before the clock's first sample its first
    speed holds."""
    if not len(at):
        at, speed = wall[:1], np.ones(1)
    run = np.concatenate([[0.0], np.cumsum(np.diff(at) * speed[:-1])])
    index = np.maximum(np.searchsorted(at, wall, "right") - 1, 0)
    plant = run[index] + (wall - at[index]) * speed[index]
    seconds: Array = (plant - plant[0]) * 1e-6
    return seconds
