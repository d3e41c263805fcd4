"""The quadratic program of a linear controller: its matrices are made once, only vectors change.

Rules: unknowns are where each handle stands in each block (`b m`, scaled, from where it stands now)
and two slacks an output with limits. Bounds and rates of handles are hard; limits of outputs are
soft with a penalty that is exact (linear) as long as they can be held, so a limit is broken only
where it must be, by as little as can be. The unknowns are turned so that the cost is round, which
makes the active set of `active` short work: it solves exactly, from nothing but the question, so
there is no solution to keep. (OSQP, warm-started, was tried first: on 20 outputs and 8 handles it
took 20 to 700 iterations, and ten times as long.)
"""

from dataclasses import dataclass

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.mpc.active import least
from lineshaft.rooms.decide.engine.mpc.horizon import Horizon

__all__ = ["Answer", "Program", "Weights"]

_FAR = 3.0  # a target further off than that pulls no harder
_STEEP = 10.0  # of a slack's curve, by its slope


@dataclass(frozen=True, slots=True)
class Weights:
    """track (p,), move (m,), rest (m,): in scaled units; limited (p,): not 0 where limits are."""

    track: Floats
    move: Floats
    rest: Floats
    limited: Floats


@dataclass(frozen=True, slots=True)
class Answer:
    """`w (b, m)` where the handles stand, `slack (p,)` by how much limits are passed (scaled),
    `solved` whether it is the best, found in so many `steps`, with so many rows that `bind`."""

    w: Floats
    slack: Floats
    solved: bool
    steps: int
    bind: int


class Program:
    """Made for a horizon and weights; see `solve`."""

    def __init__(self, horizon: Horizon, weights: Weights) -> None:
        self._horizon, self._weights = horizon, weights
        self._outputs, self._blocks = len(horizon.reach), len(horizon.starts)
        self._moves = self._blocks * len(horizon.span)
        self._at = np.flatnonzero(weights.limited)
        periods = len(horizon.free) // self._outputs
        self._pull = np.tile(weights.track, periods) / periods
        self._slack = 1.0 + float(weights.track.sum())
        self._unit = 1 / np.sqrt(_STEEP * self._slack)
        self._turn = np.linalg.inv(np.linalg.cholesky(self._costs())).T
        rows = self._limits(periods)
        self._lengths = np.linalg.norm(rows, axis=1)
        self._rows = np.ascontiguousarray(rows / self._lengths[:, None])

    def _costs(self) -> Floats:
        """Return the second derivative of the cost by where the handles stand."""
        answer, blocks = self._horizon.answer, np.eye(self._blocks)
        difference = blocks - np.eye(self._blocks, k=-1)
        moves = np.kron(difference.T @ difference, np.diag(self._weights.move))
        rest = np.kron(blocks, np.diag(self._weights.rest)) / self._blocks
        tracked = answer.T @ (answer * self._pull[:, None])
        return np.asarray(tracked + moves + rest + 1e-6 * np.eye(self._moves))

    def _limits(self, periods: int) -> Floats:
        """Return bounds, rates, slacks, then limits of outputs, one period after the other."""
        count, handles = len(self._at), self._moves // self._blocks
        steps = np.kron(np.eye(self._blocks) - np.eye(self._blocks, k=-1), np.eye(handles))
        hard = np.vstack([self._turn, steps @ self._turn])
        chosen = self._horizon.answer.reshape(periods, self._outputs, -1)[:, self._at]
        soft = chosen.reshape(-1, self._moves) @ self._turn
        loose = self._unit * np.tile(np.hstack([-np.eye(count), np.eye(count)]), (periods, 1))
        return np.block([
            [hard, np.zeros((len(hard), 2 * count))],
            [np.zeros((2 * count, self._moves)), np.eye(2 * count)],
            [soft, loose],
        ])  # fmt: skip

    def solve(
        self, free: Floats, target: Floats, rest: Floats, low: Floats, high: Floats,
        step: Floats, y_low: Floats, y_high: Floats,
    ) -> Answer:  # fmt: skip
        """Return the best moves. free, target (N, p): outputs without moves, and wished; rest (m,):
        where handles would best stand; low, high (b, m), step (b, m): what they may do; y_low,
        y_high (p,): limits. All scaled, handles from where they stand now."""
        off = np.clip(free - target, -_FAR, _FAR).ravel()
        pulls = self._horizon.answer.T @ (self._pull * off)
        pulls -= np.tile(self._weights.rest * rest, self._blocks) / self._blocks
        count, room = len(self._at), free[:, self._at]
        open_ = np.full(2 * count, np.inf)
        lower = np.concatenate(
            [low.ravel(), -step.ravel(), np.zeros(2 * count),
             (y_low[self._at] - room).ravel()]
        )  # fmt: skip
        upper = np.concatenate(
            [high.ravel(), step.ravel(), open_, (y_high[self._at] - room).ravel()]
        )
        slope = np.concatenate([self._turn.T @ pulls, np.full(2 * count, self._slack * self._unit)])
        x, active, steps = least(slope, self._rows, lower / self._lengths, upper / self._lengths)
        slack, extra = np.zeros(self._outputs), x[self._moves :] * self._unit
        slack[self._at] = np.maximum(extra[:count], extra[count:])
        w = (self._turn @ x[: self._moves]).reshape(self._blocks, -1)
        return Answer(w, slack, steps >= 0, abs(steps), len(active))
