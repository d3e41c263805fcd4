"""A bank of filters that see the same cost and believe in different noises.

Rules: the cost of a period is

    cost = level + seasons + explained + slow + white − gain · on

where `level` walks (drift), `slow` is first-order autoregressive, and `gain` leans on what explains
the cost (a loop may save more at full load) and may walk while the loop is on. What lingers after a
switch is four unknowns of its own (tails), so that it is nobody's gain. It is a dynamic linear
model (West & Harrison, Bayesian Forecasting and Dynamic Models, 2nd ed. 1997, ch. 4 and 16): each
member fixes how slow, how white, how drifting the noise is, in units of its size; the size is
learned in closed form (normal-inverse-gamma), so what a member says is a Student t. Members are
weighed by how well they foretold, to the power 0.3, as none of them is the plant (coarsened
posterior, Miller & Dunson, JASA 114 (2019) 1113). The saved amount is a state of its own, the sum
of gain over settled hours, so that what is learned later mends what was counted before. An
innovation beyond 3.5 deviations counts as one of 3.5 (Huber 1964): an upset bends the answer but
does not own it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAIN_SPREAD", "TAILS", "Bank", "Step"]

Floats = NDArray[np.float64]

TAILS = 4
_GAIN, _SAVED, _LEVEL, _SLOW, _TAIL = range(5)
_REST = _TAIL + TAILS
_KEEPS = (0.5, 0.8, 0.93, 0.98)  # of the slow noise, from one period to the next
_WHITE = (0.05, 0.5)  # share of the variance without memory
_DRIFT = (0.003, 0.02, 0.08)  # step of the level, in deviations a period
_WANDER = (0.0, 0.03)  # step of the gain, likewise
GAIN_SPREAD, _TAIL_SPREAD = 5.0, 1.0  # before anything was seen, in deviations of the noise
_LEAN_SPREAD, _VAGUE_SPREAD = 1.0, 100.0
_FAR = 3.5
_TRUST = 0.3  # power of the likelihood by which members are weighed


@dataclass(frozen=True, slots=True)
class Step:
    """One period: `periods` since the one before, cost in units of spread (NaN: not measured, or
    not settled), `row` the regressors that explain, `lean` those that the gain may depend on, `on`,
    the signs of the TAILS tails that a switch may leave, `hours` that count as saved."""

    periods: float
    cost: float
    row: Floats
    lean: Floats
    on: bool
    tails: Sequence[float]
    hours: float


class Bank:
    """All members; `n_rows` is the length of a Step's row, `n_leans` that of its `lean`."""

    def __init__(self, n_rows: int, n_leans: int) -> None:
        members = np.array(list(product(_KEEPS, _WHITE, _DRIFT, _WANDER)))
        keep, self._white, drift, wander = (column.copy() for column in members.T)
        self._beliefs = (keep, self._white, drift**2, wander**2)
        count, size = len(members), _REST + n_leans + n_rows
        self._leans, self._row = slice(_REST, _REST + n_leans), slice(_REST + n_leans, size)
        self.mean: Floats = np.zeros((count, size))
        self.cov: Floats = np.zeros((count, size, size))
        first = np.full(size, _VAGUE_SPREAD**2)
        first[[_GAIN, _SAVED]] = GAIN_SPREAD**2, 0.0
        first[_TAIL:_REST], first[self._leans] = _TAIL_SPREAD**2, _LEAN_SPREAD**2
        self.cov[:, np.arange(size), np.arange(size)] = first
        self.cov[:, _SLOW, _SLOW] = 1 - self._white
        self.squares: Floats = np.full(count, 0.1)
        self.logs: Floats = np.zeros(count)
        self.seen = 1

    def take(self, step: Step) -> None:
        """Foretell the period, learn from its cost where it has one, and count what was saved."""
        _predict(self.mean, self.cov, *self._beliefs, step.periods, step.on)
        if np.isfinite(step.cost):
            h = -float(step.on) * self.gain_at(step.lean)
            h[[_LEVEL, _SLOW]] = 1.0
            h[_TAIL:_REST] = step.tails
            h[self._row] = step.row
            far = _FAR if self.seen > 24 else np.inf
            _learn(self.mean, self.cov, self.squares, self.logs, self._white, h, step.cost,
                   self.seen, far)  # fmt: skip
            self.seen += 1
        if step.hours:
            gain = step.hours * self.gain_at(step.lean)
            self.mean[:, _SAVED] += self.mean @ gain
            self.cov[:, _SAVED] += gain @ self.cov
            self.cov[:, :, _SAVED] += self.cov @ gain

    def gain_at(self, lean: Floats) -> Floats:
        """Return which sum of the states is the gain where what explains the cost is at `lean`."""
        found = np.zeros(self.mean.shape[1])
        found[_GAIN], found[self._leans] = 1.0, lean
        return found

    def tail(self, number: int) -> Floats:
        """Return which sum of the states is a tail."""
        found = np.zeros(self.mean.shape[1])
        found[_TAIL + number] = 1.0
        return found

    @property
    def saved(self) -> Floats:
        """Return which sum of the states is the saved amount."""
        found = np.zeros(self.mean.shape[1])
        found[_SAVED] = 1.0
        return found

    @property
    def weights(self) -> Floats:
        """Return how far each member is believed `(n_members,)`; they sum to one."""
        logs = self.logs - 0.5 * self.seen * np.log(self.squares)
        found = np.exp(_TRUST * (logs - logs.max()))
        return np.asarray(found / found.sum())

    @property
    def size(self) -> Floats:
        """Return the variance of the noise as each member sees it `(n_members,)`."""
        return np.asarray(self.squares / self.seen)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned, as arrays."""
        return {"mean": self.mean, "cov": self.cov, "squares": self.squares, "logs": self.logs,
                "seen": np.array([self.seen])}  # fmt: skip

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave."""
        self.mean, self.cov = state["mean"], state["cov"]
        self.squares, self.logs = state["squares"], state["logs"]
        self.seen = int(state["seen"][0])


def _predict(
    mean: Floats, cov: Floats, keep: Floats, white: Floats, drift: Floats, wander: Floats,
    periods: float, on: bool,
) -> None:  # fmt: skip
    kept = keep**periods
    mean[:, _SLOW] *= kept
    cov[:, _SLOW] *= kept[:, None]
    cov[:, :, _SLOW] *= kept[:, None]
    cov[:, _SLOW, _SLOW] += (1 - white) * (1 - kept * kept)
    cov[:, _LEVEL, _LEVEL] += drift * periods
    if on:
        cov[:, _GAIN, _GAIN] += wander * periods


def _learn(
    mean: Floats, cov: Floats, squares: Floats, logs: Floats, white: Floats, h: Floats,
    cost: float, seen: int, far: float,
) -> None:  # fmt: skip
    reach = h @ cov
    error, width = cost - mean @ h, white + reach @ h
    width *= np.maximum(1.0, error * error * seen / (width * squares * far * far))
    pull = reach / width[:, None]
    mean += pull * error[:, None]
    cov -= pull[:, :, None] * reach[:, None, :]
    squares += error * error / width
    logs -= 0.5 * np.log(width)
