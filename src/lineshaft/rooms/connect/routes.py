"""The doors of the room `connect`: sources and OPC UA servers. No logic: each asks the process
`connect` over the bus, or reads the list and the shown states."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from lineshaft.bus import Bus
from lineshaft.core.errors import Refused
from lineshaft.rooms.connect.board import SourceBoard
from lineshaft.rooms.connect.views import (
    BrowseAnswer,
    BrowseRequest,
    CertificateList,
    ProbeAnswer,
    SourceChange,
    SourceDraft,
    SourceList,
    SourceView,
)

__all__ = ["router"]

_ASK_S = 15.0
_BROWSE_S = 75.0
_NOT_FOUND = {"source.unknown", "certificate.unknown"}
_READ = {"x-right": "sources.read"}
_WRITE = {"x-right": "sources.write"}
_CERTIFICATES = {"x-right": "certificates.read"}
_TRUST = {"x-right": "certificates.write"}
SourceId = Annotated[str, Path(max_length=64)]


class Endpoint(BaseModel):
    """Which server."""

    endpoint: str = Field(description="opc.tcp://host:port", max_length=500)


class Thumbprint(BaseModel):
    """Which certificate."""

    thumbprint: str = Field(description="SHA-256 of the certificate, in hex", max_length=64)


def router(bus: Bus, board: SourceBoard) -> APIRouter:
    """Return the operations of this room."""
    doors = APIRouter()
    _add_sources(doors, bus, board)
    _add_opcua(doors, bus)
    return doors


async def _ask(bus: Bus, verb: str, body: Mapping[str, Any], timeout_s: float) -> Any:
    """Ask the process `connect`; what it does not know is not found here either."""
    try:
        return await bus.ask("connect", verb, body, timeout_s)
    except Refused as refused:
        if refused.code in _NOT_FOUND:
            refused.status = 404
        raise


def _add_sources(doors: APIRouter, bus: Bus, board: SourceBoard) -> None:
    @doors.get("/sources", response_model=SourceList, tags=["sources"],
               operation_id="list_sources", openapi_extra=_READ)  # fmt: skip
    async def list_sources() -> Any:
        """List the sources and how each is doing."""
        return {"sources": await asyncio.to_thread(board.sources)}

    @doors.post("/sources", response_model=SourceView, status_code=201, tags=["sources"],
                operation_id="add_source", openapi_extra=_WRITE)  # fmt: skip
    async def add_source(body: SourceDraft) -> Any:
        """Add a server as a source: it is browsed, its signals are listed, it starts."""
        made = await _ask(bus, "add", body.model_dump(), _BROWSE_S)
        return await asyncio.to_thread(board.source, made["id"])

    @doors.put("/sources/{source_id}", response_model=SourceView, tags=["sources"],
               operation_id="change_source", openapi_extra=_WRITE)  # fmt: skip
    async def change_source(source_id: SourceId, body: SourceChange) -> Any:
        """Change what is given of a source; the rest stays."""
        change = {**body.model_dump(exclude_unset=True), "id": source_id}
        await _ask(bus, "change", change, _BROWSE_S)
        return await asyncio.to_thread(board.source, source_id)

    @doors.delete("/sources/{source_id}", status_code=204, tags=["sources"],
                  operation_id="remove_source", openapi_extra=_WRITE)  # fmt: skip
    async def remove_source(source_id: SourceId) -> Response:
        """Remove a source; its signals and their history stay."""
        await _ask(bus, "remove", {"id": source_id}, _ASK_S)
        return Response(status_code=204)


def _add_opcua(doors: APIRouter, bus: Bus) -> None:
    @doors.post("/opcua/probe", response_model=ProbeAnswer, tags=["opcua"],
                operation_id="probe_server", openapi_extra=_WRITE)  # fmt: skip
    async def probe_server(body: Endpoint) -> Any:
        """Ask a server how it can be connected and which certificate it shows."""
        return await _ask(bus, "probe", body.model_dump(), _ASK_S)

    @doors.get("/opcua/certificates", response_model=CertificateList, tags=["opcua"],
               operation_id="list_certificates", openapi_extra=_CERTIFICATES)  # fmt: skip
    async def list_certificates() -> Any:
        """List servers' certificates, trusted and waiting, and our own."""
        return await _ask(bus, "certificates", {}, _ASK_S)

    @doors.post("/opcua/trust", status_code=204, tags=["opcua"],
                operation_id="trust_certificate", openapi_extra=_TRUST)  # fmt: skip
    async def trust_certificate(body: Thumbprint) -> Response:
        """Trust a certificate that waits; sources refused for it are tried again at once."""
        await _ask(bus, "trust", body.model_dump(), _ASK_S)
        return Response(status_code=204)

    @doors.post("/opcua/distrust", status_code=204, tags=["opcua"],
                operation_id="distrust_certificate", openapi_extra=_TRUST)  # fmt: skip
    async def distrust_certificate(body: Thumbprint) -> Response:
        """Trust a certificate no more."""
        await _ask(bus, "distrust", body.model_dump(), _ASK_S)
        return Response(status_code=204)

    @doors.post("/opcua/browse", response_model=BrowseAnswer, tags=["opcua"],
                operation_id="browse_server", openapi_extra=_WRITE)  # fmt: skip
    async def browse_server(body: BrowseRequest) -> Any:
        """Look round a server: its variables with names, units, ranges and present values."""
        return await _ask(bus, "browse", body.model_dump(), _BROWSE_S)
