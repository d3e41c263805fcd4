"""A path through the equations: two points of Radau in every period, and how it bends.

Rules: Radau IIA of two stages (Hairer & Wanner, Solving Ordinary Differential Equations II, 2nd ed.
1996, §IV.5): third order, stiffly accurate, the second point is the end of the period. A path need
not fulfil the equations: `linearised` says by how much each period misses them and how its end
follows from its beginning and its handles, so that a step of Newton closes all gaps at once (direct
collocation, condensed).
"""

from dataclasses import dataclass

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.mpc.behaviour import Slopes

__all__ = ["Bend", "linearised", "simulated"]

_A = np.array([[5 / 12, -1 / 12], [3 / 4, 1 / 4]])


@dataclass(frozen=True, slots=True)
class Bend:
    """For each of N periods: gap (N, 2 n) by which its inner points miss, and what a change of its
    beginning (N, 2 n, n) and of its handles (N, 2 n, m) does to them. The end is the last n."""

    gap: Floats
    by_start: Floats
    by_handles: Floats


def linearised(slopes: Slopes, first: Floats, inner: Floats, u: Floats, hours: float) -> Bend:
    """Return how a path bends: first (n,), inner (N, 2, n), u (N, m), a period of `hours`."""
    count, _, n = inner.shape
    f, fx, fu = slopes.at(inner.reshape(-1, n), np.repeat(u, 2, axis=0))
    f, fx = f.reshape(count, 2, n), fx.reshape(count, 2, n, n)
    starts = np.vstack([first[None], inner[:-1, 1]])
    missed = inner - starts[:, None] - hours * np.einsum("ji,kin->kjn", _A, f)
    matrix = -hours * np.einsum("ji,kinm->kjnim", _A, fx).reshape(count, 2 * n, 2 * n)
    matrix += np.eye(2 * n)
    handles = hours * np.einsum("ji,kinm->kjnm", _A, fu.reshape(count, 2, n, -1))
    begin = np.broadcast_to(np.tile(np.eye(n), (2, 1)), (count, 2 * n, n))
    right = np.concatenate(
        [-missed.reshape(count, -1, 1), begin, handles.reshape(count, 2 * n, -1)], axis=2
    )
    found = np.linalg.solve(matrix, right)
    return Bend(found[:, :, 0], found[:, :, 1 : 1 + n], found[:, :, 1 + n :])


def simulated(
    slopes: Slopes, x: Floats, u: Floats, hours: float, steps: int = 8
) -> tuple[Floats, Floats]:
    """Return the inner points of one period (2, n) from x (n,) and its end's slope by x (n, n)."""
    inner = np.tile(x, (2, 1))[None]
    bend = linearised(slopes, x, inner, u[None], hours)
    for _ in range(steps):
        inner = inner + bend.gap.reshape(1, 2, -1)
        bend = linearised(slopes, x, inner, u[None], hours)
        if np.abs(bend.gap).max() < 1e-10:
            break
    return inner[0], bend.by_start[0, len(x) :]
