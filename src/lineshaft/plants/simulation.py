"""`Simulation`: a plant, its local control, and the wall clock that drives them.

Rules: the plant's own state is touched in `tick`, `restart` and `disturb` only, one at a time (a
lock); the model steps in a worker thread, in slices, so that the event loop stays free; a machine
that cannot keep up loses plant time, never wall time, and `plant/speed` shows the speed reached.
Values carry wall time: the stamp of the tick that made them, one for all of a tick.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Final

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind
from lineshaft.plants.control import LocalControl
from lineshaft.plants.plant import Plant
from lineshaft.plants.signals import PlantSignal, Role

__all__ = ["SPEEDS", "TICK_S", "Simulation", "Value"]

Value = float | int | bool | str

SPEEDS: Final = (1, 60, 1800)
TICK_S: Final = 0.5
"""Wall seconds between updates of the signals."""

_FAST_TICK_S: Final = 0.1
"""The same at the highest speed, where half a second is a quarter of an hour: a plant seen so
seldom would show its own swings as noise."""

_SLICE_H: Final = 0.025
"""Plant hours stepped at a time; between two slices a late tick gives up."""
_KEPT_UP: Final = 0.98


class Simulation:
    """A plant that runs by the wall clock; `now_s` is monotonic seconds everywhere."""

    def __init__(self, plant: Plant, *, speed: int = 1, heartbeat_timeout_s: float = 10.0) -> None:
        self.plant = plant
        self.spec = plant.spec
        self._model_keys = self.spec.model_keys
        self.control = LocalControl(
            self.spec, plant.commands(), timeout_s=heartbeat_timeout_s, return_h=plant.return_h
        )
        self._told = dict(self.control.in_force)
        self._lock = asyncio.Lock()
        self._last_tick_s: float | None = None
        self._heartbeat = 0
        self.speed = speed
        self.reached: float = speed

    @property
    def speed(self) -> int:
        """The speed asked for; setting another one raises Refused unless it is one of SPEEDS."""
        return self._speed

    @speed.setter
    def speed(self, speed: int) -> None:
        if isinstance(speed, bool) or speed not in SPEEDS:
            raise Refused(
                f"the plant has no speed {speed!r}"[:120],
                hint="It runs at " + ", ".join(f"{s:,}x" for s in SPEEDS),
                code="plant.speed",
            )
        self._speed = int(speed)

    @property
    def tick_s(self) -> float:
        """Wall seconds between updates at the present speed."""
        return _FAST_TICK_S if self._speed == SPEEDS[-1] else TICK_S

    async def tick(self, now_s: float) -> None:
        """Bring the plant up to now: settle who commands, then step the model in a thread."""
        async with self._lock:
            wall = 0.0 if self._last_tick_s is None else max(0.0, now_s - self._last_tick_s)
            self._last_tick_s = now_s
            asked = min(wall, 2 * TICK_S) * self._speed / 3600
            self.control.step(now_s, asked)
            for key, value in self.control.in_force.items():
                if self._told.get(key) != value:
                    self.plant.command(key, value)
                    self._told[key] = value
            if asked > 0:
                before = self.plant.hours
                await self._advance(asked)
                self._judge_speed(self.plant.hours - before, wall)

    async def _advance(self, hours: float) -> None:
        end = monotonic_s() + TICK_S
        slices = max(1, math.ceil(hours / _SLICE_H))
        for _ in range(slices):
            await asyncio.to_thread(self.plant.advance, hours / slices)
            if monotonic_s() > end:
                return

    def _judge_speed(self, hours: float, wall: float) -> None:
        if self.plant.trip is not None:
            self.reached = 0.0
            return
        reached = hours * 3600 / wall
        self.reached = self._speed if reached >= _KEPT_UP * self._speed else round(reached, 1)

    async def restart(self) -> None:
        """Start the plant again: base case, disturbances off, local control."""
        async with self._lock:
            self.plant.restart()
            self.control.restart(self.plant.commands())
            self._told = dict(self.control.in_force)
            self.reached = self._speed

    async def disturb(self, number: int, on: bool) -> None:
        """Switch a disturbance; raise Refused for one that the plant does not have."""
        async with self._lock:
            try:
                self.plant.set_disturbance(number, on)
            except KeyError:
                raise Refused(
                    f"the plant has no disturbance {number}",
                    hint=f"It has 1 to {len(self.plant.disturbances)}",
                    code="plant.disturbance",
                ) from None

    def write(self, key: str, value: Value, now_s: float) -> None:
        """Take what a client wrote; raise Refused (code `write.*` or `control.local`) if it cannot
        be. It reaches the model with the next tick."""
        signal = self.spec.get(key)
        if signal is None or not signal.writable:
            raise Refused(f"{key} cannot be written", code="write.access")
        if signal.role is Role.MODE:
            self.control.wish(bool(value), now_s)
        elif signal.role is Role.HEARTBEAT:
            self._heartbeat = int(value)
            self.control.beat(self._heartbeat, now_s)
        elif signal.role is Role.LOCAL:
            self.control.set_local(key.removesuffix("-local"), _in_range(signal, value))
        else:
            self.control.set_remote(key, _in_range(signal, value), now_s)

    def values(self) -> Mapping[str, Value]:
        """Return every signal but the counter, by key."""
        plant, control = self.plant, self.control
        values: dict[str, Value] = dict(zip(self._model_keys, plant.values().tolist(), strict=True))
        values.update(control.in_force)
        values.update({f"{key}-local": value for key, value in control.local.items()})
        values["control/remote"] = control.wished
        values["control/state"] = str(control.state)
        values["control/heartbeat"] = self._heartbeat
        values["plant/clock"] = plant.hours
        values["plant/speed"] = float(self.reached)
        values["plant/state"] = "running" if plant.trip is None else "tripped"
        values["plant/tripped"] = plant.trip is not None
        values["plant/trip-cause"] = plant.trip or ""
        return values


def _in_range(signal: PlantSignal, value: Value) -> float:
    number = float(value) if signal.kind is Kind.FLOAT else float("nan")
    low = signal.low if signal.low is not None else float("-inf")
    high = signal.high if signal.high is not None else float("inf")
    if not low <= number <= high:
        raise Refused(
            f"{signal.key} cannot be {value}",
            hint=f"Its range is {low:g} to {high:g} {signal.unit}",
            code="write.range",
        )
    return number
