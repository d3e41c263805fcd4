"""Linear model predictive control as a method of loops.

Rules: each period it takes the readings, follows what the model did not foretell, and solves one
quadratic program for the moves of the handles that bring the outputs to their targets inside all
limits; the first move is proposed. It starts from what is in force, read back, so it takes over
without a bump and notices moves that others made or guards refused. Bounds, rates and dwell of
handles are kept exactly. Limits less their back-off are kept as long as they can be; where they
cannot, the proposal says which and by how much. (Rawlings, Mayne & Diehl, Model Predictive
Control, 2nd ed. 2017, ch. 1.)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.bounds import Bounds
from lineshaft.rooms.decide.engine.method import Floats, Problem, Proposal, View
from lineshaft.rooms.decide.engine.mpc.horizon import blocks_of, horizon_of
from lineshaft.rooms.decide.engine.mpc.model import Model
from lineshaft.rooms.decide.engine.mpc.observer import observer_of
from lineshaft.rooms.decide.engine.mpc.outputs import outputs_of
from lineshaft.rooms.decide.engine.mpc.program import Answer, Program, Weights
from lineshaft.rooms.decide.engine.mpc.wishes import Wishes, wishes_of
from lineshaft.rooms.decide.engine.pack import pack, unpack

__all__ = ["LinearControl", "make"]

_SCHEMA, _SMALL = "lmpc/1", 1e-3


def make(
    problem: Problem, settings: Mapping[str, Any], seed: int = 0, saved: bytes = b""
) -> "LinearControl":
    """Return the method; nothing in it is drawn, so the seed has no say."""
    model = Model.of(settings.get("model")).ordered([one.key for one in problem.handles])
    return LinearControl(problem, model, wishes_of(problem, settings, model.outputs, set()), saved)


class LinearControl:
    """The controller; made by `make`."""

    def __init__(self, problem: Problem, model: Model, wishes: Wishes, saved: bytes = b"") -> None:
        if abs(model.period_h / problem.period_h - 1) > 0.01:
            raise Refused(
                f"the model steps {model.period_h} h, the loop {problem.period_h} h",
                hint="Identify the model with the period of the loop", code="mpc.period",
            )  # fmt: skip
        self._problem, self._model, self._wishes = problem, model, wishes
        self._bounds = Bounds(problem)
        starts = wishes.blocks or blocks_of(wishes.horizon)
        self._horizon = horizon_of(model, self._bounds.span, wishes.horizon, starts)
        self._outputs = outputs_of(problem, model.outputs)
        limited = np.isfinite(self._outputs.low) | np.isfinite(self._outputs.high)
        weights = Weights(wishes.track, wishes.move, wishes.ease, limited.astype(np.float64))
        self._observer = observer_of(self._horizon, wishes.noise)
        self._program = Program(self._horizon, weights)
        self._hours: float | None = None
        self._answer: Answer | None = None
        if saved:
            self._restore(saved)

    def step(self, view: View) -> Proposal:
        """Take one View and answer; see `Method`."""
        moved = self._bounds.take(view.hours, view.u)
        y = (view.y if self._wishes.reads == "mean" else view.y_last)[list(self._outputs.at)]
        last, self._hours = self._hours, view.hours
        periods = 1 if last is None else round((view.hours - last) / self._problem.period_h)
        self._observer.take(moved / self._bounds.span, y / self._horizon.reach,
                            int(np.clip(periods, 1, 1000)))  # fmt: skip
        if view.frozen or not self._bounds.known:
            why = "frozen" if view.frozen else "a handle is not read"
            return Proposal(self._bounds.now.copy(), "hold", f"nothing is moved: {why}")
        if not self._observer.started or not np.isfinite(y).any():
            return Proposal(self._bounds.now.copy(), "hold", "no output can be read")
        return self._decide()

    def _decide(self) -> Proposal:
        horizon, wishes, p = self._horizon, self._wishes, len(self._outputs.at)
        free = (horizon.free @ self._observer.z).reshape(-1, p)
        target = np.where(np.isfinite(wishes.target), wishes.target / horizon.reach, free)
        if wishes.approach_h:
            ahead = np.arange(1, len(free) + 1)[:, None] * self._problem.period_h
            target = target + (self._observer.z[-p:] - target) * np.exp(-ahead / wishes.approach_h)
        room = self._bounds.room(horizon.starts)
        rest = np.nan_to_num((wishes.rest - self._bounds.now) / self._bounds.span)
        answer = self._program.solve(
            free, target, rest, *room,
            self._outputs.low / horizon.reach, self._outputs.high / horizon.reach,
        )  # fmt: skip
        self._answer = answer
        if not np.isfinite(answer.w).all():
            return Proposal(self._bounds.now.copy(), "hold", "the program was not solved")
        u = self._bounds.exact(self._bounds.now + answer.w[0] * self._bounds.span)
        return self._propose(u, answer, free + (horizon.answer @ answer.w.ravel()).reshape(-1, p))

    def _propose(self, u: Floats, answer: Answer, path: Floats) -> Proposal:
        y = np.full(len(self._problem.limits), np.nan)
        y[list(self._outputs.at)] = path[-1] * self._horizon.reach
        past = [f"{self._model.outputs[i]} by {answer.slack[i] * self._horizon.reach[i]:.3g}"
                for i in np.flatnonzero(answer.slack > _SMALL)]  # fmt: skip
        move = np.abs((u - self._bounds.now) / self._bounds.span).max()
        phase = "settled" if move < _SMALL else "improve"
        reason = f"{len(self._horizon.starts)} blocks of moves towards the targets"
        if past:
            reason = f"limits less back-off cannot all be held: {', '.join(past)}"
        elif not answer.solved:
            reason = "the best found, short of the accuracy wished"
        return Proposal(u, phase, reason, None, y)

    def save(self) -> bytes:
        """Return all that was learned; see `Method`."""
        facts = {"hours": self._hours, "started": self._observer.started}
        return pack(_SCHEMA, facts, {"z": self._observer.z, **self._bounds.state()})

    def _restore(self, saved: bytes) -> None:
        facts, arrays = unpack(_SCHEMA, saved)
        if arrays["z"].shape != self._observer.z.shape:
            raise Refused("what was saved belongs to another model", code="loop.saved",
                          hint="Start without it")  # fmt: skip
        self._hours, self._observer.started = facts["hours"], bool(facts["started"])
        self._observer.z = arrays["z"]
        self._bounds.restore(arrays)

    def describe(self) -> dict[str, Any]:
        """Return what people may want to see; see `Method`."""
        told: dict[str, Any] = {
            "model": {"inputs": list(self._model.inputs), "outputs": list(self._model.outputs),
                      "states": len(self._model.a)},
            "horizon": self._wishes.horizon, "blocks": list(self._horizon.starts),
        }  # fmt: skip
        if self._answer is not None:
            told["solved"], told["steps"] = self._answer.solved, self._answer.steps
        return told
