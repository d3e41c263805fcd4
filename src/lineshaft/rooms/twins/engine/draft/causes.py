"""Causes: which signal moves which, and how much of it, from how they came one after another.

Rules: a driver tells what its response will do, beyond what the response's own past tells (C. W. J.
Granger, Econometrica 37 (1969) 424), over several distances; the share is that of the last third,
on rows that nothing was learned from, so a chance likeness counts nothing. Signals that always
say the same are one: only the first of them is looked at.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.twins.engine.draft.tables import Table

__all__ = ["filled", "gains", "moving", "same"]

Floats = NDArray[np.float64]

_AHEAD: Final = (1, 5, 20)  # steps
_LEARNED: Final = 0.65  # of the rows
_SAME: Final = 0.9999  # correlation of two signals that say one thing
_STILL: Final = 1e-9
_FEWEST_MOVES: Final = 3


def moving(table: Table) -> NDArray[np.bool_]:
    """Return by signal whether it moved, more than once and not only onwards as a counter does."""
    found = np.zeros(len(table.sids), bool)
    for column, values in enumerate(table.values.T):
        known = values[np.isfinite(values)]
        if known.size < 10:
            continue
        steps = np.diff(known)
        moves = np.abs(steps) > _STILL * max(float(np.abs(known).max()), 1e-300)
        onwards = (steps >= 0).all() and moves.sum() > 0.5 * table.fresh[:, column].sum()
        found[column] = moves.sum() >= _FEWEST_MOVES and not onwards
    return found


def same(table: Table, order: Sequence[int]) -> dict[int, int]:
    """Return for each signal that says what one before it in `order` (columns) says, that one."""
    found = dict[int, int]()
    known = np.nan_to_num(table.values, nan=0.0)
    centred = known - known.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    kept = list[int]()
    for column in order:
        if size[column] <= _STILL * max(float(np.abs(known[:, column]).max()), 1e-300):
            continue
        for other in kept:
            if abs(centred[:, column] @ centred[:, other]) >= _SAME * size[column] * size[other]:
                found[column] = other
                break
        else:
            kept.append(column)
    return found


def gains(
    table: Table, responses: Sequence[int], drivers: Sequence[int], *, past_only: bool = False
) -> Floats:
    """Return `(responses, drivers)` the share of what a response's past leaves untold that each
    driver tells (columns of the table), in [0, 1]; with `past_only` by what the driver did before,
    which tells who of two that move together goes first."""
    values = np.column_stack([filled(column) for column in table.values.T])
    scale = values.std(axis=0) + 1e-300
    scaled = (values - values.mean(axis=0)) / scale
    told, first = np.zeros((len(responses), len(drivers))), 1 if past_only else 0
    for ahead in _AHEAD:
        moved = [_moves(scaled[:, column], ahead)[:, first:] for column in drivers]
        for i, response in enumerate(responses):
            y = scaled[:, response]
            at = np.arange(2 * ahead, len(y) - ahead)
            goal = y[at + ahead] - y[at]
            own = np.column_stack([np.ones(len(at)), y[at], y[at] - y[at - ahead]])
            base = _left(own, goal)
            if base <= 1e-12:
                continue
            for j, column in enumerate(drivers):
                if column != response:
                    left = _left(np.hstack([own, moved[j]]), goal)
                    told[i, j] = max(told[i, j], 1.0 - left / base)
    return told


def filled(values: Floats) -> Floats:
    """Return values `(T,)` held over their gaps; before the first one, the first; 0 without any."""
    known = np.flatnonzero(np.isfinite(values))
    if not known.size:
        return np.zeros_like(values)
    index = np.searchsorted(known, np.arange(len(values)), "right") - 1
    return np.asarray(values[known[np.maximum(index, 0)]])


def _moves(u: Floats, ahead: int) -> Floats:
    """Return means of an input over the stretch ahead and two before, `(T - 3·ahead, 3)`."""
    run = np.concatenate([[0.0], np.cumsum(u)])
    at = np.arange(2 * ahead, len(u) - ahead)
    return np.column_stack(
        [
            (run[at + ahead] - run[at]) / ahead,
            (run[at] - run[at - ahead]) / ahead,
            (run[at - ahead] - run[at - 2 * ahead]) / ahead,
        ]
    )


def _left(known: Floats, goal: Floats) -> float:
    """Return the mean square that a rule learned from the first rows leaves in the last."""
    cut = int(_LEARNED * len(goal))
    first, last = known[:cut], known[cut:]
    inner = first.T @ first + 1e-6 * len(first) * np.eye(known.shape[1])
    rule = np.linalg.solve(inner, first.T @ goal[:cut])
    off = goal[cut:] - last @ rule
    return float(off @ off) / max(len(off), 1)
