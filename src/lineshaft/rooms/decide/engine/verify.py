"""What became of a decision: settled or not, as foretold or not, better or to be taken back.

Rules: while handles move, or the plant may still be coming to rest after it, nothing counts: a cost
falls falsely while inventories fill. What counts is the mean of a stretch of settled periods. A
loop that acts is to be taken back where such a mean is worse, beyond the tolerance, than both the
last good one and what was foretold for it; otherwise it becomes the last good one, with the point
that gave it. Two stretches between which nothing was moved differ by the plant's own unrest: no
verdict is finer than that. Objectives are small when good, hours are plant hours. The same periods
give the same verdicts, also across `save`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, exp, isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Judge", "Verified"]

Floats = NDArray[np.float64]
#: Moves, as shares of a range, that may sum up over the time to settle in a settled plant; with
#: more it has to come to rest anew.
_STILL: Final = 0.005
_AT_REST: Final = 1e-6  # a move, as a share of a range, that is none
_FEWEST, _MOST = 4, 32
_UNREST: Final = 2.5  # standard deviations of the plant's own unrest that are no verdict
_KNOWN, _REMEMBERED = 3, 32  # stretches from which on it is known, and over which it is told


@dataclass(frozen=True, slots=True)
class Verified:
    """What one period says. `settled` whether it counts; where a stretch of them is whole,
    `objective` is its mean and `predicted` what was foretold for it; `worse` asks to take back."""

    settled: bool
    objective: float | None = None
    predicted: float | None = None
    worse: bool = False


class Judge:
    """The verdicts of one loop; `spans (n_handles,)` are the ranges of its handles, `tolerance` a
    share of the objective. `settled` and `best` are means of stretches, `good` the point of the
    last good one, `moved` the largest move of the last period as a share of a range."""

    def __init__(
        self, spans: Floats, period_h: float, settle_h: float, tolerance: float
    ) -> None:  # fmt: skip
        self._spans, self._settle_h, self._tolerance = spans, settle_h, tolerance
        self._stretch = min(_MOST, max(_FEWEST, ceil(settle_h / period_h / 8)))
        self._hours: float | None = None
        self._u: Floats = np.full(len(spans), np.nan)
        self._restless, self._rest_h = 0.0, 0.0
        self._costs: list[float] = []
        self._foretold: float | None = None
        self.settled: float | None = None
        self.best: float | None = None
        self.good: Floats = np.full(len(spans), np.nan)
        self._reference: float | None = None
        self._stayed = False  # no handle was moved since the stretch before
        self._unrest, self._pairs = 0.0, 0  # mean square difference of so many pairs
        self.moved = 0.0

    def room(self, about: float) -> float:
        """Return by how much two settled objectives near `about` may differ and still be taken for
        the same: the tolerance, or the plant's own unrest where that is larger."""
        unrest = self._unrest**0.5 if self._pairs >= _KNOWN else 0.0
        return max(self._tolerance * abs(about), _UNREST * unrest)

    def take(
        self, hours: float, u: Floats, cost: float, expected: float | None, *, acting: bool
    ) -> Verified:
        """Take the period that ended at the plant hour `hours`: what was in force then, the mean
        objective (NaN: none), and what the method expects of the point that it wants now."""
        passed = 0.0 if self._hours is None else max(0.0, hours - self._hours)
        self._hours = hours
        with np.errstate(invalid="ignore"):
            self.moved = float(np.nanmax(np.append(np.abs(u - self._u) / self._spans, 0.0)))
        self._u = np.where(np.isfinite(u), u, self._u)
        self._stayed &= self.moved < _AT_REST
        self._restless = self._restless * exp(-3 * passed / self._settle_h) + self.moved
        self._rest_h += passed
        if self._restless > _STILL:
            self._restless, self._rest_h = 0.0, 0.0
        if self._rest_h < self._settle_h * (1 - 1e-9):
            self._costs, self._foretold = [], expected
            return Verified(False)
        if not isfinite(cost):
            return Verified(False)
        self._costs.append(cost)
        if len(self._costs) < self._stretch:
            return Verified(True)
        return self._judge(expected, acting)

    def _judge(self, expected: float | None, acting: bool) -> Verified:
        """A stretch is whole: compare it, and begin the next."""
        mean = float(np.mean(self._costs))
        before = self._reference
        predicted = self._foretold if acting and self._foretold is not None else before
        self._costs, self._foretold = [], expected if acting else None
        worst = max(one for one in (before, predicted, -np.inf) if one is not None)
        room = self.room(mean if before is None else before)
        worse = acting and before is not None and mean > worst + room
        self._compare(mean)
        self.settled = mean
        if not worse:
            self._reference, self.good = mean, self._u.copy()
            self.best = mean if self.best is None else min(self.best, mean)
        return Verified(True, mean, predicted, worse)

    def _compare(self, mean: float) -> None:
        """Learn the plant's own unrest from a stretch and the one before it."""
        if self._stayed and self.settled is not None:
            self._pairs = min(self._pairs + 1, _REMEMBERED)
            self._unrest += ((mean - self.settled) ** 2 - self._unrest) / self._pairs
        self._stayed = True

    def accept(self) -> None:
        """Take the last settled objective as it is: what was worse has been taken back."""
        self._reference, self._costs, self._rest_h = self.settled, [], 0.0

    def save(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return all of it as facts and arrays."""
        facts = {
            "hours": self._hours, "restless": self._restless, "rest_h": self._rest_h,
            "costs": self._costs, "foretold": self._foretold, "settled": self.settled,
            "best": self.best, "reference": self._reference,
            "stayed": self._stayed, "unrest": self._unrest, "pairs": self._pairs,
        }  # fmt: skip
        return facts, {"judge_u": self._u, "judge_good": self.good}

    def load(self, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what was saved."""
        self._hours, self._restless = facts["hours"], facts["restless"]
        self._rest_h, self._costs = facts["rest_h"], list(facts["costs"])
        self._foretold, self.settled = facts["foretold"], facts["settled"]
        self.best, self._reference = facts["best"], facts["reference"]
        # A loop that was kept before the unrest was known begins to learn it now.
        self._stayed, self._pairs = facts.get("stayed", False), facts.get("pairs", 0)
        self._unrest = facts.get("unrest", 0.0)
        self._u, self.good = arrays["judge_u"], arrays["judge_good"]
