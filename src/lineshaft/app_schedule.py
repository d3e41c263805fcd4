"""The composition root's part for schedules: their doors, and what runs beside them."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import APIRouter

    from lineshaft.app import Ground
    from lineshaft.records import Engine

__all__ = ["schedule_doors"]


def schedule_doors(
    ground: "Ground", engine: "Engine"
) -> "tuple[APIRouter, list[Coroutine[Any, Any, None]]]":
    """Return the doors of schedules, and what keeps answers ready and runs the demo's shop."""
    from lineshaft.rooms.decide.schedule.demo import DemoShop
    from lineshaft.rooms.decide.schedule.routes import router
    from lineshaft.rooms.decide.schedule.service import ScheduleService
    from lineshaft.rooms.decide.schedule.store import ScheduleStore

    service = ScheduleService(ScheduleStore(engine), ground.bus)
    beside = [service.run()]
    if ground.plan.demo:
        beside.append(DemoShop(service).run())
    return router(service), beside
