"""The composition root's part for twins: their doors, and those of the demo looked after.

Imported by the web process alone, when it builds its doors.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from lineshaft.bus import Bus
from lineshaft.core.ports import PlantPanel
from lineshaft.core.signals import Signal
from lineshaft.rooms.connect.demo import DEMO_ID
from lineshaft.rooms.plant.conversion import conversion
from lineshaft.rooms.twins.demo import DemoTwins
from lineshaft.rooms.twins.draft_routes import add_drafts
from lineshaft.rooms.twins.drafts import DraftService
from lineshaft.rooms.twins.fmi.shelf import FmuShelf
from lineshaft.rooms.twins.model import FMUS
from lineshaft.rooms.twins.routes import router
from lineshaft.rooms.twins.service import TwinService
from lineshaft.rooms.twins.store import TwinStore

if TYPE_CHECKING:
    from fastapi import APIRouter
    from sqlalchemy import Engine

    from lineshaft.app import Ground
    from lineshaft.rooms.history.service import HistoryService
    from lineshaft.rooms.plant.store import SignalStore

__all__ = ["twin_doors"]


def twin_doors(
    ground: "Ground", engine: "Engine", signals: "SignalStore", history: "HistoryService",
    panel: PlantPanel,
) -> "tuple[APIRouter, list[Coroutine[Any, Any, None]]]":  # fmt: skip
    """Return the doors of twins, and what must run beside them."""

    def listed(prefix: str, source: str) -> Sequence[Signal]:
        return [one.signal for one in signals.list(prefix=prefix, source=source)]

    folder = ground.folder / "twins"
    twins = TwinService(TwinStore(engine), ground.bus, signals, history, signals.by_sid, conversion,
                        FmuShelf(folder / FMUS))  # fmt: skip
    doors = router(twins)
    add_drafts(doors, DraftService(twins.worker, history, listed, conversion))
    beside: list[Coroutine[Any, Any, None]] = [_foretelling(ground.bus, twins)]
    if ground.plan.demo:
        beside.append(DemoTwins(twins, panel, lambda: listed("", DEMO_ID), folder).run())
    return doors, beside


async def _foretelling(bus: Bus, twins: TwinService) -> None:
    """Answer what a move would do, for those who ask before they make it."""
    await bus.serve("foresight", "whatif", twins.foretell)
    await asyncio.Event().wait()
