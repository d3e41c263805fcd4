"""Modifier adaptation: an optimiser that is given a model, right or wrong, and few evaluations.

Rules: a period is one evaluation at rest; the objective is the model's plus a correction learned
from what the plant measured, a Gaussian process over the handles, so that value, gradient and
curvature of the sum are the plant's wherever it was seen (A. Marchetti, B. Chachuat and D. Bonvin,
"Modifier-adaptation methodology for real-time optimization", Ind. Eng. Chem. Res. 48, 2009; T. de
Avila Ferreira, H. A. Shukla, T. Faulwasser, C. N. Jones and D. Bonvin, "Real-time optimization of
uncertain process systems via modifier adaptation and Gaussian processes", Proc. ECC 2018). Next
comes the point whose lower confidence bound is least within a trust region; last, and from then on,
the point with the least expected objective. Noise and lengths are those that make the evaluations
most likely. A limit is kept by its own corrected value and its margin.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import qmc

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Candidate, Floats, Problem, Proposal, View
from lineshaft.rooms.decide.engine.optimise.mover import Mover
from lineshaft.rooms.decide.engine.optimise.record import packed, unpacked

__all__ = ["Model", "ModifierAdaptation", "make"]

Model = Callable[[Floats], Floats]
"""Handles `(handles,)` in their units to objective and limited signals `(1 + limits,)`."""

_POINTS: Final = 512
_NEAR: Final = 128
_LENGTHS: Final = (0.15, 0.3, 0.6, 1.2)
_NOISES: Final = (0.03, 0.1, 0.3, 0.7)
"""Deviation of an evaluation as a share of the correction's spread."""


@dataclass(frozen=True, slots=True)
class _Correction:
    """A Gaussian process on what the model got wrong, constant mean, squared exponential."""

    x: Floats
    weights: Floats
    factor: Any
    length: float
    spread: float
    mean: float

    def at(self, x: Floats) -> tuple[Floats, Floats]:
        """Return mean and deviation at `x (points, handles)`."""
        k = self.spread**2 * _kernel(x, self.x, self.length)
        value = self.mean + k @ self.weights
        left = self.spread**2 - np.einsum("ij,ji->i", k, cho_solve(self.factor, k.T))
        return value, np.sqrt(np.maximum(left, 1e-12))


def _kernel(a: Floats, b: Floats, length: float) -> Floats:
    gap = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-0.5 * gap / length**2))


def _learn(x: Floats, wrong: Floats, least: float) -> _Correction:
    """Return the likeliest correction through `wrong (evaluations,)`; spread at least `least`."""
    mean = float(wrong.mean())
    rest = wrong - mean
    size = max(float(np.std(rest)), least)
    best: tuple[float, _Correction] | None = None
    for length in _LENGTHS:
        shape = _kernel(x, x, length)
        for scale in (1.0, 3.0):
            for noise in _NOISES:
                spread = scale * size
                k = spread**2 * shape + (noise * size) ** 2 * np.eye(len(x))
                factor = cho_factor(k, lower=True)
                weights = cho_solve(factor, rest)
                fit = -0.5 * float(rest @ weights) - float(np.log(np.diag(factor[0])).sum())
                fit -= 0.5 * np.log(length) ** 2  # lengths near the range itself, unless told
                if best is None or fit > best[0]:
                    best = fit, _Correction(x, weights, factor, length, spread, mean)
    assert best is not None
    return best[1]


def make(
    problem: Problem, settings: Mapping[str, Any], seed: int, saved: bytes | None = None
) -> "ModifierAdaptation":
    """Return the method; `settings` hold the `model`, and may hold `stride` (share of a range that
    an evaluation may go) and `evaluations` (after which it stays at the best)."""
    unknown = settings.keys() - {"model", "stride", "evaluations"}
    if unknown or not callable(settings.get("model")):
        raise Refused(
            "modifier adaptation needs a model, and knows stride and evaluations besides",
            code="loop.settings",
        )
    stride, most = float(settings.get("stride", 0.3)), int(settings.get("evaluations", 12))
    if not (0 < stride <= 1 and most >= 3):
        raise Refused("a stride of 0 … 1 and 3 evaluations at least", code="loop.settings")
    made = ModifierAdaptation(problem, settings["model"], seed, stride, most)
    if saved is not None:
        made.load(saved)
    return made


class ModifierAdaptation:
    """The method; phases: explore, improve, settled."""

    def __init__(self, problem: Problem, model: Model, seed: int, stride: float, most: int) -> None:
        self._problem, self._model = problem, model
        self._mover = Mover(problem)
        self._stride, self._most = stride, most
        n = len(problem.handles)
        grid = qmc.Sobol(n, seed=seed).random(_POINTS)
        self._grid: Floats = np.asarray(grid, float)
        self._told = self._ask(self._grid)
        self._x = np.zeros((0, n))
        self._out = np.zeros((0, 1 + len(problem.limits)))
        self._target: Floats | None = None
        self._phase = "explore"
        self._expected: float | None = None
        self._candidates: tuple[Candidate, ...] = ()
        self._best: Floats | None = None

    def step(self, view: View) -> Proposal:
        """See `method.Method`; a View without an objective is no evaluation."""
        known = self._mover.see(view.u)
        now = self._mover.now
        if not known or view.frozen or view.advice:
            return self._answer(self._mover.raw, "Handles stay as they are")
        if self._target is None or self._mover.there(self._target):
            if np.isfinite(view.cost) and self._phase != "settled":
                self._x = np.vstack([self._x, now])
                self._out = np.vstack([self._out, np.append(view.cost, view.y)])
                self._target = self._next()
            elif self._target is None:
                return self._answer(self._mover.raw, "Nothing was measured yet")
        u = self._mover.toward(self._target, view.hours)
        return self._answer(u, f"{len(self._x)} evaluations corrected the model")

    def save(self) -> bytes:
        """See `method.Method`."""
        state = {"phase": self._phase, "expected": self._expected}
        target, best = (np.zeros(0) if x is None else x for x in (self._target, self._best))
        told = [[c.u.tolist(), c.cost, c.cost_low, c.cost_high, c.why] for c in self._candidates]
        return packed({
            "x": self._x, "out": self._out, "target": target, "best": best, "now": self._mover.now,
            "raw": self._mover.raw,
            "moved": self._mover.moved, "state": np.array(json.dumps(state | {"told": told})),
        })  # fmt: skip

    def load(self, saved: bytes) -> None:
        """Go on from what `save` gave."""
        kept = unpacked(saved)
        self._x, self._out = kept["x"], kept["out"]
        self._target, self._best = (
            kept[name] if kept[name].size else None for name in ("target", "best")
        )
        self._mover.now, self._mover.moved = kept["now"], kept["moved"]
        self._mover.raw = kept["raw"]
        state = json.loads(str(kept["state"]))
        self._phase, self._expected = state["phase"], state["expected"]
        self._candidates = tuple(Candidate(np.array(u), *rest) for u, *rest in state["told"])

    def describe(self) -> dict[str, Any]:
        """See `method.Method`."""
        return {
            "phase": self._phase, "settled": self._phase == "settled",
            "model_version": len(self._x), "expected_cost": self._expected,
            "best_u": None if self._best is None else self._mover.units(self._best).tolist(),
        }  # fmt: skip

    def _ask(self, x: Floats) -> Floats:
        """Return what the model says at scaled handles `(points, handles)`."""
        return np.array([np.asarray(self._model(self._mover.units(one)), float) for one in x])

    def _next(self) -> Floats:
        """Return where to evaluate next, or where to stay."""
        last = self._x[-1]
        near = np.clip(last + (self._grid[:_NEAR] - 0.5) * 0.2, 0, 1)
        points = np.vstack([self._grid, near, self._x])
        told = np.vstack([self._told, self._ask(np.vstack([near, self._x]))])
        seen = self._ask(self._x)
        spread = 0.02 * float(np.ptp(self._told[:, 0]))
        right = _learn(self._x, self._out[:, 0] - seen[:, 0], spread)
        value, error = right.at(points)
        value = value + told[:, 0]
        done = len(self._x) >= self._most
        wish = value if done else value - error
        wish = np.where(self._kept(points, told, seen), wish, np.inf)
        best_seen = points[len(points) - len(self._x) :][int(np.argmin(value[-len(self._x) :]))]
        if not done:
            far = np.abs(points - best_seen).max(axis=1) > self._stride
            wish = np.where(far, np.inf, wish)
        at = int(np.argmin(wish))
        self._best = points[int(np.argmin(np.where(np.isfinite(wish), value, np.inf)))]
        self._phase = "settled" if done else "improve"
        self._expected = float(value[at])
        self._candidates = (Candidate(
            self._mover.units(points[at]), float(value[at]), float(value[at] - 1.645 * error[at]),
            float(value[at] + 1.645 * error[at]), "least by the corrected model"),)  # fmt: skip
        return np.asarray(points[at])

    def _kept(self, points: Floats, told: Floats, seen: Floats) -> np.ndarray:
        """Return at which points every corrected limit is kept by its margin."""
        good = np.ones(len(points), bool)
        for j, limit in enumerate(self._problem.limits, 1):
            if limit.low is None and limit.high is None:
                continue
            wrong = self._out[:, j] - seen[:, j]
            rows = np.isfinite(wrong)
            if not rows.any():
                continue
            least = 0.02 * float(np.ptp(self._told[:, j])) or 1e-9
            value, error = _learn(self._x[rows], wrong[rows], least).at(points)
            value = value + told[:, j]
            if limit.high is not None:
                good &= value + error <= limit.high - limit.back_off
            if limit.low is not None:
                good &= value - error >= limit.low + limit.back_off
        return good

    def _answer(self, u: Floats, why: str) -> Proposal:
        return Proposal(u, self._phase, why, self._expected, candidates=self._candidates)
