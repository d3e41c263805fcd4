"""Simulation: one machine's states and outputs at given times, its inputs held between theirs.

Rules: steps end exactly where an input comes into force, dead time included, so that results are
continuous in every parameter, dead time too; no step is longer than the behaviour allows.
"""

import math
from typing import Any

import numpy as np
from numba import float64, njit, types

from lineshaft.rooms.twins.engine.compiled import (
    A1,
    A2,
    A3,
    ADVANCE,
    I1,
    MEASURE,
    kernel,
)

__all__ = ["simulate", "simulate_each"]


def simulate(
    advance: Any, measure: Any, x0: Any, p: Any, times: Any, u: Any, delays: Any,
    longest_s: float, out_x: Any, out_y: Any,
) -> None:  # fmt: skip
    """Write states `out_x (T, n)` and outputs `out_y (T, r)` at `times (T,)` s, ascending.

    `x0 (n,)` holds at the first time; `u (T, m)` row k from times[k] on, later by the parameter
    that `delays (m,)` names by its index in `p` (-1: none). Before the first row acts, it holds.
    """
    simulate_each(advance, measure, x0[None], p[None], times, u, delays, longest_s, out_x,
                  out_y[None])  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _simulate(
    advance: Any, measure: Any, x0: Any, p: Any, times: Any, u: Any, delays: Any,
    longest_s: float, out_x: Any, out_y: Any,
) -> None:  # fmt: skip
    n, m, number = x0.shape[0], u.shape[1], times.shape[0]
    x, after, held = x0.copy(), x0.copy(), u[0].copy()
    coming = np.zeros(m, np.int64)
    for k in range(number):
        now = times[k - 1] if k > 0 else times[0]
        while True:
            # Inputs that are due come into force; the next change of one ends the stretch.
            stop = times[k]
            for j in range(m):
                delay = p[delays[j]] if delays[j] >= 0 else 0.0
                while coming[j] < number and (
                    u[coming[j], j] == held[j] or times[coming[j]] + delay <= now
                ):
                    held[j] = u[coming[j], j]
                    coming[j] += 1
                if coming[j] < number:
                    stop = min(stop, times[coming[j]] + delay)
            if not stop > now:
                break
            steps = math.ceil((stop - now) / longest_s) if stop - now > longest_s else 1
            for _ in range(steps):
                advance(x, held, p, (stop - now) / steps, after)
                for a in range(n):
                    x[a] = after[a]
            now = stop
        for a in range(n):
            out_x[k, a] = x[a]
        measure(x, held, p, out_y[k])


@kernel(types.void(ADVANCE, MEASURE, A2, A2, A1, A2, I1, float64, A2, A3))
def simulate_each(
    advance: Any, measure: Any, x0: Any, p: Any, times: Any, u: Any, delays: Any,
    longest_s: float, out_x: Any, out_y: Any,
) -> None:  # fmt: skip
    """Simulate S machines under the same inputs: `x0 (S, n)`, `p (S, k)`, `out_y (S, T, r)`;
    `out_x (T, n)` keeps the states of the last."""
    for i in range(x0.shape[0]):
        _simulate(advance, measure, x0[i], p[i], times, u, delays, longest_s, out_x, out_y[i])
