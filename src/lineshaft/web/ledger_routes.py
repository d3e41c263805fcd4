"""The doors of the ledger: checkpoints, entries, proofs, bundles, and its key.

Rules: what is shown is of the newest checkpoint. The words of audited calls are shown to those who
may read the audit; anybody else gets their leaves alone, so that the tree can be checked.
"""

import base64
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from lineshaft.core.errors import Refused
from lineshaft.core.facts import AUDIT_KINDS
from lineshaft.ledger.bundle import item_of
from lineshaft.ledger.log import MOST_ENTRIES, Signed
from lineshaft.ledger.service import EvidenceService
from lineshaft.web.guard import passage_of

__all__ = ["ledger_router"]

_READ: Final = {"x-right": "ledger.read"}
_MOST: Final = (1 << 53) - 1
_BUNDLE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/zip": {}}}}

Size = Annotated[int, Query(ge=1, le=_MOST, description="a number of entries")]
Start = Annotated[
    int | None, Query(alias="from", ge=0, le=_MOST, description="first entry, from 0")
]
End = Annotated[int | None, Query(alias="to", ge=0, le=_MOST, description="entry after the last")]


class CheckpointView(BaseModel):
    """A signed checkpoint: the tree of all entries at a time."""

    origin: str = Field(description="the log's name, made with its first key")
    size: int = Field(description="entries")
    root: str = Field(description="root of the tree (RFC 6962), base64")
    at: int
    key_id: str
    key: str = Field(description="the public key that signed: NAME+ID+BASE64")
    text: str = Field(description="the checkpoint as it is signed (C2SP tlog-checkpoint)")


class EntryView(BaseModel):
    """An entry: its canonical JSON, its leaf, and the audit path where that was asked for."""

    index: int
    leaf: str = Field(description="SHA-256 of a zero byte and the entry, base64")
    entry: str | None = Field(description="canonical JSON; null where you may not read it")
    proof: list[str] = Field(description="audit path to the checkpoint's root, lowest first")


class EntryList(BaseModel):
    """Entries in order."""

    checkpoint: CheckpointView
    entries: list[EntryView]


class FactProof(BaseModel):
    """A Fact's entry and its proof."""

    checkpoint: CheckpointView
    entry: EntryView


class ConsistencyView(BaseModel):
    """The proof that the tree of `second` entries begins with that of `first`."""

    first: int
    second: int
    first_root: str
    second_root: str
    proof: list[str]


class KeyView(BaseModel):
    """A public key."""

    key: str


def ledger_router(evidence: EvidenceService) -> APIRouter:
    """Return the operations of the ledger."""
    api = APIRouter(tags=["ledger"])
    _add_reads(api, evidence)
    _add_export(api, evidence)

    @api.post("/ledger/key", summary="Enter a new key, signed by the one in force",
              openapi_extra={"x-right": "ledger.admin"})  # fmt: skip
    async def change_ledger_key() -> KeyView:
        return KeyView(key=await evidence.change_key())

    return api


def _add_reads(api: APIRouter, evidence: EvidenceService) -> None:
    @api.get("/ledger/checkpoint", summary="The newest checkpoint", openapi_extra=_READ)
    async def ledger_checkpoint() -> CheckpointView:
        return _checkpoint(await evidence.newest())

    @api.get("/ledger/entries", summary="Entries, in order", openapi_extra=_READ)
    async def ledger_entries(
        request: Request, start: Start = 0, limit: Annotated[int, Query(ge=1, le=5000)] = 100
    ) -> EntryList:
        signed, found = await evidence.entries(start or 0, limit)
        hidden = _hidden(request)
        views = [EntryView(**item_of(one, hidden)) for one in found]
        return EntryList(checkpoint=_checkpoint(signed), entries=views)

    @api.get("/ledger/proof", summary="A Fact's entry, and its proof", openapi_extra=_READ)
    async def ledger_proof(
        request: Request,
        fact: Annotated[str, Query(min_length=1, max_length=64, description="id of a Fact")],
    ) -> FactProof:
        signed, found = await evidence.proof(fact)
        item = EntryView(**item_of(found, _hidden(request)))
        return FactProof(checkpoint=_checkpoint(signed), entry=item)

    @api.get("/ledger/consistency", summary="The proof that nothing before was rewritten",
             openapi_extra=_READ)  # fmt: skip
    async def ledger_consistency(
        first: Annotated[int, Query(alias="from", ge=1, le=_MOST, description="earlier size")],
        second: Annotated[int, Query(alias="to", ge=1, le=_MOST, description="later size")],
    ) -> ConsistencyView:
        old, new, proof = await evidence.consistency(first, second)
        return ConsistencyView(first=first, second=second, first_root=_b64(old),
                               second_root=_b64(new), proof=[_b64(p) for p in proof])  # fmt: skip


def _add_export(api: APIRouter, evidence: EvidenceService) -> None:
    @api.get("/ledger/export", summary="Evidence in one file, with its verifier",
             response_class=Response, responses=_BUNDLE, openapi_extra=_READ)  # fmt: skip
    async def ledger_export(
        request: Request, start: Start = None, to: End = None,
        fact: Annotated[
            str, Query(max_length=20_000, description="ids of Facts, by commas, instead of a range")
        ] = "",
        since: Annotated[
            int | None, Query(ge=1, le=_MOST, description="size of an earlier tree to prove")
        ] = None,
    ) -> Response:  # fmt: skip
        ids = [part for part in fact.split(",") if part]
        if bool(ids) == (start is not None or to is not None):
            raise Refused("a bundle is of Facts or of a range of entries", status=422,
                          hint="Give fact=ID,ID or from= and to=", code="ledger.form")  # fmt: skip
        span = None
        if not ids:
            first = start or 0
            size = (await evidence.newest()).note.size
            span = (first, min(first + MOST_ENTRIES, size) if to is None else to)
        content = await evidence.export(ids, span, since, _hidden(request))
        headers = {"Content-Disposition": 'attachment; filename="evidence.zip"'}
        return Response(content, media_type="application/zip", headers=headers)


def _hidden(request: Request) -> tuple[str, ...]:
    """Return the kinds of entries whose words are not for the caller."""
    session = passage_of(request.scope).session
    return () if session is not None and "audit.read" in session.rights else AUDIT_KINDS


def _checkpoint(signed: Signed) -> CheckpointView:
    note = signed.note
    return CheckpointView(
        origin=note.origin, size=note.size, root=_b64(note.root), at=note.at, key_id=note.key_id,
        key=str(signed.key), text=signed.text,
    )  # fmt: skip


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
