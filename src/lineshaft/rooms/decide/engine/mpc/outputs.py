"""Which signals of a loop a model foretells, and what must hold of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats, Problem

__all__ = ["Outputs", "outputs_of"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a model's outputs stand among the loop's limits, and between what they are to stay
    `(p,)`, the back-off taken off."""

    at: tuple[int, ...]
    low: Floats
    high: Floats


def outputs_of(problem: Problem, names: Sequence[str]) -> Outputs:
    """Return them; Refused where the loop does not read an output, or the model misses a limit."""
    keys = [one.key for one in problem.limits]
    if odd := [key for key in names if key not in keys]:
        raise Refused(f"the loop does not read {odd}, which the model foretells",
                      hint="List them as limits, open ones where nothing must hold",
                      code="mpc.outputs")  # fmt: skip
    others = [one for one in problem.limits if one.key not in names]
    if blind := [one.key for one in others if one.low is not None or one.high is not None]:
        raise Refused(f"the model does not foretell {blind}, which have limits",
                      hint="Identify a model that does, or leave them to the guards",
                      code="mpc.outputs")  # fmt: skip
    at = tuple(keys.index(key) for key in names)
    limits = [problem.limits[i] for i in at]
    low = [-np.inf if one.low is None else one.low + one.back_off for one in limits]
    high = [np.inf if one.high is None else one.high - one.back_off for one in limits]
    return Outputs(at, np.array(low), np.array(high))
