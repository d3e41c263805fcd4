"""The doors of drafts: twins proposed from a connected machine."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from lineshaft.rooms.twins.drafts import DraftRun, DraftService, twin_body
from lineshaft.rooms.twins.routes import TwinDraft

__all__ = ["add_drafts", "draft_router"]

_WRITE: Final = {"x-right": "twins.write"}
_FOREVER: Final = 1 << 53
_Stamp = Annotated[int, Field(ge=0, le=_FOREVER)]
_LONGEST_S: Final = 300.0


class DraftRequest(BaseModel):
    """What to draft twins of: the machine below a path, or all of a source. The period (µs UTC) is
    the newest six hours of its samples where none is given."""

    model_config = {"populate_by_name": True}

    machine: str = Field("", max_length=700, description="enterprise/site/area/line/machine")
    source: str = Field("", max_length=64)
    start: _Stamp | None = Field(None, alias="from")
    to: _Stamp | None = None
    wait_s: float = Field(
        120, ge=0, le=_LONGEST_S,
        description="how long to wait for the drafts; what is there by then is the answer",
    )  # fmt: skip


class DraftField(BaseModel):
    """One line of a draft, to be accepted, changed or left: name, class, behaviour, clock,
    inputs.PORT and outputs.PORT (sids), parameters.NAME, signals.SID.unit, .low and .high."""

    name: str
    value: str | float
    unit: str
    confidence: float = Field(ge=0, le=1, description="from the samples; 1 is sure")
    why: str
    reason: str = Field(description="code of `why`")
    figures: dict[str, str | float] = Field(description="figures of `why`; shares are in [0, 1]")


class DraftView(BaseModel):
    """A twin proposed; `twin` is all of it as POST /twins takes it."""

    confidence: float = Field(description="how sure its behaviour is, beside all others")
    told: float = Field(description="share of the movement foretold where it did not learn")
    twin: TwinDraft
    fields: list[DraftField]


class DraftAnswer(BaseModel):
    """Drafts, the surest first, or how far the work on them is."""

    id: str
    machine: str
    start: int = Field(description="of the period, µs UTC")
    to: int
    state: str = Field(description="looking, fitting or done")
    done: int = Field(description="candidates fitted")
    total: int = Field(description="candidates there are")
    drafts: list[DraftView]


def draft_router(drafts: DraftService) -> APIRouter:
    """Return the operations."""
    return add_drafts(APIRouter(tags=["twins"]), drafts)


def add_drafts(api: APIRouter, drafts: DraftService) -> APIRouter:
    """Add the operations to a router, and return it."""

    @api.post("/twins/draft", summary="Propose twins of a connected machine", openapi_extra=_WRITE)
    async def draft_twins(body: DraftRequest) -> DraftAnswer:
        begun = await drafts.begin(body.machine, body.source, body.start, body.to)
        return _answer(await drafts.get(begun.id, body.wait_s))

    @api.get("/twins/draft/{number}", summary="Drafts, once they are done", openapi_extra=_WRITE)
    async def get_draft(
        number: Annotated[str, Path(max_length=40, description="id of the draft")],
        wait_s: Annotated[float, Query(ge=0, le=_LONGEST_S, description="how long to wait")] = 0,
    ) -> DraftAnswer:
        return _answer(await drafts.get(number, wait_s))

    return api


def _answer(run: DraftRun) -> DraftAnswer:
    shown: list[dict[str, Any]] = [
        {**one, "twin": twin_body(one["twin"])} for one in run.drafts
    ]  # fmt: skip
    return DraftAnswer(
        id=run.id, machine=run.base, start=run.start, to=run.end, state=run.state, done=run.done,
        total=run.total, drafts=[DraftView.model_validate(one) for one in shown],
    )  # fmt: skip
