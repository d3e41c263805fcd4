"""What people declare of a gain: how long the plant takes to settle, what explains its cost.

Rules: nothing here is learned. A conversion turns the saved amount (objective × hours) into money,
tonnes or kWh by a factor that people stand for; it has no interval of its own. What cannot be is
Refused before anything runs.
"""

from dataclasses import dataclass
from math import isfinite

from lineshaft.core.errors import Refused

__all__ = ["Conversion", "Terms"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """`amount in unit = saved amount * factor`: 0.12 for "USD" where the objective is in kW.
    `source` says who declared it, or where it stands."""

    name: str
    unit: str
    factor: float
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name or not isfinite(self.factor):
            raise Refused(f"the conversion '{self.name}' has no finite factor", code="value.factor")


@dataclass(frozen=True, slots=True)
class Terms:
    """How the gain of one loop is counted; times are plant hours.

    period_h: length of a period. settle_h: the least time after a switch, and after moves, before
    a period counts. unit: that of the objective. explain: names of what explains the cost and is
    not moved by the loop (load, weather), most telling first. seasons_h: cycles that repeat (24: a
    day). still: moves (as shares of a handle's range) that may sum up over `settle_h` in a plant
    that counts as settled. learn: periods looked at before the first answer. move_cost: what one
    move costs, in objective × hours.
    """

    period_h: float
    settle_h: float
    unit: str = ""
    explain: tuple[str, ...] = ()
    seasons_h: tuple[float, ...] = (24.0,)
    still: float = 0.05
    learn: int = 48
    move_cost: float = 0.0
    conversions: tuple[Conversion, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.period_h, self.settle_h, self.still, self.move_cost, *self.seasons_h)
        if not all(map(isfinite, numbers)) or self.period_h <= 0 or self.settle_h < 0:
            raise Refused(
                f"periods of {self.period_h} h that settle in {self.settle_h} h",
                hint="Give a period above zero and a time to settle, in plant hours",
                code="value.times",
            )
        if any(season < 4 * self.period_h for season in self.seasons_h):
            raise Refused(
                "a season is shorter than four periods",
                hint="Take shorter periods, or leave the season out", code="value.seasons",
            )  # fmt: skip
        if self.still <= 0 or self.learn < 24 or self.move_cost < 0:
            raise Refused(
                "still, learn or move_cost is out of range",
                hint="still above 0, learn of 24 or more, a cost of a move of zero or more",
                code="value.terms",
            )
        names = self.explain
        if len(names) > 8 or len(self.seasons_h) > 4 or len(set(names)) < len(names):
            raise Refused("at most 8 names that explain, each once, and 4 seasons",
                          code="value.explain")  # fmt: skip
