"""What a method is: once a period it sees the plant and says where it wants its handles next.

Rules: a method knows of a plant what its Problem and its Views tell, nothing else; the same
Problem, seed and Views give the same Proposals, also across `save`; it never asks for a value
outside a handle's bounds, nor for a step larger than a handle's rate allows in one period; and it
survives any View, NaN in every place included, by holding what is in force. It obeys the rules so
that its wishes are useful; that they are obeyed is made sure of by the guards, not by methods.
Time is plant time in hours (a plant may run faster than the wall).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused

__all__ = [
    "ARRIVED", "Candidate", "Floats", "Handle", "Limit", "Method", "Problem", "Proposal", "View",
]  # fmt: skip

Floats = NDArray[np.float64]
#: Share of a range within which a handle has arrived; a loop moves it by no less than half of it.
ARRIVED: Final = 2e-4


@dataclass(frozen=True, slots=True)
class Handle:
    """A signal that a loop may move: absolute bounds in its unit, `rate` the most it may move in a
    plant hour, `dwell_h` the least plant time between two moves of it."""

    key: str
    low: float
    high: float
    rate: float
    dwell_h: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high, self.rate, self.dwell_h]).all()
                and self.low < self.high and self.rate > 0 and self.dwell_h >= 0):  # fmt: skip
            raise Refused(
                f"the handle '{self.key}' has no range to move in, or no rate",
                hint="Give low < high, a rate above zero and a dwell of zero or more",
                code="loop.handle",
            )


@dataclass(frozen=True, slots=True)
class Limit:
    """A signal that must stay inside: `low` and `high` are what must hold (None: open), `back_off`
    the distance to them that the loop keeps because of noise and of what it does not know."""

    key: str
    low: float | None = None
    high: float | None = None
    back_off: float = 0.0

    def __post_init__(self) -> None:
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        if not (self.back_off >= 0 and low + self.back_off < high - self.back_off):
            raise Refused(
                f"nothing is left between the limits of '{self.key}'",
                hint="Give a high above low, further apart than twice the back-off",
                code="loop.limit",
            )


@dataclass(frozen=True, slots=True)
class Problem:
    """What a method is told: handles, limits, that the objective is to be as small as possible (a
    profit arrives with its sign turned), and how often it is asked (plant hours)."""

    handles: tuple[Handle, ...]
    limits: tuple[Limit, ...]
    period_h: float

    def __post_init__(self) -> None:
        if not self.handles or len({one.key for one in self.handles}) < len(self.handles):
            raise Refused("a loop needs handles, each once", code="loop.handles")
        if not (np.isfinite(self.period_h) and self.period_h > 0):
            raise Refused(f"a period of {self.period_h} h", code="loop.period")
        if (count := len(self.handles) + len(self.limits)) > 500:
            raise Refused(f"{count} handles and limits", hint="At most 500", code="loop.size")


@dataclass(frozen=True, slots=True)
class View:
    """The plant as a method sees it. `u (n_handles,)` is in force now, as read back; `cost` and
    `y (n_limits,)` are means over the period that ended now, `y_last` the newest values. NaN where
    nothing usable came. `frozen`: nothing may be moved now (stopped, abnormal), and what is
    proposed will not happen. `advice`: the mode is a lower one; what is proposed is noted or shown,
    and happens only where a person does it."""

    hours: float
    u: Floats
    cost: float
    y: Floats
    y_last: Floats
    frozen: bool = False
    advice: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that was weighed: what it would cost (`cost_low` … `cost_high` at 90 %), and why it
    was chosen or not."""

    u: Floats
    cost: float
    cost_low: float
    cost_high: float
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Where the handles should be next `(n_handles,)`, absolute, and why. `phase` is one word for
    people: observe, explore, improve, hold, settled. `expected` is the objective once the plant has
    settled there, `y (n_limits,)` the limited signals then; None where nothing is known yet."""

    u: Floats
    phase: str
    reason: str
    expected: float | None = None
    y: Floats | None = None
    candidates: Sequence[Candidate] = field(default_factory=tuple)


class Method(Protocol):
    """An optimiser, a controller, a set of rules. Made by `make(problem, settings, seed, saved)`
    with `settings` a mapping that it checks itself (Refused) and `saved` what `save` gave."""

    def step(self, view: View) -> Proposal:
        """Take one View and answer; called once a period, in the order of plant time."""
        ...

    def save(self) -> bytes:
        """Return all that was learned; a method made with it goes on as this one would."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what people may want to see of it (model version, settled or not), as JSON."""
        ...
