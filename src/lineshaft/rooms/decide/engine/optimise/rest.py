"""A point that was held until the plant had settled, and what it cost there."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.optimise.record import Rows

__all__ = ["Rest", "rest_of"]


@dataclass(frozen=True, slots=True)
class Rest:
    """`x` scaled handles; `cost` the mean over the hold's end with its standard error; `hours` of
    plant time when it was found."""

    x: tuple[float, ...]
    cost: float
    error: float
    hours: float

    def kept(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @staticmethod
    def of(content: dict[str, Any]) -> "Rest":
        """Return what `kept` gave."""
        return Rest(tuple(content["x"]), content["cost"], content["error"], content["hours"])


def rest_of(rows: Rows, last: int, x: Floats, hours: float) -> Rest | None:
    """Return the mean of the last blocks, None where too few have a value. Neighbouring blocks are
    kin, so the standard error comes from four stretches rather than from all blocks."""
    cost = rows.out[-last:, 0]
    cost = cost[np.isfinite(cost)]
    if len(cost) < 2:
        return None
    parts = [float(part.mean()) for part in np.array_split(cost, min(4, len(cost)))]
    error = float(np.std(parts, ddof=1) / np.sqrt(len(parts)))
    return Rest(tuple(x.tolist()), float(cost.mean()), error, hours)
