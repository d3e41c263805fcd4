"""Where to go next: the best point of the surfaces within a trust region, inside the limits.

Rules: handles are scaled to 0 … 1; what is made small is the expected objective plus `caution`
standard deviations of its change, so a step into the unknown must promise more; a limit is kept by
its margin and by `caution` deviations of its own surface; where a limit is already past, the step
must not make it worse. Sequential quadratic programming (D. Kraft, DFVLR-FB 88-28, 1988; SLSQP of
scipy) finds the point; a step that came out worse than staying is not taken.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.optimise.surface import Surface

__all__ = ["Bound", "Choice", "choose"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One side of a limit: `sign * value <= edge`, the margin already taken off."""

    surface: Surface
    sign: float
    edge: float

    def room(self, x: Floats, caution: float) -> float:
        """Return how far inside `x` is; negative where it is past."""
        spread = caution * self.surface.sure_and_slope(x)[0]
        return self.edge - self.sign * self.surface.at(x) - spread


@dataclass(frozen=True, slots=True)
class Choice:
    """The point, what it costs, and how much less than at the centre, with its deviation."""

    x: Floats
    cost: float
    gain: float
    sure: float


def choose(cost: Surface, bounds: list[Bound], here: Floats, low: Floats, high: Floats,
           caution: float) -> Choice:  # fmt: skip
    """Return the best point between `low` and `high (handles,)`, seen from `here`."""
    start = np.clip(here, low, high)
    unit = max(cost.error, 1e-12)
    base = cost.at(start)

    def value(x: Floats) -> tuple[float, Floats]:
        spread, slope = cost.sure_of_change(x, start)
        return ((cost.at(x) - base + caution * spread) / unit,
                (cost.slope(x) + caution * slope) / unit)  # fmt: skip

    constraints: list[dict[str, Any]] = [_constraint(bound, start, caution) for bound in bounds]
    box = list(zip(low, high, strict=True))
    best, least = start, 0.0
    for first in (
        start,
        np.clip(start - 0.3 * (high - low) * np.sign(cost.slope(start)), low, high),
    ):
        found = minimize(value, first, jac=True, bounds=box, constraints=constraints,
                         method="SLSQP", options={"maxiter": 80, "ftol": 1e-6})  # fmt: skip
        x = np.clip(np.nan_to_num(found.x, nan=0.5), low, high)
        inside = all(float(c["fun"](x)) >= -1e-3 for c in constraints)
        if inside and np.isfinite(found.x).all() and value(x)[0] < least:
            best, least = x, value(x)[0]
    spread = cost.sure_of_change(best, start)[0]
    return Choice(best, cost.at(best), base - cost.at(best), spread)


def _constraint(bound: Bound, start: Floats, caution: float) -> dict[str, Any]:
    unit = max(bound.surface.noise, 1e-12)
    least = min(0.0, bound.room(start, caution))

    def room(x: Floats) -> float:
        return (bound.room(x, caution) - least) / unit

    def slope(x: Floats) -> Floats:
        rise = bound.surface.sure_and_slope(x)[1]
        return (-bound.sign * bound.surface.slope(x) - caution * rise) / unit

    return {"type": "ineq", "fun": room, "jac": slope}
