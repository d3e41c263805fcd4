"""The doors of grids and statistics."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.samples import STAMP
from lineshaft.core.signals import Signal
from lineshaft.rooms.history.engine.grid import (
    NO_LIMIT,
    Grid,
    Holding,
    How,
    Rule,
    aligned_edges,
)
from lineshaft.rooms.history.engine.statistics import Limits, Point, Summary, integral_unit
from lineshaft.rooms.history.grids import Grids, check_size
from lineshaft.rooms.history.routes import (
    TABLES,
    Format,
    From,
    Sids,
    To,
    answer_arrow,
    answer_json,
    parse_sids,
    time_range,
)  # fmt: skip
from lineshaft.rooms.history.service import HistoryService

__all__ = ["duration_us", "router"]

_UNITS: Final = {
    "ms": 1000, "s": 1_000_000, "m": 60_000_000, "min": 60_000_000, "h": 3_600_000_000,
    "d": 86_400_000_000, "w": 604_800_000_000,
}  # fmt: skip
_LONGEST: Final = 3660 * _UNITS["d"]
_READ: Final = {"x-right": "history.read"}


class GridSeries(BaseModel):
    """The cells of one signal."""

    sid: int
    v: list[float | None] = Field(description="value of each cell; null where there is none")
    q: list[int] = Field(description="quality of each cell")


class GridAnswer(BaseModel):
    """Signals on one grid: cell i is [ts[i], ts[i] + step)."""

    step: int = Field(description="width of a cell, µs")
    how: str
    ts: list[int] = Field(description="where each cell begins, µs, aligned to 1970 UTC")
    series: list[GridSeries]


class PointBody(BaseModel):
    """A value and when it was told."""

    v: float
    ts: int


class SignalStatistics(BaseModel):
    """What is known of one signal in the range; null where nothing is."""

    sid: int
    unit: str
    count: int = Field(description="how many samples counted")
    good_share: float = Field(description="for which share of the range a good value held")
    held_s: float = Field(description="for how many seconds a value that counts held")
    min: PointBody | None
    max: PointBody | None
    first: PointBody | None
    last: PointBody | None
    mean: float | None = Field(description="arithmetic mean of the samples")
    twa: float | None = Field(description="mean weighted by how long each value held")
    deviation: float | None = Field(description="standard deviation of the samples (n - 1)")
    time_deviation: float | None = Field(description="standard deviation weighted by time")
    integral: float | None = Field(description="value times hours, in `integral_unit`")
    integral_unit: str
    above_s: float | None = Field(description="seconds above `high`; null without a limit")
    below_s: float | None = Field(description="seconds below `low`; null without a limit")


class StatisticsAnswer(BaseModel):
    """Statistics of one range."""

    model_config = {"populate_by_name": True}

    start: int = Field(alias="from")
    to: int
    signals: list[SignalStatistics]


Duration = Annotated[
    str,
    Query(max_length=20, description="a number and ms, s, m, h, d or w", examples=["60s"],
          json_schema_extra={"pattern": r"^([0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|min|h|d|w))?$"}),
]  # fmt: skip


def duration_us(text: str, name: str) -> int:
    """Return µs for `60s`, `5m`, `1h`; raise Refused that names the parameter."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|min|h|d|w)", text.strip())
    found = round(float(match[1]) * _UNITS[match[2]]) if match else 0
    if not 1000 <= found <= _LONGEST:
        raise Refused(f"'{name}' is no duration: '{text[:20]}'",
                      hint="Write 500ms, 60s, 5m, 1h or 1d; 1 ms to ten years",
                      code="query.duration")  # fmt: skip
    return found


def router(
    history: HistoryService, signals: Callable[[Sequence[int]], Mapping[int, Signal]]
) -> APIRouter:
    """Return the operations; `signals` gives those with these ids that there are."""
    api, grids = APIRouter(tags=["history"]), Grids(history)

    @api.get("/grid", summary="Signals on one aligned time grid", response_model=GridAnswer,
             responses=TABLES, openapi_extra=_READ)  # fmt: skip
    async def grid(
        sid: Sids,
        step: Duration = "60s",
        start: From = None,
        to: To = None,
        how: How = How.TWA,
        quality: Rule = Rule.USABLE,
        max_hold: Duration = "",
        format: Format = Format.JSON,
    ) -> Response:
        width, sids = duration_us(step, "step"), parse_sids(sid)
        begin, end = time_range(start, to, first=None)
        check_size(len(sids), (end - begin) // width)
        edges = aligned_edges(begin, end, width)
        known = await asyncio.to_thread(signals, sids)
        found = await grids.grid(
            sids, _sources(sids, known), edges, how, quality, _holding(max_hold)
        )
        return _answer(found, sids, known, width, how, format)

    @api.get("/statistics", summary="Statistics of signals over a range",
             response_model=StatisticsAnswer, openapi_extra=_READ)  # fmt: skip
    async def statistics(
        sid: Sids,
        start: From = None,
        to: To = None,
        quality: Rule = Rule.USABLE,
        max_hold: Duration = "",
        low: Annotated[float | None, Query(allow_inf_nan=False)] = None,
        high: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        sids = parse_sids(sid)
        begin, end = time_range(start, to, first=None)
        known = await asyncio.to_thread(signals, sids)
        found = await grids.statistics(
            sids, _sources(sids, known), begin, end, quality, _holding(max_hold),
            Limits(low, high),
        )  # fmt: skip
        listed = [_body(one, found[one], known.get(one), low, high) for one in sids]
        return answer_json({"from": begin, "to": end, "signals": listed})

    return api


def _holding(max_hold: str) -> Holding:
    """Values hold until now at most: what will be told next is not known."""
    longest = duration_us(max_hold, "max_hold") if max_hold else NO_LIMIT
    return Holding(longest, now_us())


def _sources(sids: Sequence[int], known: Mapping[int, Signal]) -> dict[int, str]:
    return {sid: known[sid].source for sid in sids if sid in known}


def _answer(
    grid: Grid, sids: Sequence[int], known: Mapping[int, Signal], step: int, how: str,
    format: Format,
) -> Response:  # fmt: skip
    if format == Format.JSON:
        rows = zip(sids, grid.v, grid.q, strict=True)
        series = [{"sid": sid, "v": v, "q": q} for sid, v, q in rows]
        return answer_json({"step": step, "how": str(how), "ts": grid.ts, "series": series})
    table = _table(grid, sids, known, plain=format == Format.CSV)
    if format == Format.ARROW:
        return answer_arrow(table)
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink)
    named = {"Content-Disposition": 'attachment; filename="lineshaft-grid.csv"'}
    return Response(sink.getvalue().to_pybytes(), media_type="text/csv", headers=named)


def _table(
    grid: Grid, sids: Sequence[int], known: Mapping[int, Signal], *, plain: bool
) -> pa.Table:  # fmt: skip
    """Return one line a cell: its stamp, and value and quality (`… quality`) of each signal."""
    stamps = pa.array(grid.ts).view(STAMP)
    if plain:
        stamps = pa.compute.strftime(stamps, format="%Y-%m-%dT%H:%M:%SZ")
    fields, columns = [pa.field("time" if plain else "ts", stamps.type)], [stamps]
    for sid, v, q in zip(sids, grid.v, grid.q, strict=True):
        signal = known.get(sid)
        path, unit = (signal.path, signal.unit) if signal else (str(sid), "")
        about = {"sid": str(sid), "unit": unit}
        name = f"{path} [{unit}]" if plain and unit else path
        fields += [pa.field(name, pa.float64(), metadata=about),
                   pa.field(f"{path} quality", pa.int32(), nullable=False)]  # fmt: skip
        columns += [pa.array(v, from_pandas=True), pa.array(q)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _body(
    sid: int, found: Summary, signal: Signal | None, low: float | None, high: float | None
) -> dict[str, Any]:
    unit = signal.unit if signal else ""
    name, factor = integral_unit(unit)
    integral = found.integral_hours
    return {
        "sid": sid, "unit": unit, "count": int(found.samples.weight),
        "good_share": found.good_share, "held_s": found.time.weight / 1e6,
        "min": _point(found.least), "max": _point(found.greatest),
        "first": _point(found.first), "last": _point(found.last),
        "mean": found.samples.mean if found.samples.weight else None,
        "twa": found.time.mean if found.time.weight else None,
        "deviation": found.deviation, "time_deviation": found.time_deviation,
        "integral": None if integral is None else integral * factor, "integral_unit": name,
        "above_s": None if high is None else found.above / 1e6,
        "below_s": None if low is None else found.below / 1e6,
    }  # fmt: skip


def _point(point: Point | None) -> dict[str, Any] | None:
    return None if point is None else {"v": point.v, "ts": point.ts}
