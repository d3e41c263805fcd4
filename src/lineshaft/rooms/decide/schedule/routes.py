"""The doors of schedules."""

from dataclasses import asdict
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Response

from lineshaft.rooms.decide.schedule.chart import Chart, chart_of
from lineshaft.rooms.decide.schedule.forms import (
    AdoptRequest,
    Breakdown,
    CostView,
    Gantt,
    ProgressView,
    ScheduleList,
    ScheduleView,
    ShopForm,
    SolveRequest,
    VersionList,
    VersionView,
)
from lineshaft.rooms.decide.schedule.model import Cost
from lineshaft.rooms.decide.schedule.service import Progress, ScheduleService
from lineshaft.rooms.decide.schedule.store import Planned

__all__ = ["router"]

_READ: Final = {"x-right": "schedules.read"}
_WRITE: Final = {"x-right": "schedules.write"}
_REPORT: Final = {"x-right": "schedules.report"}
_Number = Annotated[str, Path(max_length=40, description="id")]


def router(schedules: ScheduleService) -> APIRouter:
    """Return the operations."""
    api = APIRouter(tags=["schedules"])

    def view(plan: Planned) -> ScheduleView:
        return _view(plan, schedules.now(plan), schedules.progress.get(plan.id))

    @api.get("/schedules", summary="Plans and how they are doing", openapi_extra=_READ)
    async def list_schedules() -> ScheduleList:
        return ScheduleList(schedules=[view(plan) for plan in await schedules.all()])

    @api.post("/schedules", summary="Plan a shop", status_code=201, openapi_extra=_WRITE)
    async def add_schedule(body: ShopForm) -> ScheduleView:
        return view(await schedules.add(body.model_dump()))

    @api.get("/schedules/{number}", summary="One plan", openapi_extra=_READ)
    async def get_schedule(number: _Number) -> ScheduleView:
        return view(await schedules.get(number))

    @api.delete("/schedules/{number}", summary="Forget a plan", status_code=204,
                openapi_extra=_WRITE)  # fmt: skip
    async def remove_schedule(number: _Number) -> Response:
        await schedules.remove(number)
        return Response(status_code=204)

    @api.post("/schedules/{number}/solve", summary="Search for a better schedule",
              status_code=202, openapi_extra=_WRITE)  # fmt: skip
    async def solve_schedule(number: _Number, body: SolveRequest) -> ScheduleView:
        return view(await schedules.solve(number, body.seconds, body.seed, adopts=body.adopt))

    @api.post("/schedules/{number}/stop", summary="End the search; what it found stays proposed",
              openapi_extra=_WRITE)  # fmt: skip
    async def stop_schedule(number: _Number) -> ScheduleView:
        schedules.stop(number)
        return view(await schedules.get(number))

    @api.post("/schedules/{number}/adopt", summary="Put what is proposed in force",
              openapi_extra=_WRITE)  # fmt: skip
    async def adopt_schedule(number: _Number, body: AdoptRequest) -> ScheduleView:
        return view(await schedules.adopt(number, revision=body.revision))

    @api.post("/schedules/{number}/breakdown", openapi_extra=_REPORT,
              summary="Take a machine out; the schedule is repaired at once")  # fmt: skip
    async def break_down(number: _Number, body: Breakdown) -> ScheduleView:
        return view(await schedules.breakdown(number, body.machine, body.minutes, body.start))

    _add_views(api, schedules)
    return api


def _add_views(api: APIRouter, schedules: ScheduleService) -> None:
    @api.get("/schedules/{number}/versions", summary="What held, the newest first",
             openapi_extra=_READ)  # fmt: skip
    async def list_versions(number: _Number) -> VersionList:
        found = await schedules.versions(number)
        return VersionList(versions=[
            VersionView(at=one.at, why=one.why, method=one.schedule.method,
                        cost=_cost(one.schedule.cost)) for one in found
        ])  # fmt: skip

    @api.get("/schedules/{number}/gantt", summary="A schedule as a chart", openapi_extra=_READ)
    async def gantt(number: _Number, which: Literal["adopted", "proposal"] = "adopted") -> Gantt:
        plan = await schedules.get(number)
        return _gantt(chart_of(plan, which, schedules.now(plan)))


def _gantt(chart: Chart) -> Gantt:
    return Gantt.model_validate(asdict(chart))


def _cost(cost: Cost) -> CostView:
    return CostView(**asdict(cost))


def _known(cost: Cost | None) -> CostView | None:
    return None if cost is None else _cost(cost)


def _progress(one: Progress) -> ProgressView:
    return ProgressView(
        seconds=one.seconds, at=[at for at, _ in one.points], cost=[c for _, c in one.points],
        first=_known(one.first), last=_known(one.last), steps=one.steps,
        done=one.done, proved=one.proved, problem=one.problem,
    )  # fmt: skip


def _view(plan: Planned, now: int, progress: Progress | None) -> ScheduleView:
    held = plan.adopted or plan.proposal
    end = max((row.end for row in held.rows), default=0) if held else 0
    state = "proposed" if plan.adopted is None else ("running" if now < end else "over")
    return ScheduleView(
        id=plan.id, name=plan.name, kind=plan.kind, revision=plan.revision, state=state,
        orders=len(plan.shop.orders),
        operations=sum(len(order.operations) for order in plan.shop.orders),
        machines=[one.id for one in plan.shop.machines], now=now, speed=plan.clock.speed,
        adopted=_known(plan.adopted.cost if plan.adopted else None),
        proposal=_known(plan.proposal.cost if plan.proposal else None),
        method=held.method if held else "",
        progress=None if progress is None else _progress(progress),
    )  # fmt: skip
