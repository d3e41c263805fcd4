"""The demo's twins: of pairs of its plant's signals, made, fitted and taught without hand work.

Rules: they are made once; a file keeps which they are and the revision in which each was left, so
that one which a person changed is left alone and one that was removed stays away. A good period is
a stretch in which the plant ran at one speed with every disturbance off. They are taught as soon
as it is long enough and again when it is longer; at another speed, where samples lie further apart,
they forget what they were taught and are taught anew.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from lineshaft.clock import now_us
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.ports import PlantPanel
from lineshaft.core.signals import Signal
from lineshaft.private import write_private
from lineshaft.rooms.twins.model import Binding, Figure, Twin
from lineshaft.rooms.twins.service import TwinService

__all__ = ["DemoTwins"]

_PAIRS: Final[Mapping[str, Sequence[tuple[str, str, str]]]] = {
    "tep": (
        ("Reactor cooling", "reactor/cooling-water-valve", "reactor/cooling-water-temperature"),
        ("A feed valve", "feed/a-valve", "feed/a-flow"),
        ("Purge valve", "purge/valve", "purge/flow"),
        ("Separator pressure", "reactor/pressure", "separator/pressure"),
    ),
    "williams-otto": (
        ("Jacket", "jacket/inlet-temperature", "jacket/temperature"),
        ("Reactor heat", "jacket/temperature", "reactor/temperature"),
        ("Reaction to E", "reactor/temperature", "product/fraction-e"),
    ),
}
_CLOCK: Final = "plant/speed"
_FREE: Final = ("gain", "time_constant", "bias")  # at rest, dead time cannot be told from noise
#: Hours of plant time and seconds of wall time after which they are fitted and taught; the first is
#: too short to teach, and gives them figures that look right.
_PERIODS: Final = ((0.0, 60.0), (0.5, 300.0), (8.0, 900.0), (24.0, 3600.0))
_SETTLE_H: Final = 12.0  # until a disturbance has left the plant
_LOOK_S: Final = 2.0
_PATIENCE_S: Final = 900.0  # nobody waits for it
_FILE: Final = "demo.json"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """What is kept on disk: revisions by twin, the speed they were taught at and how often."""

    left: dict[str, int] = field(default_factory=dict)
    speed: float = 0.0
    taught: int = 0


class DemoTwins:
    """Looks after the demo's twins; `folder` is the room's, `signals` gives the demo source's
    signals and blocks."""

    def __init__(
        self, service: TwinService, panel: PlantPanel, signals: Callable[[], Sequence[Signal]],
        folder: Path,
    ) -> None:  # fmt: skip
        self._service, self._panel, self._signals = service, panel, signals
        self._file = folder / _FILE
        self._kept = _Kept()
        self._hours, self._calm_h = 0.0, 0.0  # the plant's hour; when it is as it should be again
        self._begun: tuple[int, float] | None = None  # the good period: µs, hour of the plant

    async def run(self) -> None:
        """Run for ever."""
        if self._file.exists():
            self._kept = _Kept(**json.loads(await asyncio.to_thread(self._file.read_text)))
        while True:
            try:
                await self._look(await self._panel.handle({}))
            except LineshaftError as error:  # the plant, history or the worker is away
                _log.debug("the demo's twins wait: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def _look(self, plant: Mapping[str, Any]) -> None:
        if not self._kept.left:
            await self._make(plant["plant"])
        if plant["speed"] != self._kept.speed:
            await self._begin_anew(plant["speed"])
        now = now_us()
        period = self._good_period(plant, now)
        if period is None or self._kept.taught == len(_PERIODS):
            return
        least_h, least_s = _PERIODS[self._kept.taught]
        if self._hours - period[1] >= least_h and now - period[0] >= least_s * 1e6:
            for twin in await self._ours():
                await self._teach(twin, period[0], now)
            self._kept.taught += 1
            await self._keep()

    def _good_period(self, plant: Mapping[str, Any], now: int) -> tuple[int, float] | None:
        """Return when the present good period began (µs, hour of the plant), None while there is
        none."""
        before, self._hours = self._hours, float(plant["plant_time_h"])
        if self._hours < before:  # the plant was started again, from its base case
            self._calm_h, self._begun = 0.0, None
        if not plant["running"] or any(one["on"] for one in plant["disturbances"]):
            self._calm_h = self._hours + _SETTLE_H
        if self._hours < self._calm_h:
            self._begun = None
        elif self._begun is None:
            self._begun = (now, self._hours)
        return self._begun

    async def _make(self, kind: str) -> None:
        listed = await asyncio.to_thread(self._signals)
        for twin in _drafts(kind, {one.path: one.sid for one in listed}):
            self._left((await self._service.add(twin)).twin)
            await self._keep()

    async def _begin_anew(self, speed: float) -> None:
        self._begun = None
        if self._kept.taught:
            for twin in await self._ours():
                self._left((await self._service.forget(twin.id)).twin)
        self._kept.speed, self._kept.taught = speed, 0
        await self._keep()

    async def _ours(self) -> list[Twin]:
        """Return the twins that are as they were left here."""
        known = [one.twin for one in await self._service.all()]
        return [twin for twin in known if self._kept.left.get(twin.id) == twin.revision]

    async def _teach(self, twin: Twin, start: int, end: int) -> None:
        try:
            fitted, _ = await self._service.fit(twin.id, start, end, _FREE, _PATIENCE_S)
            self._left((await self._service.take(twin.id, fitted, twin.revision)).twin)
            self._left((await self._service.learn(twin.id, start, end, _PATIENCE_S)).twin)
        except Refused as error:  # what this period does not tell, a longer one may
            _log.info("the twin '%s' was not taught: %s", twin.name, error)

    def _left(self, twin: Twin) -> None:
        self._kept.left[twin.id] = twin.revision

    async def _keep(self) -> None:
        await asyncio.to_thread(write_private, self._file, json.dumps(asdict(self._kept)))


def _drafts(kind: str, sids: Mapping[str, int]) -> list[Twin]:
    """Return the plant's twins; none before all its signals are there."""
    clock = next((path for path in sids if path.endswith(f"/{_CLOCK}")), "")
    prefix, drafts = clock.removesuffix(_CLOCK), []
    for name, drive, level in _PAIRS.get(kind, ()):
        ports = [sids.get(prefix + key) for key in (drive, level)]
        if not (clock and ports[0] and ports[1]):
            return []
        drafts.append(Twin(
            "", name, prefix + level.rpartition("/")[0], "lag", "kalman",
            {"drive": Binding(ports[0])}, {"level": Binding(ports[1])},
            {"dead_time": Figure(0.0, is_set=True)}, clock=sids[clock],
        ))  # fmt: skip
    return drafts
