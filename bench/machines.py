"""Machines that drift and machines that do not, with the twins that watch them, simulated.

A machine is a first-order lag (time constants of 5–30 min) driven by a set-point that steps and by
a random load; its sensor is noisy, heavy-tailed in every third machine (Student t, 4 degrees). Its
twin is a scalar Kalman filter whose gain and time constant are 10 % wrong, so healthy innovations
are slightly dependent and not quite of unit variance. One sample a minute; time starts at 0.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["MINUTE_US", "events", "innovations"]

MINUTE_US = 60_000_000
Floats = NDArray[np.float64]


def innovations(machines: int, minutes: int, seed: int, drift: Floats | None = None,
                begin: int = 0) -> Floats:  # fmt: skip
    """Return innovations over their deviation (minutes, machines).

    `drift (machines,)`: what the sensor is off by, in deviations of its noise, an hour from minute
    `begin` on.
    """
    rng = np.random.default_rng(seed)
    drift = np.zeros(machines) if drift is None else drift
    keep = np.exp(-1 / rng.uniform(5, 30, machines))
    load, gain = rng.uniform(0.05, 0.3, machines), rng.uniform(0.5, 2, machines)
    tails = np.arange(machines) % 3 == 0
    keep_known = np.exp(np.log(keep) * rng.choice([0.9, 1.1], machines))
    gain_known = gain * rng.choice([0.9, 1.1], machines)
    state, known = np.zeros(machines), np.zeros(machines)
    spread, point = np.ones(machines), np.zeros(machines)
    found = np.empty((minutes, machines))
    for minute in range(minutes):
        steps = rng.random(machines) < 1 / 240
        point = np.where(steps, rng.normal(0, 1, machines), point)
        state = keep * state + (1 - keep) * gain * point + load * rng.normal(size=machines)
        noise = np.where(tails, rng.standard_t(4, machines) / np.sqrt(2),
                         rng.normal(size=machines))  # fmt: skip
        seen = state + noise + drift * max(0, minute - begin) / 60
        known = keep_known * known + (1 - keep_known) * gain_known * point
        spread = keep_known**2 * spread + load**2
        total = spread + 1
        found[minute] = (seen - known) / np.sqrt(total)
        known = known + spread / total * (seen - known)
        spread = spread / total
    return found


def events(z: Floats, first: int = 0) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Return (channel, z, stamp) of innovations (minutes, machines) in the order of time."""
    minutes, machines = z.shape
    at = (first + np.repeat(np.arange(minutes), machines)) * MINUTE_US
    return np.tile(np.arange(machines), minutes), z.ravel(), at
