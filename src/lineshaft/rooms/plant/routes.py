"""The doors of the room `plant`: the list of signals, its edits, its CSV sheet."""

import asyncio
import tempfile
from enum import StrEnum
from typing import IO, Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lineshaft.core.errors import Refused
from lineshaft.rooms.plant.service import PlantService
from lineshaft.rooms.plant.sheets import MAX_BYTES

__all__ = ["router"]

_IN_MEMORY = 4_000_000
_READ = {"x-right": "signals.read"}
_WRITE = {"x-right": "signals.write"}
_SHEET = {
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
}


class Form(StrEnum):
    """How a list is handed out: one object a signal, or one list a field."""

    ROWS = "rows"
    COLUMNS = "columns"


class SignalView(BaseModel):
    """One signal of the list."""

    sid: int = Field(description="Number of the signal; never reused, kept when it is renamed")
    path: str = Field(description="enterprise/site/area/line/machine/signal")
    name: str = Field(description="Name as its machine gives it, or a person")
    kind: str = Field(description="What its values are: float, int, bool or string")
    unit: str = Field(description="UCUM code, or the machine's own text; see `unit_note`")
    unit_note: str = Field(description="What is odd about the unit; empty where nothing is")
    low: float | None = Field(description="Low end of the engineering range, in `unit`")
    high: float | None = Field(description="High end of the engineering range, in `unit`")
    limit_low: float | None = Field(description="Low normal operating limit, in `unit`")
    limit_high: float | None = Field(description="High normal operating limit, in `unit`")
    period_ms: int | None = Field(description="How often a value is expected, where known")
    source: str = Field(description="Id of the source that feeds it")
    writable: bool = Field(description="Whether its machine lets it be written")
    decimals: int | None = Field(description="Digits after the point worth showing, where known")
    description: str = Field(description="Description as its machine gives it, or a person")
    revision: int = Field(description="Grows with every change; an edit names the one it saw")
    declared: dict[str, Any] = Field(
        description="What its source says of the fields that a person wrote; theirs stay"
    )


class SignalList(BaseModel):
    """Signals, by path."""

    signals: list[SignalView] = Field(description="The signals, by path")


class SignalChange(BaseModel):
    """What a person writes of a signal; fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    revision: int = Field(ge=0, le=2**31, description="The revision that the person saw")
    path: str | None = Field(None, max_length=800)
    name: str | None = Field(None, max_length=1000)
    unit: str | None = Field(None, max_length=64, description="Only where none is known yet")
    low: float | None = None
    high: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    decimals: int | None = Field(None, ge=0, le=15)
    period_ms: int | None = Field(None, ge=1, le=2**31)
    description: str | None = Field(None, max_length=1000)


class FieldChanges(BaseModel):
    """One signal that a sheet changes: the fields that differ, before and after."""

    sid: int
    path: str
    revision: int
    before: dict[str, Any]
    after: dict[str, Any]


class Trouble(BaseModel):
    """A line of a sheet that cannot be taken, and why."""

    line: int
    sid: int | None
    reason: str


class SheetVerdict(BaseModel):
    """What a sheet changes; counts are whole, lists hold the first."""

    applied: bool = Field(description="Whether it was changed; false for a dry run")
    token: str | None = Field(description="Confirms this; null where a line is bad or clashes")
    lines: int
    changed: int = Field(description="Signals that differ")
    changes: list[FieldChanges] = Field(description="The first 5,000 of them")
    bad_count: int = Field(description="Lines that cannot be read")
    bad_lines: list[Trouble]
    unknown_count: int = Field(description="Lines without a signal here; they are left out")
    unknown_lines: list[Trouble]
    conflict_count: int = Field(description="Lines that clash with what there is")
    conflict_lines: list[Trouble]


class SignalColumns(BaseModel):
    """Signals, by path, as columns."""

    signals: dict[str, list[Any]] = Field(description="a list a field, all of one length")


Prefix = Annotated[str, Query(description="Only signals below this path", max_length=800)]
Source = Annotated[str, Query(description="Only signals of this source", max_length=64)]


def router(service: PlantService) -> APIRouter:
    """Return the operations of this room."""
    doors = APIRouter(tags=["plant"])
    _add_lists(doors, service)
    _add_edits(doors, service)
    return doors


def _add_lists(doors: APIRouter, service: PlantService) -> None:
    @doors.get("/signals", response_model=SignalList | SignalColumns, openapi_extra=_READ,
               operation_id="list_signals")  # fmt: skip
    def list_signals(
        prefix: Prefix = "", source: Source = "", format: Form = Form.ROWS
    ) -> Response:
        """List the signals there are."""
        if format == Form.COLUMNS:
            body = service.columns(prefix, source)
        else:
            body = orjson.dumps({"signals": service.signals(prefix, source)})
        return Response(body, media_type="application/json")

    @doors.get("/signals.csv", openapi_extra=_READ, response_class=StreamingResponse,
               responses={200: {"content": {"text/csv": {}}}})  # fmt: skip
    def export_signals(prefix: Prefix = "", source: Source = "") -> StreamingResponse:
        """Hand out the list of signals as CSV; texts cannot become formulas."""
        name = {"Content-Disposition": 'attachment; filename="signals.csv"'}
        return StreamingResponse(
            service.sheet(prefix, source), media_type="text/csv; charset=utf-8", headers=name
        )


def _add_edits(doors: APIRouter, service: PlantService) -> None:
    @doors.put("/signals/{sid}", response_model=SignalView, openapi_extra=_WRITE)
    async def change_signal(
        sid: Annotated[int, Path(ge=1, lt=2**31)], body: SignalChange, request: Request
    ) -> Response:
        """Edit a signal as it was seen; refused where it was changed meanwhile."""
        wanted = body.model_dump(exclude_unset=True, exclude={"revision"})
        for name in ("path", "name", "unit", "description"):
            if wanted.get(name, "") is None:
                raise Refused(f"{name} is a text", hint="Leave it out to keep it",
                              code="signal.text", status=422)  # fmt: skip
        changed = await service.change(sid, body.revision, wanted, _who(request))
        return Response(orjson.dumps(changed), media_type="application/json")

    @doors.post("/signals/import", response_model=SheetVerdict, openapi_extra=_WRITE | _SHEET)
    async def import_signals(
        request: Request,
        dry_run: Annotated[bool, Query(description="Only say what would change")] = False,
        token: Annotated[str, Query(description="From the dry run", max_length=80)] = "",
    ) -> Response:
        """Edit signals by a CSV sheet: first a dry run, then the same sheet with its token."""
        if dry_run == bool(token):
            raise Refused("a sheet is looked at with dry_run, then taken with its token",
                          hint="Send dry_run=true or token=…, not both", code="sheet.token",
                          status=422)  # fmt: skip
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            await _receive(request, file)
            verdict = await service.take_sheet(file, token, _who(request))
        return Response(orjson.dumps(verdict), media_type="application/json")


async def _receive(request: Request, file: IO[bytes]) -> None:
    """Write the request's body to a file; refuse one that is too large before it is whole."""
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BYTES:
            raise Refused(f"the sheet has more than {MAX_BYTES // 1_000_000} MB",
                          hint="Cut it in two", code="sheet.size", status=413)  # fmt: skip
        await asyncio.to_thread(file.write, piece)
    file.seek(0)


def _who(request: Request) -> str:
    return str(request.scope["state"]["session"].user)
