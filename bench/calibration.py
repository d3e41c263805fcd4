"""`calibration`: is the "1 in 1,000" alarm of twins on healthy machines one in a thousand?

Every run has other machines (`bench.machines`): 1,000, none drifts. Each twin learns from a good
day of one sample a minute; the alarms of the day after are counted.
"""

from bench.figures import Figure, judge
from bench.ground import say
from bench.machines import events, innovations
from lineshaft.rooms.twins.engine.drift import begin, learn, update

__all__ = ["run"]

_MACHINES, _DAY, _RATE, _SEED = 1000, 1440, 1e-3, 20_261_125


def run(seconds: float, runs: int) -> list[Figure]:
    """Return `rate_ratio`, judged by its distance from 1, too."""
    ratios = []
    for number in range(runs):
        z = innovations(_MACHINES, 2 * _DAY, _SEED + number)
        healthy = learn(*events(z[:_DAY]), _MACHINES)
        verdicts = update(healthy, begin(healthy), *events(z[_DAY:], _DAY), rate=_RATE)
        fast = verdicts.fast.reshape(_DAY, _MACHINES)
        ratios.append(float(fast.mean()) / _RATE)
        say(f"run {number + 1}/{runs}: {ratios[-1]:.3f}; heavy-tailed sensors "
            f"{fast[:, ::3].mean() / _RATE:.3f}")  # fmt: skip
    return [
        judge("calibration", "rate_ratio", ratios, "", 0.5, 0.8),
        judge("calibration", "rate_ratio_most", ratios, "", 2, 1.25, lower=True),
    ]
