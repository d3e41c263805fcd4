"""The doors of imports and exports."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.sheet_form import Form
from lineshaft.rooms.history.exports import ExportRequest, Exports
from lineshaft.rooms.history.imports import Imports
from lineshaft.rooms.history.reader import FOREVER

__all__ = ["router"]

_READ = {"x-right": "imports.read"}
_WRITE = {"x-right": "imports.write"}
_OUT_READ = {"x-right": "exports.read"}
_OUT_WRITE = {"x-right": "exports.write"}
Number = Annotated[int, Path(ge=1, lt=2**31, description="id")]


class Brief(BaseModel):
    """An import and how far it is."""

    id: int
    name: str = Field(description="name of the file")
    size: int = Field(description="bytes of the file")
    state: str = Field(description="checking, waiting, running, paused, done or failed")
    note: str = Field(description="what it waits for, or why it failed; empty where all is well")
    problems: int = Field(description="cells that cannot be stored")
    skip_problems: bool = Field(description="whether such cells are left out")
    rows: int = Field(description="rows read so far")
    rows_total: int = Field(description="rows of the file; 0 until it is checked")
    samples: int = Field(description="samples put on the bus so far")
    rate: float = Field(description="samples a second at present")
    created: int = Field(description="µs UTC")
    started: int = Field(description="µs UTC; 0 where not started")
    finished: int = Field(description="µs UTC; 0 where not finished")


class Imported(Brief):
    """An import with its form and what its check has found."""

    form: Form | None = Field(description="how the file is read; guessed where none was given")
    summary: dict[str, Any] | None = Field(
        description="rows, samples, first and last stamp, signals, problems with their lines, and"
        " the first samples as they would be stored"
    )


class ImportList(BaseModel):
    """Imports, newest first."""

    imports: list[Brief]


class FormBody(BaseModel):
    """How a file is to be read."""

    form: Form


class StartBody(BaseModel):
    """How to begin."""

    skip_problems: bool = Field(False, description="leave out what cannot be stored")


class ExportForm(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"
    DELTA = "delta"


class Layout(StrEnum):
    """One line a sample, or one column a signal."""

    LONG = "long"
    WIDE = "wide"


class ExportBody(BaseModel):
    """What to export."""

    model_config = ConfigDict(populate_by_name=True)

    sids: list[Annotated[int, Field(gt=0, lt=2**31)]] = Field([], max_length=100_000)
    prefix: str = Field("", max_length=800, description="signals below this path; empty: all")
    start: int | None = Field(None, alias="from", ge=0, le=FOREVER, description="µs UTC")
    to: int | None = Field(None, ge=0, le=FOREVER, description="µs UTC, not included")
    form: ExportForm = ExportForm.CSV
    layout: Layout = Layout.LONG
    folder: bool = Field(False, description="a Parquet file a day, in folders day=YYYY-MM-DD")
    as_of: int | None = Field(None, ge=0, le=FOREVER, description="the rows as they were when this"
                              " `seq` was the newest; default: now")  # fmt: skip


class ExportFile(BaseModel):
    """A file of an export."""

    name: str
    size: int


class Exported(BaseModel):
    """An export and how far it is."""

    id: int
    state: str = Field(description="running, done or failed")
    note: str = Field(description="why it failed, or what it lacks")
    request: dict[str, Any]
    as_of: int | None = Field(description="the cut: all files hold the rows as of this `seq`")
    days: int = Field(description="days of the range; 0 until it has begun")
    days_done: int
    rows: int = Field(description="lines written so far")
    files: list[ExportFile]
    created: int
    finished: int
    expires: int | None = Field(description="when its files will be deleted, µs UTC")


class ExportList(BaseModel):
    """Exports, newest first."""

    exports: list[Exported]


def router(imports: Imports, exports: Exports) -> APIRouter:
    """Return the operations of imports and exports."""
    api = APIRouter(tags=["exchange"])
    _add_imports(api, imports)
    _add_steps(api, imports)
    _add_exports(api, exports)
    return api


def _add_imports(api: APIRouter, imports: Imports) -> None:
    @api.post(
        "/imports", summary="Upload a file and check it", openapi_extra={
            **_WRITE, "requestBody": {"required": True, "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        },
    )  # fmt: skip
    async def upload_import(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=300, description="name of the file")],
    ) -> Imported:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused("the upload is compressed", hint="Send the file as it is",
                          code="import.kind", status=415)  # fmt: skip
        plain = FilePath(name.replace("\\", "/").replace("\0", "")).name or "file"
        return Imported(**await imports.receive(plain, request.stream()))

    @api.get("/imports", summary="Imports, newest first", openapi_extra=_READ)
    async def list_imports() -> ImportList:
        return ImportList(imports=[Brief(**one) for one in await imports.all()])

    @api.get("/imports/{id}", summary="One import", openapi_extra=_READ)
    async def get_import(id: Number) -> Imported:
        return Imported(**await imports.one(id))

    @api.delete("/imports/{id}", summary="Forget an import and its file", status_code=204,
                openapi_extra=_WRITE)  # fmt: skip
    async def delete_import(id: Number) -> Response:
        await imports.remove(id)
        return Response(status_code=204)


def _add_steps(api: APIRouter, imports: Imports) -> None:
    @api.post("/imports/{id}/check", summary="Check again, by this form", openapi_extra=_WRITE)
    async def check_import(id: Number, body: FormBody) -> Imported:
        return Imported(**await imports.check(id, asdict(body.form)))

    @api.post("/imports/{id}/start", summary="Confirm and begin", openapi_extra=_WRITE)
    async def start_import(id: Number, body: StartBody) -> Imported:
        return Imported(**await imports.start(id, skip_problems=body.skip_problems))

    @api.post("/imports/{id}/pause", summary="Pause", openapi_extra=_WRITE)
    async def pause_import(id: Number) -> Imported:
        return Imported(**await imports.pause(id))

    @api.post("/imports/{id}/resume", summary="Go on", openapi_extra=_WRITE)
    async def resume_import(id: Number) -> Imported:
        return Imported(**await imports.resume(id))

    @api.post("/imports/{id}/cancel", summary="End it; what is stored stays", openapi_extra=_WRITE)
    async def cancel_import(id: Number) -> Imported:
        return Imported(**await imports.cancel(id))


def _add_exports(api: APIRouter, exports: Exports) -> None:
    @api.post("/exports", summary="Write signals into files", openapi_extra=_OUT_WRITE)
    async def start_export(body: ExportBody) -> Exported:
        request = ExportRequest(body.sids, body.prefix, body.start, body.to, body.form.value,
                                body.layout.value, body.folder, body.as_of)  # fmt: skip
        return Exported(**await exports.ask(request))

    @api.get("/exports", summary="Exports, newest first", openapi_extra=_OUT_READ)
    async def list_exports() -> ExportList:
        return ExportList(exports=[Exported(**one) for one in await exports.all()])

    @api.get("/exports/{id}", summary="One export", openapi_extra=_OUT_READ)
    async def get_export(id: Number) -> Exported:
        return Exported(**await exports.one(id))

    @api.get("/exports/{id}/files/{name:path}", summary="A file of an export, or a range of it",
             response_class=FileResponse, openapi_extra=_OUT_READ)  # fmt: skip
    async def get_export_file(id: Number, name: str) -> FileResponse:
        path = await exports.file(id, name)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    @api.delete("/exports/{id}", summary="End an export and delete its files", status_code=204,
                openapi_extra=_OUT_WRITE)  # fmt: skip
    async def delete_export(id: Number) -> Response:
        await exports.remove(id)
        return Response(status_code=204)
