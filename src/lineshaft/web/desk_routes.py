"""The doors of the desk: notes on charts, saved views."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.reader import FOREVER
from lineshaft.rooms.history.routes import Sids, parse_sids
from lineshaft.web.desk import URL, Desk, check_text, check_url

__all__ = ["desk_router"]

_MAX_SIDS = 100
Sid = Annotated[int, Field(ge=1, lt=2**31)]
Stamp = Annotated[int, Field(ge=0, lt=2**53, strict=True)]  # what a browser counts exactly
Number = Annotated[int, Path(ge=1, lt=2**31)]


class NoteDraft(BaseModel):
    """A remark on some signals over a time range."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    sids: list[Sid] = Field(min_length=1, max_length=_MAX_SIDS)
    start: Stamp = Field(alias="from", description="µs")
    stop: Stamp = Field(alias="to", description="µs; not before `from`")
    text: str = Field(min_length=1, max_length=2000)


class NoteChange(BaseModel):
    """What changes of a note; what is left out stays."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    sids: list[Sid] | None = Field(None, min_length=1, max_length=_MAX_SIDS)
    start: Stamp | None = Field(None, alias="from")
    stop: Stamp | None = Field(None, alias="to")
    text: str | None = Field(None, min_length=1, max_length=2000)


class NoteView(BaseModel):
    """A note, and who wrote it when (µs)."""

    model_config = ConfigDict(populate_by_name=True)

    id: int
    sids: list[int]
    start: int = Field(alias="from")
    stop: int = Field(alias="to")
    text: str
    author: str
    created: int
    edited: int | None


class NoteList(BaseModel):
    """Notes, oldest first."""

    notes: list[NoteView]


class ViewDraft(BaseModel):
    """A view to come back to."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    url: str = Field(min_length=2, max_length=2000, description="one of the console's own: #/…",
                     json_schema_extra={"pattern": f"^{URL}$"})  # fmt: skip
    shared: bool = Field(False, description="Whether everybody sees it")


class ViewChange(BaseModel):
    """What changes of a view; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=200)
    url: str | None = Field(None, min_length=2, max_length=2000)
    shared: bool | None = None


class SavedView(BaseModel):
    """A view that somebody keeps."""

    id: int
    name: str
    url: str
    owner: str
    shared: bool


class ViewList(BaseModel):
    """One's own views and the shared ones, by name."""

    views: list[SavedView]


def desk_router(desk: Desk) -> APIRouter:
    """Return the operations of the desk."""
    api = APIRouter(tags=["desk"])
    _add_notes(api, desk)
    _add_views(api, desk)
    return api


def _add_notes(api: APIRouter, desk: Desk) -> None:
    read, write = {"x-right": "notes.read"}, {"x-right": "notes.write"}

    @api.get("/notes", summary="Notes on signals in a time range", openapi_extra=read)
    async def list_notes(
        sid: Sids,
        start: Annotated[int, Query(alias="from", ge=0, le=FOREVER, description="µs")] = 0,
        to: Annotated[int, Query(ge=0, le=FOREVER, description="µs")] = FOREVER,
    ) -> NoteList:
        found = await asyncio.to_thread(desk.notes, parse_sids(sid), start, to)
        return NoteList(notes=[NoteView(**note) for note in found])

    @api.post("/notes", status_code=201, summary="Write a note", openapi_extra=write)
    async def add_note(body: NoteDraft, request: Request) -> NoteView:
        if body.start > body.stop:
            raise Refused("the note ends before it begins", code="note.range", status=422)
        content = body.model_dump() | {"text": check_text(body.text, "note")}
        return NoteView(**await asyncio.to_thread(desk.add_note, _who(request), content))

    @api.put("/notes/{number}", summary="Change a note", openapi_extra=write)
    async def change_note(number: Number, body: NoteChange, request: Request) -> NoteView:
        content = _given(body)
        if "text" in content:
            content["text"] = check_text(content["text"], "note")
        changed = await asyncio.to_thread(desk.change_note, number, _whose(request), content)
        return NoteView(**changed)

    @api.delete("/notes/{number}", status_code=204, summary="Remove a note", openapi_extra=write)
    async def remove_note(number: Number, request: Request) -> Response:
        await asyncio.to_thread(desk.remove_note, number, _whose(request))
        return Response(status_code=204)


def _add_views(api: APIRouter, desk: Desk) -> None:
    read, write = {"x-right": "views.read"}, {"x-right": "views.write"}

    @api.get("/views", summary="Saved views: one's own and the shared ones", openapi_extra=read)
    async def list_views(request: Request) -> ViewList:
        found = await asyncio.to_thread(desk.views, _who(request))
        return ViewList(views=[SavedView(**view) for view in found])

    @api.post("/views", status_code=201, summary="Save a view", openapi_extra=write)
    async def add_view(body: ViewDraft, request: Request) -> SavedView:
        content = _checked(body.model_dump())
        return SavedView(**await asyncio.to_thread(desk.add_view, _who(request), content))

    @api.put("/views/{number}", summary="Change a saved view", openapi_extra=write)
    async def change_view(number: Number, body: ViewChange, request: Request) -> SavedView:
        content = _checked(_given(body))
        changed = await asyncio.to_thread(desk.change_view, number, _whose(request), content)
        return SavedView(**changed)

    @api.delete("/views/{number}", status_code=204, summary="Remove a view", openapi_extra=write)
    async def remove_view(number: Number, request: Request) -> Response:
        await asyncio.to_thread(desk.remove_view, number, _whose(request))
        return Response(status_code=204)


def _given(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(exclude_none=True)


def _checked(content: dict[str, Any]) -> dict[str, Any]:
    if "name" in content:
        content["name"] = check_text(content["name"], "name")
    if "url" in content:
        check_url(content["url"])
    return content


def _who(request: Request) -> str:
    return str(request.scope["state"]["session"].user)


def _whose(request: Request) -> str | None:
    """Return whose notes and views the caller may change; None: everybody's."""
    session = request.scope["state"]["session"]
    role = getattr(session, "role", session.user)
    return None if role == "administrator" else str(session.user)
