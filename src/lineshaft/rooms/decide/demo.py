"""The demo's loop: made once of its plant's signals, in shadow.

Rules: it says which signals may move, within their own ranges, which must stay inside what limits,
and which is to be small or large; no set-point, gain or time constant of a plant stands here. The
signals of a loop stay when a person removes it, so where there are any, none is made again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lineshaft.core.errors import LineshaftError
from lineshaft.core.ports import PlantPanel
from lineshaft.core.signals import Signal
from lineshaft.rooms.decide.model import (
    Conditions,
    Goal,
    Interlock,
    Loop,
    LoopHandle,
    LoopLimit,
    Remote,
    Worth,
)
from lineshaft.rooms.decide.service import DecideService

__all__ = ["DemoLoop", "draft_of"]

_CLOCK: Final = "plant/speed"
_CROSS_H: Final = 25.0  # hours in which a handle may cross its range
_PERIOD_H: Final = 0.25
_SETTLE_H: Final = 24.0
_LOOK_S: Final = 1.0
#: In periods: what the optimiser watches first, and how long its first moves last.
_SETTINGS: Final = {"observe": 32, "segment": 16}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Form:
    """A plant's loop, by the keys of its signals. Limits without numbers are the signals' own."""

    name: str
    goal: str
    sense: str
    handles: Sequence[str]
    limits: Mapping[str, tuple[float | None, float | None] | None]
    per_unit: Mapping[str, float]


_FORMS: Final = {
    "tep": _Form(
        "Operating cost", "economics/cost", "minimise",
        ("reactor/pressure-sp", "reactor/temperature-sp", "reactor/level-sp",
         "separator/level-sp", "stripper/level-sp", "reactor/ya-sp", "reactor/yac-sp",
         "compressor/recycle-valve", "stripper/steam-valve", "reactor/agitator"),
        {"reactor/pressure": (None, 2800.0), "reactor/temperature": None, "reactor/level": None,
         "separator/level": None, "stripper/level": None, "product/flow-margin": None,
         "product/g-margin": None},
        {"USD": 1.0},
    ),
    "williams-otto": _Form(
        "Profit", "economics/profit", "maximise",
        ("feed/b-flow-sp", "reactor/temperature-sp"),
        {"reactor/temperature": None, "reactor/level": None},
        {"USD": 3600.0},
    ),
}  # fmt: skip


class DemoLoop:
    """Makes the demo's loop as soon as its plant's signals are there. `signals` gives these and
    `were_any` whether there ever was a loop's; both block."""

    def __init__(
        self, service: DecideService, panel: PlantPanel,
        signals: Callable[[], Sequence[Signal]], were_any: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._service, self._panel = service, panel
        self._signals, self._were_any = signals, were_any

    async def run(self) -> None:
        """Return never; the loop is made once."""
        while not await asyncio.to_thread(self._were_any):
            try:
                await self._make()
            except LineshaftError as error:  # the plant or the list of signals is not there yet
                _log.info("the demo's loop waits: %s", error)
            await asyncio.sleep(_LOOK_S)
        await asyncio.Event().wait()

    async def _make(self) -> None:
        plant: Mapping[str, Any] = await self._panel.handle({})
        known = {one.path: one for one in await asyncio.to_thread(self._signals)}
        draft = draft_of(str(plant["plant"]), known)
        if draft is not None:
            await self._service.add(draft)


def draft_of(kind: str, known: Mapping[str, Signal]) -> Loop | None:
    """Return the loop of a plant, None before all of its signals are known (by path)."""
    form = _FORMS.get(kind)
    clock = next((path for path in known if path.endswith(f"/{_CLOCK}")), "")
    prefix = clock.removesuffix(_CLOCK)

    def find(key: str) -> Signal:
        return known[prefix + key]

    if form is None or not clock:
        return None
    try:
        handles = tuple(_handle(find(key)) for key in form.handles)
        limits = tuple(_limit(find(key), bounds) for key, bounds in form.limits.items())
        return Loop(
            "", form.name, f"{prefix}plant", Goal(f'"{find(form.goal).path}"', form.sense),
            handles, limits, clock=find(_CLOCK).sid, period_h=_PERIOD_H, settle_h=_SETTLE_H,
            tolerance=0.03, settings=_SETTINGS,
            conditions=Conditions(interlocks=(Interlock(find("plant/tripped").sid, 0.0, 0.0),)),
            remote=Remote(find("control/remote").sid, find("control/heartbeat").sid),
            worth=Worth(per_unit=form.per_unit),
        )  # fmt: skip
    except KeyError:
        return None


def _handle(signal: Signal) -> LoopHandle:
    low, high = signal.low or 0.0, signal.high or 0.0
    return LoopHandle(signal.sid, low, high, (high - low) / _CROSS_H)


def _limit(signal: Signal, bounds: tuple[float | None, float | None] | None) -> LoopLimit:
    low, high = bounds or (signal.limit_low, signal.limit_high)
    return LoopLimit(signal.sid, low, high)
