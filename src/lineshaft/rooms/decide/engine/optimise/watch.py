"""What an optimiser knows of its limits besides their surfaces: noise, and what went wrong.

Rules: a limit that was passed keeps a larger margin from then on; the margin is `sure` standard
deviations of one period's mean, as the plant shows them, on top of the back-off that people gave.
"""

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats, Problem

__all__ = ["Watch"]


class Watch:
    """The limits `(limits,)`; an open side is infinite."""

    def __init__(self, problem: Problem, sure: float) -> None:
        limits = problem.limits
        self.low = np.array([-np.inf if one.low is None else one.low for one in limits])
        self.high = np.array([np.inf if one.high is None else one.high for one in limits])
        self._back = np.array([one.back_off for one in limits])
        self._sure = sure
        self.noise = np.zeros(len(limits))
        self.extra = np.zeros(len(limits))

    @property
    def margin(self) -> Floats:
        """What is kept from each limit; never more than a third of what lies between two."""
        wanted = self._back + self.extra + self._sure * self.noise
        third = np.maximum(self._back, (self.high - self.low) / 3)
        return np.asarray(np.minimum(wanted, third), np.float64)

    def past(self, y: Floats) -> np.ndarray:
        """Return which limits are passed."""
        return np.isfinite(y) & ((y > self.high) | (y < self.low))

    def near(self, y: Floats, share: float = 0.5) -> np.ndarray:
        """Return which signals are within a share of their margin of a limit."""
        edge = share * self.margin
        return (y > self.high - edge) | (y < self.low + edge)

    def remember(self, y: Floats) -> None:
        """Keep further away from the limits that `y` is past."""
        y = np.where(np.isfinite(y), y, np.nan)
        over = np.fmax(y - self.high, self.low - y)
        wanted = np.where(self.past(y), over + self.noise, 0.0)
        self.extra = np.maximum(self.extra, np.nan_to_num(wanted))

    def room(self, y: Floats) -> Floats:
        """Return the distance of `y` to the nearer side of each limit."""
        return np.asarray(np.fmin(self.high - y, y - self.low), np.float64)
