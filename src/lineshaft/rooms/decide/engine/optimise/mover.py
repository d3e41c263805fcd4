"""How handles are moved: in a straight line, never faster than allowed, never outside.

Rules: handles are scaled to 0 … 1; all that move arrive together; a handle whose dwell has not
passed stays; a handle whose value is not known is left alone; one that stands outside its bounds is
left alone too, for bringing it back is a person's decision.
"""

import numpy as np

from lineshaft.rooms.decide.engine.method import ARRIVED, Floats, Problem

__all__ = ["Mover"]


class Mover:
    """Keeps what is in force and when each handle was last moved."""

    def __init__(self, problem: Problem) -> None:
        handles = problem.handles
        self._low = np.array([one.low for one in handles])
        self._high = np.array([one.high for one in handles])
        self.span = self._high - self._low
        rate = np.array([one.rate for one in handles])
        self.step = 0.999 * rate * problem.period_h / self.span  # rounding never goes over
        self._dwell = np.array([one.dwell_h for one in handles])
        self.moved = np.full(len(handles), -np.inf)
        self.now = np.full(len(handles), np.nan)
        self.raw = self.now.copy()

    def see(self, u: Floats) -> bool:
        """Take what was read back; return whether every handle is known."""
        x = (u - self._low) / self.span
        self.now = np.where(np.isfinite(x), x, self.now)
        self.raw = np.where(np.isfinite(x), u, self.raw)
        return bool(np.isfinite(self.now).all())

    def free(self) -> np.ndarray:
        """Return which handles may be moved at all now."""
        inside = (self.now >= -1e-9) & (self.now <= 1 + 1e-9)
        return np.asarray(np.isfinite(self.now) & inside)

    def there(self, target: Floats) -> bool:
        """Return whether all handles that can be moved are at `target`."""
        gap = np.abs(target - self.now)[self.free()]
        return bool((gap < ARRIVED).all())

    def toward(self, target: Floats, hours: float, pace: float = 1.0) -> Floats:
        """Return the handles `(handles,)` in their units after one period on the way to it."""
        free = self.free() & (hours - self.moved >= self._dwell - 1e-9)
        gap = np.where(free, np.clip(target, 0, 1) - self.now, 0.0)
        over = np.abs(gap) / (pace * self.step)
        share = 1 / max(1.0, float(over.max(initial=0.0)))
        changed = np.abs(gap) > 1e-9
        self.moved[changed] = hours
        # What was wished is taken as in force until it is read back.
        self.raw = np.where(changed, self.units(self.now + share * gap), self.raw)
        return self.raw.copy()

    def units(self, x: Floats) -> Floats:
        """Return scaled handles in their units, inside their bounds where they were inside."""
        u = self._low + x * self.span
        inside = (x >= -1e-9) & (x <= 1 + 1e-9)
        return np.asarray(np.where(inside, np.clip(u, self._low, self._high), u), np.float64)
