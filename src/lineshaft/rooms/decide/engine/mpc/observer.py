"""Where the plant is: a Kalman filter of the velocity form, with gains found once.

Rules: everything is allowed to drift a little, so what no model foretold (a step disturbance, a
wrong gain, a leak) ends up in the state and is followed: that is what makes tracking free of
offset. A reading that is missing corrects nothing. Moves are those read back, not those wished.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_are

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.mpc.horizon import Horizon

__all__ = ["Observer", "observer_of"]

_INNER, _OUTER, _TINY = 0.1, 0.1, 1e-4  # deviations a period of inputs, outputs and the rest


@dataclass(slots=True)
class Observer:
    """`z (n + p,)` is what is believed before the coming period; `gain (n + p, p)`."""

    horizon: Horizon
    gain: Floats
    z: Floats
    started: bool = False

    def take(self, moved: Floats, y: Floats, periods: int = 1) -> Floats:
        """Foretell the period that ended, with the moves made at its start `(m,)`, and correct it
        by the readings `(p,)`, scaled, NaN where there are none; return what was not foretold."""
        p = len(y)
        if not self.started:
            self.z[-p:] = np.where(np.isfinite(y), y, 0.0)
            self.started = bool(np.isfinite(y).all())
            return np.zeros(p)
        for number in range(periods):
            push = self.horizon.push @ moved if number == 0 else 0.0
            self.z = self.horizon.move @ self.z + push
        error = np.where(np.isfinite(y), y - self.z[-p:], 0.0)
        self.z = self.z + self.gain @ error
        return np.asarray(error)


def observer_of(horizon: Horizon, noise: float) -> Observer:
    """Return the observer for readings that deviate by `noise` of an output's reach."""
    size, p = len(horizon.move), len(horizon.reach)
    spread = np.eye(size) * _TINY**2 + _INNER**2 * horizon.push @ horizon.push.T
    spread[-p:, -p:] += np.eye(p) * (_OUTER * 0.1) ** 2
    seen = np.zeros((p, size))
    seen[:, -p:] = np.eye(p)
    try:
        cov = solve_discrete_are(horizon.move.T, seen.T, spread, np.eye(p) * noise**2)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise Refused(
            f"the state of the plant cannot be told from its outputs: {error}",
            hint="Give a smaller model, without parts that no output shows", code="mpc.observer",
        ) from None  # fmt: skip
    gain = cov @ seen.T @ np.linalg.inv(seen @ cov @ seen.T + np.eye(p) * noise**2)
    return Observer(horizon, gain, np.zeros(size))
