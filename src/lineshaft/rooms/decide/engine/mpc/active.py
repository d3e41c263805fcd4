"""The least of `½ |x|² + q x` under `low ≤ A x ≤ high`, exactly, by a dual active set.

Rules: rows of A have length one. The method of Goldfarb & Idnani (Math. Programming 27 (1983) 1)
begins at the free minimum and takes in what is broken most, one row at a time, so its effort grows
with the number of rows that bind, needs no first guess, and gives the same digits each time. It
works in an orthogonal basis Q whose first columns span the rows that bind, with their triangle R.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from lineshaft.rooms.decide.engine.method import Floats

__all__ = ["least"]

_ENOUGH, _NOTHING = 1e-8, 1e-12


def least(
    q: Floats, rows: Floats, low: Floats, high: Floats, most: int = 2000
) -> tuple[Floats, NDArray[np.int64], int]:
    """Return x `(n,)`, the rows that bind, and the steps taken; more than `most` steps, or rows
    that exclude each other, give a negative number of steps and the best x so far.

    >>> least(np.array([-3.0, 0.0]), np.eye(2), np.zeros(2), np.array([2.0, 9.0]))[0]
    array([2., 0.])
    """
    told = np.isfinite(q).all() and np.isfinite(rows).all()
    if not told or np.isnan(low).any() or np.isnan(high).any():
        return np.full(len(q), np.nan), np.empty(0, np.int64), -1
    x, active, steps = _least(q, rows, low, high, most)
    return x, active, int(steps)


def _least_of(
    q: Floats, rows: Floats, low: Floats, high: Floats, most: int
) -> tuple[Floats, NDArray[np.int64], int]:
    n = len(q)
    x = -q
    basis, triangle = np.eye(n), np.zeros((n, n))
    active, force = np.zeros(n, np.int64), np.zeros(n)
    bound, at = 0, rows @ x
    for steps in range(most):
        worst, side, broken = -1, 1.0, _ENOUGH
        for i in range(len(low)):
            if low[i] - at[i] > broken:
                worst, side, broken = i, 1.0, low[i] - at[i]
            elif at[i] - high[i] > broken:
                worst, side, broken = i, -1.0, at[i] - high[i]
        if worst < 0:
            return x, active[:bound].copy(), steps
        normal, pressed = side * rows[worst], 0.0
        for turn in range(n + 2):
            if turn > n:
                return x, active[:bound].copy(), -steps - 1
            d = basis.T @ normal
            r = np.zeros(bound)
            for i in range(bound - 1, -1, -1):
                total = d[i]
                for j in range(i + 1, bound):
                    total -= triangle[i, j] * r[j]
                r[i] = total / triangle[i, i]
            free = 0.0
            for i in range(bound, n):
                free += d[i] * d[i]
            leaving, length = -1, np.inf
            for i in range(bound):
                if r[i] > _NOTHING and force[i] < length * r[i]:
                    leaving, length = i, force[i] / r[i]
            whole = broken / free if free > _NOTHING else np.inf
            length = min(length, whole)
            if length == np.inf:
                return x, active[:bound].copy(), -steps - 1
            for i in range(bound):
                force[i] -= length * r[i]
            pressed += length
            if free > _NOTHING:
                d_free = d.copy()
                d_free[:bound] = 0.0
                way = basis @ d_free
                x += length * way
                at += length * (rows @ way)
                broken -= length * free
            if length == whole:
                _add(basis, triangle, d, bound)
                active[bound], force[bound] = worst, pressed
                bound += 1
                break
            bound -= 1
            _drop(basis, triangle, leaving, bound)
            for i in range(leaving, bound):
                active[i], force[i] = active[i + 1], force[i + 1]
    return x, active[:bound].copy(), -most


def _add_row(basis: Floats, triangle: Floats, d: Floats, bound: int) -> None:
    """Turn the free columns so that the new row lies in the first of them (Householder)."""
    n = len(d)
    length = np.sqrt(np.sum(d[bound:] ** 2))
    if d[bound] > 0:
        length = -length
    turn = d[bound:].copy()
    turn[0] -= length
    scale = np.sum(turn**2)
    if scale > 0:
        for i in range(n):
            shift = 0.0
            for j in range(bound, n):
                shift += basis[i, j] * turn[j - bound]
            shift *= 2.0 / scale
            for j in range(bound, n):
                basis[i, j] -= shift * turn[j - bound]
    triangle[:bound, bound] = d[:bound]
    triangle[bound, bound] = length


def _drop_row(basis: Floats, triangle: Floats, leaving: int, bound: int) -> None:
    """Take a column out of the triangle and turn what is left into one again (Givens)."""
    for j in range(leaving, bound):
        triangle[: j + 2, j] = triangle[: j + 2, j + 1]
    for j in range(leaving, bound):
        length = np.hypot(triangle[j, j], triangle[j + 1, j])
        c, s = triangle[j, j] / length, triangle[j + 1, j] / length
        for k in range(j, bound):
            above, below = triangle[j, k], triangle[j + 1, k]
            triangle[j, k], triangle[j + 1, k] = c * above + s * below, c * below - s * above
        for k in range(len(basis)):
            left, right = basis[k, j], basis[k, j + 1]
            basis[k, j], basis[k, j + 1] = c * left + s * right, c * right - s * left


_add, _drop = njit(cache=True)(_add_row), njit(cache=True)(_drop_row)
_least = njit(cache=True)(_least_of)
