"""Scalar filters of first-order lags without dead time: the commonest twin, ten times faster.

Rules: what comes out is what the general kernel gives, but for rounding; the decay over a step is
kept for the next step of the same length, which spares the exponential where samples are regular.
"""

import math
from typing import Any, Final

import numpy as np
from numba import njit, types

from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.compiled import A1, A2, A3, I1
from lineshaft.rooms.twins.engine.fleet import Array, Estimates, Fleet

__all__ = ["LagFleet", "run_lags"]

_HUGE: Final = 1e120
_SLACK_US: Final = 50_000


@njit(
    types.void(A2, A3, A2, A2, A2, A2, I1, I1, I1, A2, A2, I1, A1, I1, I1, I1, A1, A1, A1, I1),
    cache=True, nogil=True, error_model="numpy",
)  # fmt: skip
def run_lags(
    x: Any, p: Any, u: Any, par: Any, walk: Any, noise: Any, t: Any, started: Any, behind: Any,
    start: Any, spread: Any, step: Any, decay: Any, twin: Any, port: Any, at: Any, value: Any,
    estimate: Any, surprise: Any, flag: Any,
) -> None:  # fmt: skip
    """Take events as `filters.run_filters` does; `step (N,)` µs and `decay (N,)` are kept from
    call to call."""
    for e in range(twin.shape[0]):
        i, now, v = twin[e], at[e], value[e]
        estimate[e] = surprise[e] = 0.0
        if not abs(v) < _HUGE:
            flag[e] = filters.BAD_VALUE
            continue
        ahead = now - t[i]
        if started[i] == 0:
            if port[e] == 0:
                u[i, 0] = v
                flag[e] = filters.INPUT
                continue
            x[i, 0], p[i, 0, 0] = start[i, 0], spread[i, 0] * spread[i, 0]
            started[i], t[i], ahead = 1, now, 0
        elif ahead < 0:
            if ahead < -_SLACK_US and port[e] != 0:
                if behind[i] < filters.BELIEVED:
                    behind[i] += 1
                    flag[e] = filters.LATE
                    continue
                x[i, 0], p[i, 0, 0] = start[i, 0], spread[i, 0] * spread[i, 0]
                t[i] = now
            ahead = 0
        if ahead > 0:
            if ahead != step[i]:
                step[i] = ahead
                decay[i] = math.exp(-ahead * 1e-6 / par[i, 1])
            a = decay[i]
            x[i, 0] = a * x[i, 0] + (1.0 - a) * (par[i, 0] * u[i, 0] + par[i, 2])
            most = max(a * a * p[i, 0, 0], spread[i, 0] * spread[i, 0])
            grown = a * a * p[i, 0, 0] + walk[i, 0] * walk[i, 0] * ahead * 1e-6
            p[i, 0, 0] = min(grown, most)
            t[i] = now
        if port[e] == 0:
            u[i, 0] = v
            flag[e] = filters.INPUT
            continue
        behind[i] = 0
        variance = p[i, 0, 0] + noise[i, 0] * noise[i, 0]
        innovation = v - x[i, 0]
        gain = p[i, 0, 0] / variance
        x[i, 0] += gain * innovation
        p[i, 0, 0] *= noise[i, 0] * noise[i, 0] / variance
        estimate[e] = x[i, 0]
        surprise[e] = innovation / math.sqrt(variance)
        flag[e] = filters.ESTIMATED
        if not (abs(x[i, 0]) < _HUGE and 0.0 < p[i, 0, 0] < _HUGE and abs(surprise[e]) < _HUGE):
            flag[e] = filters.RESTARTED
            started[i], x[i, 0], p[i, 0, 0] = 0, start[i, 0], spread[i, 0] * spread[i, 0]
            estimate[e] = surprise[e] = 0.0


class LagFleet(Fleet):
    """A fleet of lags without dead time."""

    def __init__(self, method: str) -> None:
        super().__init__(LAG, method)
        self._step, self._decay = np.zeros(0, np.int64), np.zeros(0)

    def change(self, row: int, setup: Any) -> None:
        """Give a twin other figures; its state stays."""
        super().change(row, setup)
        self._step[row : row + 1] = 0

    def _run(self, events: tuple[Array, ...], found: Estimates) -> None:
        missing = len(self.t) - len(self._step)
        if missing:
            self._step = np.append(self._step, np.zeros(missing, np.int64))
            self._decay = np.append(self._decay, np.zeros(missing))
        run_lags(
            self.x, self.p, self.u, self.par, self.walk, self.noise, self.t, self.started,
            self.behind, self.start, self.spread, self._step, self._decay, *events,
            found.y, found.z, found.flag,
        )  # fmt: skip
