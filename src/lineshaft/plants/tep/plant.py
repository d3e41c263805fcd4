"""`TepPlant`: the Tennessee Eastman Process under Ricker's decentralized control.

The package's kernel gives derivatives and outputs; here they are integrated (RK4, 0.0005 h, the
model's design step) in control steps of at most `STEP_H`, with the package's controller in between.
Nine set-points and the three valves without a loop are moved while it runs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from lineshaft.plants.plant import Disturbance, Values, margins
from lineshaft.plants.signals import PlantSpec, Role, load_spec
from lineshaft.plants.tep.binding import NOTICE, load

__all__ = ["STEP_H", "TepPlant"]

STEP_H: Final = 0.002
"""Longest control step; 0.0005 to 0.005 h give the same cost within 0.5 %."""
_RK_H: Final = 0.0005
_MEASURE_ALL: Final = 0x0F
"""Kernel flag: noise on measurements, all monitors computed."""

_TRIPS: Final = {
    # Downs & Vogel 1993, table 4, shutdown limits. Levels are given there as volumes (reactor
    # 2-24, separator 1-12, stripper 1-8 cubic metres); per cent by the level transmitters' scales.
    "reactor/pressure-trip-margin": 3000.0,
    "reactor/temperature-trip-margin": 175.0,
    "reactor/level-high-trip-margin": 114.4,
    "reactor/level-low-trip-margin": -2.1,
    "separator/level-high-trip-margin": 136.6,
    "separator/level-low-trip-margin": 2.7,
    "stripper/level-high-trip-margin": 130.5,
    "stripper/level-low-trip-margin": -27.4,
}
_BAND: Final = 5.0
"""Per cent that production and product mix may stray from their set-points (Downs & Vogel)."""

# Downs & Vogel 1993, table 9: $ per kmol lost in the purge, $ per kWh, $ per kg of steam.
_PURGE_PRICE: Final = np.array([2.206, 0.0, 6.177, 22.06, 14.56, 17.89, 30.44, 22.94])
_POWER_PRICE: Final = 0.0536
_STEAM_PRICE: Final = 0.0318
_KMOL_PER_M3: Final = 1 / 22.414
_CT: Final = 0.01


class TepPlant:
    """The process in closed loop; raises Broken where its package cannot run."""

    notice = NOTICE
    return_h = 4.0

    def __init__(self, *, seed: int = 4651, step_h: float = STEP_H) -> None:
        self._parts = load()
        self.spec: PlantSpec = load_spec("lineshaft.plants.tep")
        names = self._parts.schema.disturbances
        self.disturbances = tuple(
            Disturbance(i, f"IDV({i}) {variable.description}")
            for i, variable in enumerate(names, 1)
        )
        self._seed, self._step_h = float(seed), step_h
        self._kernel = self._parts.kernel()
        self._columns = _Columns(self.spec, self._parts.schema)
        self._before = 0.0
        self._start()

    def _start(self) -> None:
        self._state: Values = self._kernel.reset(seed=self._seed, ms_flag=_MEASURE_ALL)
        self._time = 0.0
        self._idv = np.zeros(len(self.disturbances))
        self._action: Values = self._state[-12:].copy()
        self._kernel.set_inputs(self._action, self._idv)
        self._outputs: dict[str, Values] = self._kernel.outputs(0.0, self._state)
        nominal = self._parts.registry.nominal
        # A dict of our own: the controller reads it every step, so the three valves can be moved.
        self._fixed: dict[str, float] = dict(nominal.static_mv)
        registry = dataclasses.replace(
            self._parts.registry, nominal=dataclasses.replace(nominal, static_mv=self._fixed)
        )
        self._controller = self._parts.controller(registry=registry)
        self._controller.reset(self._outputs["measurements"])
        for key, value in self.commands().items():  # 2705.0, where the base case has 2704.99999995
            self.command(key, round(value, 4))
        self._trip: str | None = None

    @property
    def hours(self) -> float:
        """Plant time."""
        return self._before + self._time

    @property
    def trip(self) -> str | None:
        """Cause of the shutdown."""
        return self._trip

    def advance(self, hours: float) -> None:
        """Move on by `hours`."""
        end = self._time + hours
        while self._trip is None and self._time < end - 1e-12:
            self._control_step(min(self._step_h, end - self._time))

    def _control_step(self, hours: float) -> None:
        action, _ = self._controller.compute_action(self._outputs["measurements"], time=self._time)
        self._action = action
        kernel = self._kernel
        kernel.set_inputs(action, self._idv)
        derivatives = kernel.derivatives
        n = max(1, round(hours / _RK_H))
        h, t, y = hours / n, self._time, self._state
        try:
            for _ in range(n):
                k1 = derivatives(t, y)
                k2 = derivatives(t + h / 2, y + (h / 2) * k1)
                k3 = derivatives(t + h / 2, y + (h / 2) * k2)
                k4 = derivatives(t + h, y + h * k3)
                y = y + (h / 6) * (k1 + 2 * (k2 + k3) + k4)
                t += h
        except RuntimeError:  # the kernel refuses a state that no plant can be in
            self._trip = "The model left its range"
            return
        self._state, self._time = y, t
        kernel.state, kernel.time = y, t
        self._outputs = kernel.outputs(t, y)
        code, message = kernel.shutdown_status()
        if code:
            self._trip = message.replace("!!", ":").replace("  ", " ").split(":")[0].strip()
        elif not np.isfinite(y).all():
            self._trip = "The model left its range"

    def values(self) -> Values:
        """Return measurements, valves, cost and margins."""
        return self._columns.gather(self._outputs, self._action, self._controller.setpoints, _TRIPS)

    def command(self, key: str, value: float) -> None:
        """Put a set-point or one of the three free valves in force."""
        name = self._columns.command_name[key]
        if name in self._fixed:
            self._fixed[name] = value
        else:
            self._controller.setpoints = dataclasses.replace(
                self._controller.setpoints, **{name: value}
            )

    def commands(self) -> Mapping[str, float]:
        """Return what is in force."""
        setpoints = dataclasses.asdict(self._controller.setpoints)
        both = setpoints | self._fixed
        return {key: float(both[name]) for key, name in self._columns.command_name.items()}

    def set_disturbance(self, number: int, on: bool) -> None:
        """Switch IDV(number)."""
        if not 1 <= number <= len(self._idv):
            raise KeyError(number)
        self._idv[number - 1] = float(on)

    def active(self) -> frozenset[int]:
        """Return the numbers of the IDVs that are on."""
        return frozenset(int(i) + 1 for i in np.flatnonzero(self._idv))

    def restart(self) -> None:
        """Start again at the base case."""
        self._before = self.hours
        self._start()


class _Columns:
    """Where each of our signals stands in the package's arrays, found once by tag and name."""

    def __init__(self, spec: PlantSpec, schema: Any) -> None:
        self._spec = spec
        self._measured = [s.key for s in spec.of(Role.MEASUREMENT)]
        self._scale = np.array([s.scale for s in spec.of(Role.MEASUREMENT)])
        valves = schema.names("manipulated_variables")
        self.command_name = {
            s.key: s.tag[3:-1] if s.role is Role.SETPOINT else valves[int(s.tag[4:-1]) - 1]
            for s in spec.of(Role.SETPOINT, Role.MANIPULATED)
            if s.writable
        }
        self._cost = schema.index("process_monitors", "operating_cost_measured_per_hour")
        self._per_product = schema.index("process_monitors", "production_cost_measured_per_product")

    def gather(
        self,
        outputs: Mapping[str, Values],
        action: Values,
        setpoints: Any,
        trips: Mapping[str, float],
    ) -> Values:
        """Return the values in the order of `spec.model_keys`."""
        measured = outputs["measurements"] * self._scale
        by_key = dict(zip(self._measured, measured.tolist(), strict=True))
        limits = margins(self._spec, by_key, trips)
        # The two bands come last among the margins: they need the set-point, not a limit.
        rate = by_key["product/flow"] / setpoints.production_rate - 1
        limits[-2:] = [
            _BAND - 100 * abs(rate),
            _BAND - abs(by_key["product/composition-g"] - setpoints.pct_g),
        ]
        return np.concatenate([measured, action, self._costs(outputs, by_key), limits])

    def _costs(self, outputs: Mapping[str, Values], by_key: Mapping[str, float]) -> list[float]:
        total = float(outputs["process_monitors"][self._cost])
        purged = np.array([by_key[f"purge/composition-{c}"] for c in "abcdefgh"]) / 100
        purge = by_key["purge/flow"] * _KMOL_PER_M3 * float(purged @ _PURGE_PRICE)
        power = by_key["compressor/work"] * _POWER_PRICE
        steam = by_key["stripper/steam-flow"] * _STEAM_PRICE
        per_product = float(outputs["process_monitors"][self._per_product]) * _CT
        # What the other three leave of the model's total is lost in the product.
        return [total, purge, total - purge - power - steam, power, steam, per_product]
