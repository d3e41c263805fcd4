"""Nonlinear model predictive control as a method of loops.

Rules: as `linear`, but the future is a path through the plant's equations: direct collocation over
the horizon, solved by Gauss-Newton steps (sequential quadratic programming, each program of which
is small because the path's inner points follow from the handles). It starts from the last path,
moved on by a period, so mostly two or three steps do (Diehl et al., J. Process Control 12 (2002)
577). Bounds, rates and dwell of handles are kept exactly, limits as long as they can be.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.bounds import Bounds
from lineshaft.rooms.decide.engine.method import Floats, Problem, Proposal, View
from lineshaft.rooms.decide.engine.mpc.behaviour import Behaviour, Slopes
from lineshaft.rooms.decide.engine.mpc.estimator import Estimator, ExtendedKalman
from lineshaft.rooms.decide.engine.mpc.horizon import Horizon
from lineshaft.rooms.decide.engine.mpc.outputs import outputs_of
from lineshaft.rooms.decide.engine.mpc.program import Answer, Program, Weights
from lineshaft.rooms.decide.engine.mpc.radau import Bend, linearised, simulated
from lineshaft.rooms.decide.engine.mpc.wishes import Wishes, wishes_of
from lineshaft.rooms.decide.engine.pack import pack, unpack

__all__ = ["NonlinearControl", "make"]

_SCHEMA, _SMALL, _STEPS, _CLOSE = "nmpc/1", 1e-3, 8, 1e-4


def make(
    problem: Problem, settings: Mapping[str, Any], seed: int = 0, saved: bytes = b""
) -> "NonlinearControl":
    """Return the method; `settings["model"]` is a Behaviour whose inputs are the handles."""
    behaviour = settings.get("model")
    if not isinstance(behaviour, Behaviour):
        raise Refused("a nonlinear controller needs a behaviour as its model", code="mpc.model")
    if list(behaviour.inputs) != [one.key for one in problem.handles]:
        raise Refused("the inputs of the behaviour are not the handles of the loop, in their order",
                      code="mpc.inputs")  # fmt: skip
    told = {"horizon": 20, "reads": "last", **settings}
    wishes = wishes_of(problem, told, behaviour.outputs, set())
    return NonlinearControl(problem, behaviour, wishes, saved)


class NonlinearControl:
    """The controller; made by `make`. `estimator` may be replaced before the first step."""

    def __init__(
        self, problem: Problem, behaviour: Behaviour, wishes: Wishes, saved: bytes = b""
    ) -> None:
        self._problem, self._behaviour, self._wishes = problem, behaviour, wishes
        self._bounds = Bounds(problem)
        self._slopes = Slopes(behaviour, self._bounds.low, self._bounds.span)
        self._outputs = outputs_of(problem, behaviour.outputs)
        limited = np.isfinite(self._outputs.low) | np.isfinite(self._outputs.high)
        self._weights = Weights(wishes.track, wishes.move, wishes.ease, limited.astype(np.float64))
        self.estimator: Estimator = ExtendedKalman(
            self._slopes, problem.period_h, wishes.noise, behaviour.start / behaviour.scale,
            np.zeros(len(behaviour.outputs)),
        )  # fmt: skip
        self._u: Floats = np.empty((0, 0))
        self._inner: Floats = np.empty((0, 0, 0))
        self._iterations = 0
        if saved:
            self._restore(saved)

    def step(self, view: View) -> Proposal:
        """Take one View and answer; see `Method`."""
        before = self._bounds.now.copy()
        self._bounds.take(view.hours, view.u)
        y = (view.y if self._wishes.reads == "mean" else view.y_last)[list(self._outputs.at)]
        if self._bounds.known:
            # What is read back now was put in force when the period that ended began.
            self.estimator.take(self._scaled(self._bounds.now), y / self._behaviour.reach)
        if view.frozen or not self._bounds.known:
            why = "frozen" if view.frozen else "a handle is not read"
            return Proposal(self._bounds.now.copy(), "hold", f"nothing is moved: {why}")
        if not np.isfinite(y).any() and not np.isfinite(before).all():
            return Proposal(self._bounds.now.copy(), "hold", "no output can be read")
        return self._decide()

    def _scaled(self, u: Floats) -> Floats:
        return np.asarray((u - self._bounds.low) / self._bounds.span)

    def _begin(self, now: Floats) -> None:
        """Move the last path on by a period, or lay a first one: handles as they are."""
        count, x = self._wishes.horizon, self.estimator.x
        if len(self._u) == count and np.isfinite(self._inner).all():
            self._u = np.vstack([self._u[1:], self._u[-1:]])
            self._inner = np.concatenate([self._inner[1:], self._inner[-1:]])
            return
        self._u, inner = np.tile(now, (count, 1)), []
        for _ in range(count):
            points, _ = simulated(self._slopes, x, now, self._problem.period_h)
            inner.append(points)
            x = points[1]
        self._inner = np.array(inner)

    def _decide(self) -> Proposal:
        now = self._scaled(self._bounds.now)
        self._begin(now)
        answer, path = None, np.empty((0, 0))
        for self._iterations in range(1, _STEPS + 1):
            bend = linearised(self._slopes, self.estimator.x, self._inner, self._u,
                              self._problem.period_h)  # fmt: skip
            answer, path, change = self._improve(now, bend)
            if not np.isfinite(change):
                self._u, self._inner = np.empty((0, 0)), np.empty((0, 0, 0))
                return Proposal(self._bounds.now.copy(), "hold", "the equations give no number")
            if change < _CLOSE:
                break
        assert answer is not None
        u = self._bounds.exact(self._bounds.low + self._u[0] * self._bounds.span)
        return self._propose(u, answer, path)

    def _improve(self, now: Floats, bend: Bend) -> tuple[Answer, Floats, float]:
        """Take one Gauss-Newton step; return the program's answer, the outputs, how far it went."""
        count, m = self._u.shape
        n = self._inner.shape[2]
        drift, turn = self._condensed(bend)
        told, by_x, by_u = self._slopes.seen(self._inner[:, 1], self._u)
        p = told.shape[1]
        y = told + self.estimator.d + np.einsum("kpn,kn->kp", by_x, drift[:, n:])
        answer = np.einsum("kpn,knbm->kpbm", by_x, turn[:, n:])
        answer[np.arange(count), :, np.arange(count)] += by_u
        matrix = answer.reshape(count * p, count * m)
        horizon = Horizon(np.empty((0, 0)), np.empty((0, 0)), np.empty((count * p, 0)), matrix,
                          np.ones(p), np.ones(m), tuple(range(count)))  # fmt: skip
        free = y + (matrix @ (now - self._u).ravel()).reshape(count, p)
        found = self._solve(horizon, free)
        moved = now + found.w - self._u
        shift = drift + np.einsum("knbm,bm->kn", turn, moved)
        self._u = self._u + moved
        self._inner = self._inner + shift.reshape(count, 2, n)
        path = free + (matrix @ found.w.ravel()).reshape(count, p)
        return found, path, float(max(np.abs(moved).max(), np.abs(shift).max()))

    def _condensed(self, bend: Bend) -> tuple[Floats, Floats]:
        """Return what closing the gaps `(N, 2 n)` and moving handles `(N, 2 n, N, m)` does."""
        count, rows = bend.gap.shape
        n, m = rows // 2, bend.by_handles.shape[2]
        drift, turn = np.zeros((count, rows)), np.zeros((count, rows, count * m))
        x, by = np.zeros(n), np.zeros((n, count * m))
        for k in range(count):
            drift[k] = bend.gap[k] + bend.by_start[k] @ x
            turn[k] = bend.by_start[k] @ by
            turn[k, :, k * m : (k + 1) * m] += bend.by_handles[k]
            x, by = drift[k, n:], turn[k, n:]
        return drift, turn.reshape(count, rows, count, m)

    def _solve(self, horizon: Horizon, free: Floats) -> Answer:
        wishes, reach = self._wishes, self._behaviour.reach
        target = np.where(np.isfinite(wishes.target), wishes.target / reach, free)
        if wishes.approach_h:
            ahead = np.arange(1, len(free) + 1)[:, None] * self._problem.period_h
            target = target + (free[0] - target) * np.exp(-ahead / wishes.approach_h)
        rest = np.nan_to_num((wishes.rest - self._bounds.now) / self._bounds.span)
        room = self._bounds.room(horizon.starts)
        limits = (self._outputs.low / reach, self._outputs.high / reach)
        return Program(horizon, self._weights).solve(free, target, rest, *room, *limits)

    def _propose(self, u: Floats, answer: Answer, path: Floats) -> Proposal:
        y = np.full(len(self._problem.limits), np.nan)
        y[list(self._outputs.at)] = path[-1] * self._behaviour.reach
        past = [f"{self._behaviour.outputs[i]} by {answer.slack[i] * self._behaviour.reach[i]:.3g}"
                for i in np.flatnonzero(answer.slack > _SMALL)]  # fmt: skip
        move = np.abs((u - self._bounds.now) / self._bounds.span).max()
        phase = "settled" if move < _SMALL else "improve"
        reason = f"{self._iterations} steps to the best path"
        if past:
            reason = f"limits less back-off cannot all be held: {', '.join(past)}"
        return Proposal(u, phase, reason, None, y)

    def save(self) -> bytes:
        """Return all that was learned; see `Method`."""
        arrays = {"u": self._u, "inner": self._inner, **self._bounds.state(),
                  **{f"estimator.{k}": v for k, v in self.estimator.state().items()}}  # fmt: skip
        return pack(_SCHEMA, {}, arrays)

    def _restore(self, saved: bytes) -> None:
        _, arrays = unpack(_SCHEMA, saved)
        known = {name.removeprefix("estimator."): each for name, each in arrays.items()
                 if name.startswith("estimator.")}  # fmt: skip
        if known.get("x", np.empty(0)).shape != self.estimator.x.shape:
            raise Refused("what was saved belongs to another behaviour", code="loop.saved",
                          hint="Start without it")  # fmt: skip
        self._u, self._inner = arrays["u"], arrays["inner"]
        self.estimator.restore(known)
        self._bounds.restore(arrays)

    def describe(self) -> dict[str, Any]:
        """Return what people may want to see; see `Method`."""
        scale = self._behaviour.scale
        states = dict(zip(self._behaviour.states, (self.estimator.x * scale).tolist(), strict=True))
        return {"horizon": self._wishes.horizon, "steps": self._iterations, "states": states}
