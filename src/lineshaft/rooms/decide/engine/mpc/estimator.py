"""Where a nonlinear plant is: an extended Kalman filter with a disturbance on every output.

Rules: the disturbances walk, so what the equations get wrong for good is carried by them and the
tracking has no offset (Pannocchia & Rawlings 2003). Readings that are missing correct nothing; one
further off than ten deviations counts as ten. Another estimator may take its place: whatever has
`x`, `d`, `take`, `state` and `restore`.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.mpc.behaviour import Slopes
from lineshaft.rooms.decide.engine.mpc.radau import simulated

__all__ = ["Estimator", "ExtendedKalman"]

_STATE, _WALK, _FAR = 0.01, 0.02, 10.0


class Estimator(Protocol):
    """`x (n,)` states and `d (p,)` disturbances of the outputs, scaled, at the end of a period."""

    x: Floats
    d: Floats

    def take(self, u: Floats, y: Floats) -> None:
        """Take a period: handles in force `(m,)`, readings at its end `(p,)`, NaN where none."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned, as arrays."""
        ...

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `state` gave."""
        ...


@dataclass(slots=True)
class ExtendedKalman:
    """See the module; `noise` is the deviation of a scaled reading."""

    slopes: Slopes
    hours: float
    noise: float
    x: Floats
    d: Floats
    cov: Floats = field(init=False)

    def __post_init__(self) -> None:
        spread = np.concatenate([np.full(len(self.x), 0.1), np.full(len(self.d), 0.05)])
        self.cov = np.diag(spread**2)

    def take(self, u: Floats, y: Floats) -> None:
        """Take a period; see `Estimator`."""
        n, p = len(self.x), len(self.d)
        inner, slope = simulated(self.slopes, self.x, u, self.hours)
        if not np.isfinite(inner).all():
            return
        move = np.eye(n + p)
        move[:n, :n] = slope
        walk = np.concatenate([np.full(n, _STATE), np.full(p, _WALK)]) ** 2
        self.x, self.cov = inner[1], move @ self.cov @ move.T + np.diag(walk)
        told, by_x, _ = self.slopes.seen(self.x[None], u[None])
        good = np.isfinite(y)
        if not good.any():
            return
        seen = np.hstack([by_x[0], np.eye(p)])[good]
        reach = seen @ self.cov @ seen.T + np.eye(int(good.sum())) * self.noise**2
        error = y[good] - told[0, good] - self.d[good]
        most = _FAR * np.sqrt(np.diag(reach))
        gain = np.linalg.solve(reach, seen @ self.cov).T
        shift = gain @ np.clip(error, -most, most)
        self.x, self.d = self.x + shift[:n], self.d + shift[n:]
        left = np.eye(n + p) - gain @ seen
        kept = gain @ gain.T * self.noise**2
        self.cov = left @ self.cov @ left.T + kept  # Joseph's form stays positive

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was learned; see `Estimator`."""
        return {"x": self.x, "d": self.d, "cov": self.cov}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on; see `Estimator`."""
        self.x, self.d, self.cov = state["x"], state["d"], state["cov"]
