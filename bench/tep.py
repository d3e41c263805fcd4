"""`tep`: how cheaply the steady-state optimiser runs the Tennessee Eastman Process.

It is given ten handles with bounds and rates, the limits below, the cost signal, and nothing else.
The plant starts at its base case (169.5 $/h). Production rate and product mix are demands. Limits
are Downs & Vogel's normal operating limits with the reactor pressure at 2,800 kPa; a violation is a
5-minute mean past one of them. The score is the mean cost of the last 40 h of a hold of 80 h.
"""

import numpy as np

from bench.closed_loop import Process
from lineshaft.plants.tep import TepPlant
from lineshaft.rooms.decide.engine.method import Floats, Handle, Limit, Problem

__all__ = ["HANDLES", "LIMITS", "PERIOD_H", "TepProcess", "problem"]

PERIOD_H = 1 / 12
_SAMPLES = 10
_STEP_H = 1 / 240
_RANGE_H = 80.0
"""Hours in which a handle may cross its range."""

HANDLES = (
    "reactor/pressure-sp", "reactor/temperature-sp", "reactor/level-sp", "separator/level-sp",
    "stripper/level-sp", "reactor/ya-sp", "reactor/yac-sp", "compressor/recycle-valve",
    "stripper/steam-valve", "reactor/agitator",
)  # fmt: skip
_FLOW, _G = 22.949, 53.72
LIMITS = (
    Limit("reactor/pressure", high=2800.0),
    Limit("reactor/temperature", high=150.0),
    Limit("reactor/level", 50.0, 100.0),
    Limit("separator/level", 30.0, 100.0),
    Limit("stripper/level", 30.0, 100.0),
    Limit("product/flow", 0.95 * _FLOW, 1.05 * _FLOW),
    Limit("product/composition-g", _G - 5.0, _G + 5.0),
)


def problem() -> Problem:
    """Return what the optimiser is told."""
    spec = TepPlant().spec
    handles = []
    for key in HANDLES:
        low, high = spec[key].low, spec[key].high
        assert low is not None
        assert high is not None
        handles.append(Handle(key, low, high, (high - low) / _RANGE_H))
    return Problem(tuple(handles), LIMITS, PERIOD_H)


class TepProcess(Process):
    """The plant as the driver needs it."""

    def __init__(self, seed: int) -> None:
        self.plant = TepPlant(seed=4651 + seed, step_h=_STEP_H)
        keys = self.plant.spec.model_keys
        self._where = [keys.index(key) for key in ("economics/cost", *(one.key for one in LIMITS))]

    @property
    def hours(self) -> float:
        """Plant time."""
        return self.plant.hours

    @property
    def trip(self) -> str | None:
        """Cause of the shutdown."""
        return self.plant.trip

    def u(self) -> Floats:
        """Return the handles in force."""
        force = self.plant.commands()
        return np.array([force[key] for key in HANDLES])

    def command(self, u: Floats) -> None:
        """Put handles in force."""
        for key, value in zip(HANDLES, u.tolist(), strict=True):
            self.plant.command(key, value)

    def period(self) -> Floats:
        """Run five minutes; return what was seen in them."""
        samples = []
        for _ in range(_SAMPLES):
            self.plant.advance(PERIOD_H / _SAMPLES)
            samples.append(self.plant.values()[self._where])
        return np.array(samples)
