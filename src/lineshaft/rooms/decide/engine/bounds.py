"""What the handles may do now: bounds, the most of one period, dwell; and where they stand.

Rules: what stands is what was read back last. Where nothing is read back, what was wished last is
taken to stand, and nothing is moved. A handle that somebody put
outside its bounds is led back as fast as its rate allows. A handle that moved less than its dwell
ago stays. What leaves through `exact` keeps bounds, rate and dwell to the last digit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.decide.engine.method import Floats, Problem

__all__ = ["Bounds"]

_STILL = 1e-9  # of the range: less is no move


class Bounds:
    """`now (m,)` is what is in force, as far as is known."""

    def __init__(self, problem: Problem) -> None:
        handles = problem.handles
        self.low = np.array([one.low for one in handles])
        self.high = np.array([one.high for one in handles])
        self.most = np.array([one.rate * problem.period_h for one in handles])
        self._dwell = np.array([one.dwell_h for one in handles])
        self._slack_h = problem.period_h * 1e-6
        self.span = self.high - self.low
        self.now: Floats = np.full(len(handles), np.nan)
        self._moved_h: Floats = np.full(len(handles), -np.inf)
        self._wished: Floats = np.full(len(handles), np.nan)
        self._hours = -np.inf
        self._deaf = True

    @property
    def known(self) -> bool:
        """Return whether every handle was read just now."""
        return not self._deaf

    def take(self, hours: float, u: Floats) -> Floats:
        """Take what was read back; return what changed since the last time `(m,)`."""
        assumed = np.where(np.isfinite(self._wished), self._wished, self.now)
        self._deaf = not bool(np.isfinite(u).all())
        read = np.where(np.isfinite(u), u, assumed)
        moved = np.nan_to_num(read - self.now)
        self._moved_h[np.abs(moved) > _STILL * self.span] = self._hours
        self.now, self._hours = read, hours
        self._wished = np.full(len(read), np.nan)
        return np.asarray(moved)

    @property
    def _held(self) -> NDArray[np.bool_]:
        return np.asarray(self._hours - self._moved_h < self._dwell - self._slack_h)

    def room(self, starts: Sequence[int]) -> tuple[Floats, Floats, Floats]:
        """Return lowest, highest `(b, m)` and the most in one move `(b, m)`, in ranges from now."""
        ways = (np.arange(len(starts))[:, None] + 1) * self.most
        low = np.minimum(self.low, self.now + ways) - self.now
        high = np.maximum(self.high, self.now - ways) - self.now
        step = np.tile(self.most, (len(starts), 1))
        step[0, self._held] = 0.0
        return low / self.span, high / self.span, step / self.span

    def exact(self, wish: Floats) -> Floats:
        """Return the nearest to a wish `(m,)` that is allowed."""
        most = np.where(self._held, 0.0, self.most)
        wish = np.clip(wish, self.low, self.high)
        step = np.clip(wish - self.now, -most, most)
        there = self.now + step
        for _ in range(2):  # a sum may round to more than a step, or over a bound that it fits in
            there = np.where(np.abs(there - self.now) > most, np.nextafter(there, self.now), there)
        inside = (self.low <= self.now) & (self.now <= self.high)
        self._wished = np.where(inside, np.clip(there, self.low, self.high), there)
        return self._wished.copy()

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what was read, as arrays."""
        return {
            "now": self.now,
            "wished": self._wished,
            "moved_h": self._moved_h,
            "at_h": np.array([self._hours]),
        }

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on from what `state` gave."""
        self.now, self._wished = state["now"], state["wished"]
        self._moved_h = state["moved_h"]
        self._hours = float(state["at_h"][0])
