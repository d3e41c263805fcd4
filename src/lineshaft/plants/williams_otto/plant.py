"""`WilliamsOttoPlant`: the reactor with its local controllers, instruments and disturbances.

Four PI loops (two feeds, temperature, level) run every integration step; instruments add seeded
noise; the analyser gives a new composition every minute of plant time.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from lineshaft.plants.plant import Disturbance, Values, margins
from lineshaft.plants.signals import PlantSpec, load_spec
from lineshaft.plants.williams_otto.model import (
    FEED_A,
    HOLDUP,
    Inputs,
    Parameters,
    State,
    derivatives,
    profit,
)

__all__ = ["WilliamsOttoPlant"]

_STEP_S: Final = 5.0
_ANALYSIS_S: Final = 60.0
_START_SETPOINTS: Final = {
    "feed/a-flow-sp": FEED_A,
    "feed/b-flow-sp": 4.2,
    "reactor/temperature-sp": 84.0,
    "reactor/level-sp": 100.0,
}
_TRIPS: Final = {
    "reactor/temperature-trip-margin": 115.0,
    "reactor/level-high-trip-margin": 125.0,
    "reactor/level-low-trip-margin": 50.0,
}
_FULL_FLOW: Final = {"a": 4.0, "b": 10.0, "out": 15.0}
"""kg/s through each valve when open; feed and product valves are linear."""
_COLD, _HOT = 20.0, 130.0
_DISTURBANCES: Final = (
    Disturbance(1, "Feeds 15 K colder"),
    Disturbance(2, "Jacket fouled: heat transfer halved"),
    Disturbance(3, "First reaction 15 % slower"),
    Disturbance(4, "Side reaction to G 30 % faster"),
    Disturbance(5, "A feed valve loses a quarter of its flow"),
    Disturbance(6, "A feed 5 % impure"),
    Disturbance(7, "Random temperature of the feeds"),
    Disturbance(8, "Product valve sticks"),
    Disturbance(9, "Mixing valve fails: hot water only"),
)


@dataclasses.dataclass(slots=True)
class _Loop:
    """A PI controller in velocity form; output in % of valve, clipped, so it cannot wind up."""

    gain: float
    reset_s: float
    out: float
    last_error: float = 0.0

    def step(self, error: float, seconds: float) -> float:
        delta = self.gain * (error - self.last_error + seconds / self.reset_s * error)
        self.out = min(100.0, max(0.0, self.out + delta))
        self.last_error = error
        return self.out


class WilliamsOttoPlant:
    """The reactor in closed loop."""

    notice = (
        "Williams-Otto reactor: T. J. Williams and R. E. Otto, AIEE Trans. 79 (1960); parameters "
        "of P. D. Roberts (1979) and of J. F. Forbes and T. E. Marlin (1996). The code is ours."
    )
    return_h = 0.5
    disturbances = _DISTURBANCES

    def __init__(self, *, seed: int = 1960) -> None:
        self.spec: PlantSpec = load_spec("lineshaft.plants.williams_otto")
        self._seed = seed
        self._before = 0.0
        self._settled = _settle()
        self._start()

    def _start(self) -> None:
        self._seconds = 0.0
        self._noise = np.random.default_rng(self._seed)
        self._setpoints = dict(_START_SETPOINTS)
        self._state, outs = self._settled
        self._loops = {
            "a": _Loop(5.0, 5.0, outs[0]),
            "b": _Loop(2.0, 5.0, outs[1]),
            "t": _Loop(4.0, 120.0, outs[2]),
            "l": _Loop(-2.0, 600.0, outs[3]),
        }
        self._stuck = outs[3]
        self._on: set[int] = set()
        self._wander = 0.0
        self._inputs = self._flows()
        self._analysis: Values = np.zeros(6)
        self._analysed_s = -math.inf
        self._trip: str | None = None
        self._measure()

    @property
    def hours(self) -> float:
        """Plant time."""
        return self._before + self._seconds / 3600

    @property
    def trip(self) -> str | None:
        """Cause of the shutdown."""
        return self._trip

    def advance(self, hours: float) -> None:
        """Move on by `hours`."""
        if self._trip is not None:
            return
        end = self._seconds + hours * 3600
        while self._trip is None and self._seconds < end - 1e-6:
            self._step(min(_STEP_S, end - self._seconds))
        self._measure()

    def _step(self, seconds: float) -> None:
        flows, setpoints = self._inputs, self._setpoints
        loops = self._loops
        loops["a"].step(setpoints["feed/a-flow-sp"] - flows.feed_a, seconds)
        loops["b"].step(setpoints["feed/b-flow-sp"] - flows.feed_b, seconds)
        loops["t"].step(setpoints["reactor/temperature-sp"] - self._state[6], seconds)
        loops["l"].step(setpoints["reactor/level-sp"] - self._level, seconds)
        if 8 not in self._on or abs(loops["l"].out - self._stuck) > 3.0:
            self._stuck = loops["l"].out
        if 7 in self._on:  # a first-order wander with a standard deviation of 4 K
            keep = math.exp(-seconds / 900)
            self._wander = keep * self._wander + 4.0 * math.sqrt(1 - keep**2) * float(
                self._noise.standard_normal()
            )
        else:
            self._wander = 0.0
        self._inputs = self._flows()
        self._state = _rk4(self._state, self._inputs, self._parameters(), seconds)
        self._seconds += seconds
        self._check()

    @property
    def _level(self) -> float:
        return 100 * self._state[7] / HOLDUP

    def _flows(self) -> Inputs:
        share_a = 0.75 if 5 in self._on else 1.0
        out = _FULL_FLOW["out"] * self._stuck / 100 * math.sqrt(max(0.0, self._level) / 100)
        hot = 1.0 if 9 in self._on else self._loops["t"].out / 100
        return Inputs(
            feed_a=share_a * _FULL_FLOW["a"] * self._loops["a"].out / 100,
            feed_b=_FULL_FLOW["b"] * self._loops["b"].out / 100,
            outflow=out,
            jacket_inlet=_COLD + (_HOT - _COLD) * hot,
        )

    def _parameters(self) -> Parameters:
        on = self._on
        return Parameters(
            activity=(0.85 if 3 in on else 1.0, 1.0, 1.3 if 4 in on else 1.0),
            transfer=0.5 if 2 in on else 1.0,
            feed_temperature=75.0 - (15.0 if 1 in on else 0.0) + self._wander,
            purity=0.95 if 6 in on else 1.0,
        )

    def _check(self) -> None:
        if not all(map(math.isfinite, self._state)):
            self._trip = "The model left its range"
        elif self._state[6] > _TRIPS["reactor/temperature-trip-margin"]:
            self._trip = "High Reactor Temperature"
        elif self._level > _TRIPS["reactor/level-high-trip-margin"]:
            self._trip = "High Reactor Level"
        elif self._level < _TRIPS["reactor/level-low-trip-margin"]:
            self._trip = "Low Reactor Level"

    def _measure(self) -> None:
        """Read the instruments: flows within 0.1 %, temperatures 0.05 K, level 0.1 %."""
        if self._seconds - self._analysed_s >= _ANALYSIS_S - 1e-6:
            true = np.array(self._state[:6]) * 100
            self._analysis = true * (1 + 0.0015 * self._noise.standard_normal(6))
            self._analysed_s = self._seconds
        i, n = self._inputs, self._noise.standard_normal(8)
        self._measured = np.array(
            [
                i.feed_a * (1 + 0.001 * n[0]),
                i.feed_b * (1 + 0.001 * n[1]),
                self._parameters().feed_temperature + 0.05 * n[2],
                self._state[6] + 0.05 * n[3],
                self._level + 0.1 * n[4],
                self._state[8] + 0.05 * n[5],
                i.jacket_inlet + 0.05 * n[6],
                i.outflow * (1 + 0.001 * n[7]),
            ]
        )

    def values(self) -> Values:
        """Return measurements, valves, profit and margins."""
        measured = [*self._measured.tolist(), *self._analysis.tolist()]
        by_key = dict(zip(self.spec.model_keys, measured, strict=False))
        income, cost = profit(
            by_key["feed/a-flow"],
            by_key["feed/b-flow"],
            by_key["product/flow"],
            by_key["product/fraction-e"] / 100,
            by_key["product/fraction-p"] / 100,
        )
        loops = self._loops
        valves = [loops["a"].out, loops["b"].out, loops["t"].out, loops["l"].out]
        limits = margins(self.spec, by_key, _TRIPS)
        return np.array([*measured, *valves, income - cost, income, cost, *limits])

    def command(self, key: str, value: float) -> None:
        """Put a set-point in force."""
        if key not in self._setpoints:
            raise KeyError(key)
        self._setpoints[key] = value

    def commands(self) -> Mapping[str, float]:
        """Return what is in force."""
        return dict(self._setpoints)

    def set_disturbance(self, number: int, on: bool) -> None:
        """Switch a disturbance."""
        if not 1 <= number <= len(_DISTURBANCES):
            raise KeyError(number)
        (self._on.add if on else self._on.discard)(number)

    def active(self) -> frozenset[int]:
        """Return the numbers of the disturbances that are on."""
        return frozenset(self._on)

    def restart(self) -> None:
        """Start again at the base case."""
        self._before = self.hours
        self._start()


def _rk4(state: State, inputs: Inputs, p: Parameters, h: float) -> State:
    def moved(rates: State, by: float) -> State:
        return tuple(s + by * r for s, r in zip(state, rates, strict=True))  # type: ignore[return-value]

    k1 = derivatives(state, inputs, p)
    k2 = derivatives(moved(k1, h / 2), inputs, p)
    k3 = derivatives(moved(k2, h / 2), inputs, p)
    k4 = derivatives(moved(k3, h), inputs, p)
    total = tuple(a + 2 * (b + c) + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True))
    return moved(total, h / 6)  # type: ignore[arg-type]


def _settle() -> tuple[State, tuple[float, float, float, float]]:
    """Return the steady base case: state, and the valves (a, b, jacket, product) that hold it."""
    feed_a, feed_b = _START_SETPOINTS["feed/a-flow-sp"], _START_SETPOINTS["feed/b-flow-sp"]
    goal = _START_SETPOINTS["reactor/temperature-sp"]
    jacket, p = 80.0, Parameters()
    state: State = (0.1, 0.4, 0.01, 0.25, 0.1, 0.1, goal, HOLDUP, jacket)
    for _ in range(4000):
        inputs = Inputs(feed_a, feed_b, feed_a + feed_b, jacket)
        state = _rk4(state, inputs, p, _STEP_S)
        jacket += 0.02 * (goal - state[6])
        jacket = min(_HOT, max(_COLD, jacket))
    return state, (
        100 * feed_a / _FULL_FLOW["a"],
        100 * feed_b / _FULL_FLOW["b"],
        100 * (jacket - _COLD) / (_HOT - _COLD),
        100 * (feed_a + feed_b) / _FULL_FLOW["out"],
    )
