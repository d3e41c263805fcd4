"""The doors of history: last values, raw ranges, trends, Facts."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.facts import AUDIT_KINDS
from lineshaft.core.signals import Signal
from lineshaft.rooms.history.engine.retention import Rule
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.formats import as_arrow, as_columns, as_csv, dump
from lineshaft.rooms.history.reader import FOREVER
from lineshaft.rooms.history.service import HistoryService

__all__ = [
    "TABLES", "AsOf", "Format", "From", "Sids", "To", "answer_arrow", "answer_json", "parse_sids",
    "quick_last", "router", "time_range",
]  # fmt: skip

_MAX_SIGNALS = 10_000
_MAX_JSON_ROWS = 1_000_000
_MAX_SIDS_TEXT = 60_000  # the server takes 65,534 bytes of address
_SIDS = r"^[0-9]{1,10}(-[0-9]{1,10})?(,[0-9]{1,10}(-[0-9]{1,10})?)*$"
_ONLY_SIDS = re.compile(rb"sid=[0-9,-]{1,60000}")
_READ = {"x-right": "history.read"}


class Format(StrEnum):
    """How raw rows are handed out."""

    JSON = "json"
    ARROW = "arrow"
    CSV = "csv"


class SampleColumns(BaseModel):
    """Samples as columns of one length."""

    sid: list[int] = Field(description="signal id")
    ts: list[int] = Field(description="stamp, µs since 1970 UTC")
    v: list[float | None] = Field(description="value in the signal's unit; null where bad or text")
    s: list[str | None] = Field(description="text value of a string signal")
    q: list[int] = Field(description="quality: 0 good, 256+reason uncertain, 512+reason bad")
    seq: list[int] = Field(description="number under which the sample was accepted")


class TrendSeries(BaseModel):
    """The points of one signal; the first may lie before `from`: the value that held then."""

    sid: int
    ts: list[int]
    v: list[float | None]
    q: list[int]


class TrendGap(BaseModel):
    """A time in which a source could not deliver, as it declared."""

    model_config = {"populate_by_name": True}

    source: str
    start: int = Field(alias="from")
    to: int
    cause: str


class Trend(BaseModel):
    """What draws some signals over a time range."""

    model_config = {"populate_by_name": True}

    start: int = Field(alias="from")
    to: int
    series: list[TrendSeries]
    gaps: list[TrendGap]


class Extent(BaseModel):
    """First and last stamp, null where there is no sample."""

    first: int | None
    last: int | None


class FactBody(BaseModel):
    """Something that happened."""

    id: str
    kind: str
    at: int
    subject: str
    body: dict[str, Any]
    cause: str | None


class FactList(BaseModel):
    """Facts, newest first."""

    facts: list[FactBody]


class RetentionRule(BaseModel):
    """How long a class of signals stays; of several that fit, the longest prefix holds."""

    model_config = {"extra": "forbid"}

    prefix: str = Field(
        max_length=800, pattern=r"^([a-z0-9_-]+(/[a-z0-9_-]+)*)?$",
        description="first levels of paths; empty for all",
    )  # fmt: skip
    raw_days: int | None = Field(ge=1, le=40_000, description="days that samples stay; null: ever")
    rollup_days: int | None = Field(ge=1, le=40_000, description="days that roll-ups stay")


class Retention(BaseModel):
    """All rules; signals that none fits stay for ever."""

    rules: list[RetentionRule] = Field(max_length=1000)


Sids = Annotated[
    str,
    Query(description="signal ids and ranges of them, such as 1,2,10-19", examples=["1,2,10-19"],
          max_length=_MAX_SIDS_TEXT, json_schema_extra={"pattern": _SIDS}),
]  # fmt: skip
TABLES: dict[int | str, dict[str, Any]] = {  # what else an answer can be written as
    200: {"content": {"text/csv": {}, "application/vnd.apache.arrow.stream": {}}}
}
From = Annotated[
    int | None,
    Query(alias="from", ge=0, le=FOREVER, description="first stamp, µs; default: the beginning"),
]
AsOf = Annotated[
    int | None,
    Query(ge=0, le=FOREVER, description="answer as it was when this `seq` was the newest"),
]
To = Annotated[
    int | None, Query(ge=0, le=FOREVER, description="stamp after the last, µs; default: now")
]


def parse_sids(text: str) -> list[int]:
    """Return the signal ids in a query such as `1,2,10-19`, or raise Refused."""
    try:
        sids: list[int] = []
        for part in filter(None, text.split(",")):
            first, ranges, last = part.partition("-")
            low = int(first)
            high = int(last) if ranges else low
            if not low <= high < low + _MAX_SIGNALS - len(sids):
                raise ValueError
            sids += range(low, high + 1)
    except ValueError:
        sids = []
    if not 0 < len(sids) <= _MAX_SIGNALS or not 0 < min(sids) <= max(sids) < 2**31:
        raise Refused(
            f"'{text[:80]}' is no list of signal ids",
            hint=f"Write sid=1,2,10-19 with up to {_MAX_SIGNALS} ids",
            code="query.sid",
        )
    return list(dict.fromkeys(sids))


def router(
    history: HistoryService, signals: Callable[[Sequence[int]], Mapping[int, Signal]]
) -> APIRouter:
    """Return the operations of this room; `signals` gives those with these ids that there are."""
    api = APIRouter(tags=["history"])

    @api.get("/last", summary="Newest sample of signals", response_model=SampleColumns,
             responses=TABLES, openapi_extra=_READ)  # fmt: skip
    async def last(sid: Sids, as_of: AsOf = None, format: Format = Format.JSON) -> Response:
        rows = await history.last(parse_sids(sid), as_of)
        return await _rows(rows, format)

    @api.get("/raw", summary="Samples of a time range", response_model=SampleColumns,
             responses=TABLES, openapi_extra=_READ)  # fmt: skip
    async def raw(
        sid: Sids,
        start: From = None,
        to: To = None,
        format: Format = Format.JSON,
        limit: Annotated[int, Query(ge=1, le=20_000_000)] = 20_000_000,
        as_of: AsOf = None,
        revisions: Annotated[bool, Query(description="all rows that ever held, by seq")] = False,
    ) -> Response:
        begin, end = time_range(start, to)
        most = min(limit, _MAX_JSON_ROWS) if format == Format.JSON else limit
        rows = await history.raw(
            parse_sids(sid), begin, end, most, as_of=as_of, revisions=revisions
        )
        return await _rows(rows, format)

    async def _rows(rows: Rows, format: Format) -> Response:
        if format == Format.ARROW:
            return answer_arrow(rows.table())
        if format == Format.CSV:
            known = await asyncio.to_thread(signals, np.unique(rows.sid).tolist())
            named = {"Content-Disposition": 'attachment; filename="lineshaft.csv"'}
            return Response(as_csv(rows, known), media_type="text/csv", headers=named)
        return answer_json(as_columns(rows))

    @api.get("/trend", summary="Points that draw signals in a width", response_model=Trend,
             openapi_extra=_READ)  # fmt: skip
    async def trend(
        sid: Sids,
        start: From = None,
        to: To = None,
        px: Annotated[int, Query(ge=1, le=20_000, description="width in pixels")] = 1000,
        as_of: AsOf = None,
    ) -> Response:
        begin, end = time_range(start, to)
        sids = parse_sids(sid)
        known = await asyncio.to_thread(signals, sids)
        sources = {sid: signal.source for sid, signal in known.items()}
        series, gaps = await history.trend(sids, begin, end, px, sources, as_of=as_of)
        drawn = [{"sid": one.sid, "ts": one.ts, "v": one.v, "q": one.q} for one in series]
        holes = [{"source": g.source, "from": g.start, "to": g.end, "cause": g.cause} for g in gaps]
        return answer_json({"from": begin, "to": end, "series": drawn, "gaps": holes})

    _add_looks(api, history)
    _add_retention(api, history)
    return api


def quick_last(history: HistoryService) -> Callable[[bytes], Awaitable[bytes | None]]:
    """Return what answers `GET /last` in its plainest form, `sid=…` alone, from the query string;
    it returns None for any other."""

    async def answer(query: bytes) -> bytes | None:
        if not _ONLY_SIDS.fullmatch(query):
            return None
        return dump(as_columns(await history.last(parse_sids(query[4:].decode()))))

    return answer


def _add_looks(api: APIRouter, history: HistoryService) -> None:
    @api.get("/extent", summary="First and last stamp of signals", openapi_extra=_READ)
    async def extent(sid: Sids) -> Extent:
        first, final = await history.extent(parse_sids(sid))
        return Extent(first=first, last=final)

    @api.get("/facts", summary="What happened, newest first", openapi_extra=_READ)
    async def facts(
        kind: Annotated[str, Query(max_length=1000, description="kinds, by commas")] = "",
        subject: Annotated[str, Query(max_length=300)] = "",
        start: From = None,
        to: To = None,
        limit: Annotated[int, Query(ge=1, le=5000)] = 200,
    ) -> FactList:
        kinds = [part for part in kind.split(",") if part]
        if set(kinds) & set(AUDIT_KINDS):
            raise Refused("the audit is not among these", hint="GET /audit shows it",
                          code="facts.audit", status=403)  # fmt: skip
        found = await history.facts(kinds, subject, start, to, limit)
        return FactList(
            facts=[
                FactBody(id=f.id, kind=f.kind, at=f.at, subject=f.subject, body=dict(f.body),
                         cause=f.cause)
                for f in found
            ]
        )  # fmt: skip


def _add_retention(api: APIRouter, history: HistoryService) -> None:
    @api.get("/retention", summary="How long samples stay", openapi_extra=_READ)
    async def retention() -> Retention:
        found = await history.rules()
        return Retention(rules=[RetentionRule(**asdict(rule)) for rule in found])

    @api.put("/retention", summary="Say how long samples stay",
             openapi_extra={"x-right": "history.admin"})  # fmt: skip
    async def set_retention(body: Retention) -> Retention:
        prefixes = [rule.prefix for rule in body.rules]
        if len(set(prefixes)) < len(prefixes):
            raise Refused("two rules have the same prefix", hint="Give one rule a prefix",
                          code="retention.twice")  # fmt: skip
        await history.set_rules([Rule(**rule.model_dump()) for rule in body.rules])
        return body


def time_range(start: int | None, to: int | None, *, first: int | None = 0) -> tuple[int, int]:
    """Return the range that is asked for, up to now where nothing is said; Refused where it is
    empty, or has no beginning and there is no `first`."""
    begin, end = first if start is None else start, now_us() if to is None else to
    if begin is None or end <= begin:
        raise Refused("the time range is empty or has no beginning",
                      hint="Give 'from' in µs; it must lie before 'to'",
                      code="query.range")  # fmt: skip
    return begin, end


def answer_arrow(table: pa.Table) -> Response:
    """Return a table as an Arrow IPC stream."""
    return Response(as_arrow(table), media_type="application/vnd.apache.arrow.stream")


def answer_json(content: Any) -> Response:
    """Return ready bytes of JSON, however many numbers they hold."""
    return Response(dump(content), media_type="application/json")
