"""`whatif`: a hundred futures of eight hours of a line of ten machines, with their bands.

`ms` is the call, bands included (median of several, the kernels compiled). `band_coverage` is the
share of moments and outputs at which a simulated truth, drawn once a trial from what is known,
lies within the 90 % band.
"""

import time

import numpy as np

from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.rooms.twins.engine.behaviours.station import STATION
from lineshaft.rooms.twins.engine.whatif import Change, Member, Source, run_futures

__all__ = ["run"]

_MACHINES, _FUTURES, _TRIALS = 10, 100, 40
_HORIZON_S, _STEP_S = 8 * 3600.0, 30.0


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `ms` and `band_coverage`."""
    line = [_station(number) for number in range(_MACHINES)]
    changes = [Change(0, 2, 7200.0, 0.5), Change(0, 2, 14_400.0, 1.0, ramp_s=600.0)]

    def futures(count: int, seed: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        asked = {"horizon_s": _HORIZON_S, "step_s": _STEP_S}
        found = run_futures(line, changes, **asked, count=count, seed=seed)
        return found.bands() if count > 1 else found.y[0]

    futures(_FUTURES, 0)
    times = []
    for number in range(runs):
        took = []
        for seed in range(7):
            began = time.perf_counter()
            futures(_FUTURES, seed)
            took.append((time.perf_counter() - began) * 1e3)
        times.append(float(np.median(took)))
        say(f"run {number + 1}/{runs}: {times[-1]:.0f} ms")
    inside = []
    for trial in range(_TRIALS):
        low, _, high = futures(_FUTURES, 1000 + trial)
        truth = futures(1, 5000 + trial)
        inside.append(float(np.mean((truth >= low) & (truth <= high))))
    coverage = float(np.mean(inside))
    say(f"coverage {coverage:.3f} over {_TRIALS} simulated truths")
    width = abs(coverage - 0.9)
    return [
        judge("whatif", "ms", times, "ms", 200, 50, lower=True),
        judge("whatif", "band_coverage", [width], "|share - 0.9|", 0.05, 0.05, lower=True,
              note=f"coverage {coverage:.3f}, must lie in 0.85-0.95"),
    ]  # fmt: skip


def _station(number: int) -> Member:
    form = STATION
    fed = Source(number - 1, 1) if number else Source()
    blocked = Source(number + 1, 0) if number < _MACHINES - 1 else Source()
    return Member(
        form, np.array([8.0, 0.9]), np.diag([4.0, 0.01]), form.defaults(), form.defaults() * 0.03,
        np.array([0.05, 0.003]), np.array([80.0, 8.0, 1.0]), (fed, blocked, Source()),
    )  # fmt: skip
