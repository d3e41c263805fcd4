"""The doors of calculated signals."""

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from lineshaft.rooms.history.calculations import Calculations, Draft, Listed
from lineshaft.rooms.history.engine.expression import MAX_LENGTH, Wrong
from lineshaft.rooms.history.reader import FOREVER
from lineshaft.rooms.history.routes import answer_json, time_range

__all__ = ["router"]

_READ: Final = {"x-right": "calculations.read"}
_WRITE: Final = {"x-right": "calculations.write"}
_Stamp = Annotated[int, Field(ge=0, le=FOREVER)]
_Expression = Annotated[str, Field(max_length=MAX_LENGTH, description="see the page Calculate")]
Number = Annotated[str, Path(max_length=40, description="id")]
_Unit = Annotated[
    str | None, Field(max_length=64, description="UCUM code of the result; null: what comes out")
]


class CalculationDraft(BaseModel):
    """A calculated signal as a person writes it."""

    path: str = Field(max_length=800, description="enterprise/site/area/line/machine/signal")
    name: str = Field("", max_length=1000)
    expression: _Expression
    unit: _Unit = None
    enabled: bool = True


class CalculationChange(CalculationDraft):
    """A calculated signal as it shall be; `revision` is the one that was looked at."""

    revision: int = Field(ge=1, le=2**31 - 1)


class BackfillView(BaseModel):
    """A range being computed again."""

    model_config = {"populate_by_name": True}

    start: int = Field(alias="from")
    to: int
    path: str = Field(description="which calculation is being computed; dependents follow")
    done: int = Field(description="up to which stamp (µs) that is done")
    state: str = Field(description="running, done or failed")
    message: str
    changed: int = Field(description="how many outputs were not there or were others")


class CalculationView(BaseModel):
    """A calculated signal and how it is doing."""

    id: str
    sid: int
    path: str
    name: str
    expression: str
    unit: str
    enabled: bool
    revision: int
    since: int = Field(description="from which stamp (µs) on this revision holds")
    state: str = Field(description="starting, running, waiting, wrong or disabled")
    message: str = Field(description="what is the matter; empty where nothing is")
    late: int = Field(description="input samples that came too late for it since it started")
    inputs: list[int] = Field(description="sids of the signals it takes")
    backfill: BackfillView | None


class CalculationList(BaseModel):
    """Calculated signals, by path."""

    calculations: list[CalculationView]


class CheckRequest(BaseModel):
    """An expression to look at."""

    expression: _Expression
    unit: _Unit = None


class CheckInput(BaseModel):
    """A signal that an expression takes."""

    sid: int
    path: str
    unit: str


class Problem(BaseModel):
    """A mistake; `column` counts from 1."""

    column: int
    message: str


class CheckAnswer(BaseModel):
    """What an expression means."""

    ok: bool
    unit: str = Field(description="unit of the result, a UCUM code")
    kind: str = Field(description="float or bool")
    inputs: list[CheckInput]
    problems: list[Problem]


class PreviewRequest(BaseModel):
    """An expression to draw."""

    model_config = {"populate_by_name": True}

    expression: _Expression
    unit: _Unit = None
    start: _Stamp = Field(alias="from")
    to: _Stamp
    px: int = Field(1000, ge=1, le=20_000)


class PreviewAnswer(BaseModel):
    """The points that draw an expression."""

    unit: str
    ts: list[int]
    v: list[float | None]
    q: list[int]


class BackfillRequest(BaseModel):
    """A range to compute again."""

    model_config = {"populate_by_name": True}

    start: _Stamp = Field(alias="from")
    to: _Stamp


def router(calculations: Calculations) -> APIRouter:
    """Return the operations."""
    api = APIRouter(tags=["calculations"])

    @api.get("/calculations", summary="Calculated signals and how they are doing",
             openapi_extra=_READ)  # fmt: skip
    async def list_calculations() -> CalculationList:
        return CalculationList(calculations=[_view(one) for one in await calculations.list()])

    @api.post("/calculations", summary="Define a calculated signal", status_code=201,
              openapi_extra=_WRITE)  # fmt: skip
    async def add_calculation(body: CalculationDraft) -> CalculationView:
        return _view(await calculations.add(Draft(**body.model_dump())))

    @api.put("/calculations/{number}", summary="Change a calculated signal from now on",
             openapi_extra=_WRITE)  # fmt: skip
    async def change_calculation(number: Number, body: CalculationChange) -> CalculationView:
        draft = Draft(**body.model_dump(exclude={"revision"}))
        return _view(await calculations.change(number, draft, body.revision))

    @api.delete("/calculations/{number}", summary="Forget a calculated signal; its samples stay",
                status_code=204, openapi_extra=_WRITE)  # fmt: skip
    async def remove_calculation(number: Number) -> Response:
        await calculations.remove(number)
        return Response(status_code=204)

    @api.post("/calculations/{number}/backfill", status_code=202, openapi_extra=_WRITE,
              summary="Compute a range again, and what depends on it")  # fmt: skip
    async def backfill_calculation(number: Number, body: BackfillRequest) -> BackfillView:
        return BackfillView(**asdict(calculations.backfill(number, body.start, body.to)))

    _add_looks(api, calculations)
    return api


def _add_looks(api: APIRouter, calculations: Calculations) -> None:
    @api.post("/calculations/check", summary="Say what an expression means", openapi_extra=_READ)
    async def check_expression(body: CheckRequest) -> CheckAnswer:
        found = await calculations.check(body.expression, body.unit)
        if isinstance(found, Wrong):
            problem = Problem(column=found.column, message=found.plain)
            return CheckAnswer(ok=False, unit="", kind="", inputs=[], problems=[problem])
        inputs = [CheckInput(sid=s.sid, path=s.path, unit=s.unit) for s in found.inputs]
        return CheckAnswer(
            ok=True, unit=found.unit, kind=found.kind.value, inputs=inputs, problems=[]
        )

    @api.post("/calculations/preview", summary="Draw an expression over a range",
              response_model=PreviewAnswer, openapi_extra=_READ)  # fmt: skip
    async def preview_expression(body: PreviewRequest) -> Response:
        program, points = await calculations.preview(
            body.expression, body.unit, *time_range(body.start, body.to), body.px
        )
        content = {"unit": program.unit, "ts": points.ts, "v": points.v, "q": points.q}
        return answer_json(content)


def _view(one: Listed) -> CalculationView:
    backfill = BackfillView(**asdict(one.backfill)) if one.backfill else None
    inputs = [signal.sid for signal in one.inputs]
    known: dict[str, Any] = asdict(one.calculation)
    del known["meant"]
    return CalculationView(**known, state=one.state, message=one.message, late=one.late,
                           inputs=inputs, backfill=backfill)  # fmt: skip
