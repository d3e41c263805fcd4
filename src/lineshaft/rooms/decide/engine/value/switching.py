"""When the plant counts as settled, and when a loop is switched off to be measured.

Rules: after a switch nothing counts for `settle_h`; what may still linger up to four times that is
told apart by two tails. Moves of the handles unsettle too: they are summed with a memory that
forgets one large move within `settle_h`. A plan of switch-backs (IPMVP calls it on/off test; in
statistics a switchback design, Bojinov, Simchi-Levi & Zhao 2023) puts one period without the loop
into every cycle, at a moment drawn by the seed, so that no season of the plant can hide in it.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import exp, floor, inf

import numpy as np

from lineshaft.core.errors import Refused

__all__ = ["TIMES", "Settling", "SwitchBack"]

TIMES = (1.0, 1.5, 2.0, 3.0, 4.0)  # of `settle_h`: between each two something may linger


@dataclass(slots=True)
class Settling:
    """What is remembered of switches and moves between two periods."""

    settle_h: float
    still: float
    on: bool = False
    since_h: float = inf
    restless: float = 0.0

    def take(self, on: bool, passed_h: float, moved: float) -> bool:
        """Return whether the period of `passed_h` that ends now was settled all the time."""
        if on != self.on:
            self.on, self.since_h = on, 0.0
        began_h = self.since_h
        self.since_h += passed_h
        if self.settle_h:
            self.restless *= exp(-3 * passed_h / self.settle_h)
        else:
            self.restless = 0.0
        self.restless += moved
        return began_h >= self.settle_h * (1 - 1e-9) and self.restless <= self.still

    @property
    def tails(self) -> tuple[float, ...]:
        """Return the signs of what may linger between each two of TIMES."""
        late = self.since_h / self.settle_h - 1e-9 if self.settle_h else inf
        sign = 1.0 if self.on else -1.0
        return tuple(sign if after < late <= end else 0.0 for after, end in pairwise(TIMES))


@dataclass(frozen=True, slots=True)
class SwitchBack:
    """From `start_h` on the loop is off for `off_h` in every `cycle_h`, at a moment that `seed`
    draws; before that it is off. Two such periods are at least `settle_h` apart."""

    start_h: float
    cycle_h: float
    off_h: float
    seed: int
    apart_h: float = 0.0

    def __post_init__(self) -> None:
        if not (self.off_h > 0 and self.apart_h >= 0
                and self.off_h + self.apart_h < self.cycle_h < inf):  # fmt: skip
            raise Refused(
                f"{self.off_h} h off do not fit into cycles of {self.cycle_h} h",
                hint="Give a cycle longer than the time off and the distance to the next",
                code="value.switch_back",
            )

    def on(self, hours: float) -> bool:
        """Return whether the loop is to be on at this plant hour."""
        number = floor((hours - self.start_h) / self.cycle_h)
        if number < 0:
            return False
        free_h = self.cycle_h - self.off_h - self.apart_h
        drawn = np.random.default_rng([self.seed, number]).uniform(0, free_h)
        within = hours - self.start_h - number * self.cycle_h
        return not drawn <= within < drawn + self.off_h
