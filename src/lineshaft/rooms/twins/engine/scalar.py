"""Scalar filters of first-order lags without dead time: the commonest twin, ten times faster.

Rules: what comes out is what the general kernel gives, but for rounding; the decay over a step is
kept for the next step of the same length, which spares the exponential where samples are regular.
Both kernels here do the same sums in the same order, so that which of them runs shows in no bit.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import types

from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.compiled import A1, A2, A3, I1, kernel
from lineshaft.rooms.twins.engine.fleet import Array, Estimates, Fleet
from lineshaft.rooms.twins.engine.setup import Setup

__all__ = ["LagFleet", "run_lags", "step_all"]

_HUGE: Final = 1e120
_SLACK_US: Final = 50_000


@kernel(types.void(A2, A3, A2, A2, A2, A2, I1, I1, I1, A2, A2, I1, A1, I1, I1, I1, A1, A1, A1, I1))
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
        sensor = noise[i, 0] * noise[i, 0]
        variance = p[i, 0, 0] + sensor
        innovation = v - x[i, 0]
        gain = p[i, 0, 0] / variance
        x[i, 0] += gain * innovation
        p[i, 0, 0] = p[i, 0, 0] * sensor / variance
        estimate[e] = x[i, 0]
        surprise[e] = innovation / math.sqrt(variance)
        flag[e] = filters.ESTIMATED
        if not (abs(x[i, 0]) < _HUGE and 0.0 < p[i, 0, 0] < _HUGE and abs(surprise[e]) < _HUGE):
            flag[e] = filters.RESTARTED
            started[i], x[i, 0], p[i, 0, 0] = 0, start[i, 0], spread[i, 0] * spread[i, 0]
            estimate[e] = surprise[e] = 0.0


@kernel(types.void(A1, A1, A1, A1, A1, A1, A1, A1, A1, A1))
def step_all(
    x: Any, p: Any, push: Any, decay: Any, growth: Any, most: Any, sensor: Any, value: Any,
    estimate: Any, surprise: Any,
) -> None:  # fmt: skip
    """Take one output sample of every twin at one instant, the usual step after the last one.

    All `(N,)`: state and variance, what the held input adds, decay, growth of the variance and
    what bounds it, variance of the sensor, the samples; results as in `run_lags`.
    """
    for i in range(x.shape[0]):
        kept = decay[i] * decay[i] * p[i]
        variance = min(kept + growth[i], max(kept, most[i]))
        total = variance + sensor[i]
        ahead = decay[i] * x[i] + push[i]
        innovation = value[i] - ahead
        x[i] = ahead + variance / total * innovation
        p[i] = variance * sensor[i] / total
        estimate[i] = x[i]
        surprise[i] = innovation / math.sqrt(total)


@dataclass(slots=True)
class _Pace:
    """A fleet that is sampled all at once at even steps: `now` and `step` (µs) stand for the time
    of every twin, and what a step takes is worked out once."""

    now: int
    step: int
    push: Array
    decay: Array
    growth: Array
    most: Array
    sensor: Array


class LagFleet(Fleet):
    """A fleet of lags without dead time. Where all are sampled at one instant, step after even
    step, as one controller's scan does, the fleet keeps pace with it."""

    def __init__(self, method: str) -> None:
        super().__init__(LAG, method)
        self._step, self._decay = np.zeros(0, np.int64), np.zeros(0)
        self._pace: _Pace | None = None

    def add(self, setup: Setup) -> int:
        """Take a twin in and return its row."""
        self._leave_pace()
        return super().add(setup)

    def change(self, row: int, setup: Setup) -> None:
        """Give a twin other figures; its state stays."""
        self._leave_pace()
        super().change(row, setup)
        self._step[row : row + 1] = 0

    def remove(self, row: int) -> None:
        """Forget a twin."""
        self._leave_pace()
        super().remove(row)

    def save(self) -> dict[str, Array]:
        """Return copies of everything that this knows."""
        self._leave_pace()
        return super().save()

    def _run(self, events: tuple[Array, ...], found: Estimates) -> None:
        at, value = events[2:]
        is_whole, pace = self._is_whole(*events[:3]), self._pace
        in_pace = pace is not None and is_whole and at[0] - pace.now == pace.step
        if pace is not None and in_pace and np.abs(value).max() < _HUGE:
            rows = len(at)
            step_all(
                self.x[:rows, 0], self.p[:rows, 0, 0], pace.push, pace.decay, pace.growth,
                pace.most, pace.sensor, value, found.y, found.z,
            )  # fmt: skip
            found.flag[:] = filters.ESTIMATED
            pace.now = int(at[0])
            return
        self._leave_pace()
        missing = len(self.t) - len(self._step)
        if missing:
            self._step = np.append(self._step, np.zeros(missing, np.int64))
            self._decay = np.append(self._decay, np.zeros(missing))
        run_lags(
            self.x, self.p, self.u, self.par, self.walk, self.noise, self.t, self.started,
            self.behind, self.start, self.spread, self._step, self._decay, *events,
            found.y, found.z, found.flag,
        )  # fmt: skip
        if is_whole:
            self._fall_into_pace(len(at), int(at[0]))

    def _is_whole(self, twin: Array, port: Array, at: Array) -> bool:
        """Return whether this is one output of every twin, all at one instant."""
        count = len(twin)
        return (
            count == len(self) and count > 0 and twin[-1] == count - 1 and at[0] == at[-1]
            and bool((port == 1).all()) and bool((at == at[0]).all())
            and bool((twin[1:] > twin[:-1]).all())
        )  # fmt: skip

    def _fall_into_pace(self, rows: int, now: int) -> None:
        every, step = slice(0, rows), int(self._step[0])
        even = step > 0 and bool((self._step[every] == step).all())
        if not (even and (self.t[every] == now).all() and self.started[every].all()):
            return
        decay, par = self._decay[every].copy(), self.par[every]
        push = (1.0 - decay) * (par[:, 0] * self.u[every, 0] + par[:, 2])
        if not np.abs(push).max() < 1e100:
            return
        walk, noise, spread = self.walk[every, 0], self.noise[every, 0], self.spread[every, 0]
        self._pace = _Pace(now, step, push, decay, walk**2 * step * 1e-6, spread**2, noise**2)

    def _leave_pace(self) -> None:
        """Write the time of every twin where it is looked for otherwise."""
        pace, self._pace = self._pace, None
        if pace is not None:
            self.t[: len(pace.push)] = pace.now
