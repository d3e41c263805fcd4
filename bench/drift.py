"""`drift`: 50 of 1,000 simulated machines drift by 0.5 deviations of their noise an hour, 24 h.

Every run has other machines (`bench.machines`); a good day of one sample a minute comes first. A
machine counts as found when the slow alarm comes on at all within the 24 h, and as false likewise.
"""

import numpy as np

from bench.figures import Figure, judge
from bench.ground import say
from bench.machines import events, innovations
from lineshaft.rooms.twins.engine.drift import begin, learn, update

__all__ = ["run"]

_MACHINES, _DRIFTING, _DAY, _SEED = 1000, 50, 1440, 20_261_124


def run(seconds: float, runs: int) -> list[Figure]:
    """Return `found`, `false` and `delay`."""
    found, false, delays = [], [], []
    for number in range(runs):
        slope = np.zeros(_MACHINES)
        slope[:_DRIFTING] = 0.5 * np.where(np.arange(_DRIFTING) % 2, 1, -1)
        z = innovations(_MACHINES, 2 * _DAY, _SEED + number, slope, _DAY)
        healthy = learn(*events(z[:_DAY]), _MACHINES)
        verdicts = update(healthy, begin(healthy), *events(z[_DAY:], _DAY))
        slow = verdicts.slow.reshape(_DAY, _MACHINES)
        seen, first = slow.any(axis=0), slow.argmax(axis=0) / 60
        found.append(float(seen[:_DRIFTING].sum()))
        false.append(float(seen[_DRIFTING:].sum()))
        late = first[:_DRIFTING][seen[:_DRIFTING]]
        delays.append(float(np.median(late)) if late.size else 24.0)
        say(f"run {number + 1}/{runs}: found {found[-1]:.0f}, false {false[-1]:.0f}, "
            f"delay {delays[-1]:.1f} h, at most {late.max(initial=0):.1f} h")  # fmt: skip
    return [
        judge("drift", "found", found, "machines", 48, 50),
        judge("drift", "false", false, "machines", 5, 0, lower=True),
        judge("drift", "delay", delays, "h", 24, 24, lower=True, note="not judged"),
    ]
