"""What each call asks, and what it makes of the answers; no I/O in here.

A script is a generator: it yields Requests, is sent their Answers, and returns the result. Both
twins of the client carry out the same scripts.
"""

import difflib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pyarrow as pa

from lineshaft.client.table import STAMP, Table, Trend, of_columns
from lineshaft.client.times import Duration, Moment, duration_us, time_range
from lineshaft.client.web import Answer, Request
from lineshaft.core.errors import Refused

__all__ = ["Paths", "Script", "Scripts", "Target"]

T = TypeVar("T")
Script = Generator[Request, Answer, T]
Paths = str | Sequence[str]

_LISTED_US: Final = 30_000_000
_SUFFIX: Final = ("…/", ".../")
_SHOWN: Final = 10
_SIGNAL: Final = {
    "path": pa.utf8(), "sid": pa.int32(), "name": pa.utf8(), "kind": pa.utf8(), "unit": pa.utf8(),
    "low": pa.float64(), "high": pa.float64(), "limit_low": pa.float64(),
    "limit_high": pa.float64(), "period_ms": pa.int32(), "source": pa.utf8(),
    "writable": pa.bool_(), "decimals": pa.int32(), "description": pa.utf8(),
}  # fmt: skip
_POINTS: Final = ("min", "max", "first", "last")
_NUMBERS: Final = (
    "count", "good_share", "held_s", "mean", "twa", "deviation", "time_deviation", "integral",
    "above_s", "below_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """Signals that were asked for, in that order: paths by sid."""

    paths: Mapping[int, str]

    @property
    def sid(self) -> str:
        """The ids as a query takes them."""
        return ",".join(map(str, self.paths))

    def named(self, sids: Any) -> pa.Array:
        """Return the path of each sid of a column, dictionary encoded."""
        if isinstance(sids, pa.ChunkedArray):
            sids = sids.combine_chunks()
        known = pa.array(list(self.paths), pa.int32())
        index = pa.compute.index_in(pa.array(sids, pa.int32()), known)
        return pa.DictionaryArray.from_arrays(index, pa.array(list(self.paths.values())))


class Scripts:
    """The calls there are. The list of signals is kept for half a minute."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._paths: dict[str, int] = {}
        self._listed_at = -_LISTED_US

    def signals(self, prefix: str) -> Script[Table]:
        """Ask for the signals below a path."""
        answer = yield Request("signals", {"prefix": prefix} if prefix else {})
        listed = answer.json()["signals"]
        columns = {name: [signal[name] for signal in listed] for name in _SIGNAL}
        return Table(of_columns(columns, _SIGNAL))

    def find(self, paths: Paths) -> Script[Target]:
        """Find signals by path, or by its end (`…/machine/signal`) where only one ends so."""
        wanted = [paths] if isinstance(paths, str) else list(paths)
        if not wanted:
            raise Refused("no path is given", hint="`signals()` lists all", code="signal.unknown")
        fresh = self._now_us() - self._listed_at < _LISTED_US
        if not (fresh and all(self._ending(path) for path in wanted)):
            listed = (yield from self.signals("")).arrow()
            known = zip(listed["path"].to_pylist(), listed["sid"].to_pylist(), strict=True)
            self._paths, self._listed_at = dict(known), self._now_us()
        found: dict[int, str] = {}
        for path in wanted:
            ending = self._ending(path)
            if len(ending) != 1:
                raise self._not_one(path, ending)
            found[self._paths[ending[0]]] = ending[0]
        return Target(found)

    def _ending(self, path: str) -> list[str]:
        if path in self._paths:
            return [path]
        mark = next((mark for mark in _SUFFIX if path.startswith(mark)), None)
        if mark is None:
            return []
        end = "/" + path.removeprefix(mark)
        return sorted(known for known in self._paths if known.endswith(end))

    def _not_one(self, path: str, ending: list[str]) -> Refused:
        if ending:
            more = f" and {len(ending) - _SHOWN} more" if len(ending) > _SHOWN else ""
            return Refused(f"{len(ending)} signals end as '{path}'", code="signal.ambiguous",
                           hint=f"Say which: {', '.join(ending[:_SHOWN])}{more}")  # fmt: skip
        near = difflib.get_close_matches(path, list(self._paths)[:20_000], 3, 0.6)
        hint = f"Did you mean {', '.join(near)}?" if near else "`signals()` lists all"
        return Refused(f"there is no signal '{path[:200]}'", hint=hint, code="signal.unknown",
                       status=404)  # fmt: skip

    def last(self, paths: Paths) -> Script[Table]:
        """Ask for the newest sample of signals."""
        target = yield from self.find(paths)
        answer = yield Request("last", {"sid": target.sid})
        return Table(_samples(answer.json(), target))

    def raw(
        self, paths: Paths, start: Moment | None, end: Moment | None, last: Duration | None,
        limit: int | None,
    ) -> Script[Table]:  # fmt: skip
        """Ask for the samples of a time range."""
        times = time_range(start, end, last, self._now_us())
        target = yield from self.find(paths)
        answer = yield Request(
            "raw", {"sid": target.sid, "format": "arrow", "limit": limit, **times}
        )
        return Table(_samples(_arrow(answer), target))

    def trend(
        self, paths: Paths, start: Moment | None, end: Moment | None, last: Duration | None, px: int
    ) -> Script[Trend]:
        """Ask for the points that draw signals."""
        times = time_range(start, end, last, self._now_us())
        target = yield from self.find(paths)
        answer = yield Request("trend", {"sid": target.sid, "px": px, **times})
        said = answer.json()
        columns: dict[str, list[Any]] = {"sid": [], "ts": [], "v": [], "q": []}
        for series in said["series"]:
            columns["sid"] += [series["sid"]] * len(series["ts"])
            for name in ("ts", "v", "q"):
                columns[name] += series[name]
        points = of_columns(
            {"path": target.named(columns["sid"]), "ts": columns["ts"], "value": columns["v"],
             "quality": columns["q"]},
            {"path": None, "ts": STAMP, "value": pa.float64(), "quality": pa.int32()},
        )  # fmt: skip
        names = {"source": pa.utf8(), "from": STAMP, "to": STAMP, "cause": pa.utf8()}
        gaps = {name: [gap[name] for gap in said["gaps"]] for name in names}
        return Trend(points, Table(of_columns(gaps, names)))

    def grid(
        self, paths: Paths, step: Duration, how: str, quality: str, max_hold: Duration | None,
        start: Moment | None, end: Moment | None, last: Duration | None,
    ) -> Script[Table]:  # fmt: skip
        """Ask for signals on one time grid: a column each."""
        times = time_range(start, end, last, self._now_us())
        width, hold = _spelled(step), max_hold if max_hold is None else _spelled(max_hold)
        target = yield from self.find(paths)
        answer = yield Request("grid", {
            "sid": target.sid, "step": width, "how": how, "quality": quality, "max_hold": hold,
            "format": "arrow", **times,
        })  # fmt: skip
        return Table(_arrow(answer))

    def statistics(
        self, paths: Paths, start: Moment | None, end: Moment | None, last: Duration | None,
        quality: str, low: float | None, high: float | None,
    ) -> Script[Table]:  # fmt: skip
        """Ask for a line of statistics a signal."""
        times = time_range(start, end, last, self._now_us())
        target = yield from self.find(paths)
        answer = yield Request("statistics", {
            "sid": target.sid, "quality": quality, "low": low, "high": high, **times,
        })  # fmt: skip
        listed = answer.json()["signals"]
        columns: dict[str, Any] = {"path": target.named([one["sid"] for one in listed])}
        types: dict[str, Any] = {"path": None, "unit": pa.utf8(), "integral_unit": pa.utf8()}
        types |= {name: pa.float64() for name in _NUMBERS} | {"count": pa.int64()}
        for name in list(types)[1:]:
            columns[name] = [one[name] for one in listed]
        for name in _POINTS:
            points = [one[name] or {} for one in listed]
            columns |= {name: [p.get("v") for p in points],
                        f"{name}_at": [p.get("ts") for p in points]}  # fmt: skip
            types |= {name: pa.float64(), f"{name}_at": STAMP}
        return Table(of_columns(columns, types))

    def facts(
        self, kinds: Paths, subject: str, start: Moment | None, end: Moment | None,
        last: Duration | None, limit: int,
    ) -> Script[Table]:  # fmt: skip
        """Ask for what happened, newest first; `body` as JSON text."""
        times = time_range(start, end, last, self._now_us())
        kind = kinds if isinstance(kinds, str) else ",".join(kinds)
        answer = yield Request("facts", {"kind": kind, "subject": subject, "limit": limit, **times})
        listed = answer.json()["facts"]
        types = {"at": STAMP, "kind": pa.utf8(), "subject": pa.utf8(), "cause": pa.utf8(),
                 "id": pa.utf8()}  # fmt: skip
        columns = {name: [fact[name] for fact in listed] for name in types}
        columns["body"] = [json.dumps(fact["body"], ensure_ascii=False) for fact in listed]
        return Table(of_columns(columns, {**types, "body": pa.utf8()}))

    def sources(self) -> Script[Table]:
        """Ask for the sources and how each is doing."""
        answer = yield Request("sources")
        types = {
            "id": pa.utf8(), "name": pa.utf8(), "protocol": pa.utf8(), "endpoint": pa.utf8(),
            "prefix": pa.utf8(), "enabled": pa.bool_(), "task": pa.utf8(), "link": pa.utf8(),
            "since": STAMP, "signals": pa.int32(), "rate": pa.float64(), "lag_ms": pa.float64(),
            "buffered": pa.int64(), "last_sample": STAMP,
        }  # fmt: skip
        listed = answer.json()["sources"]
        return Table(of_columns({n: [one.get(n) for one in listed] for n in types}, types))

    def sql(self, query: str, limit: int) -> Script[Table]:
        """Ask in SQL."""
        answer = yield Request("sql", body={"query": query, "limit": limit, "format": "arrow"})
        return Table(_arrow(answer), is_whole=answer.headers.get("x-lineshaft-whole") != "false")


def _samples(columns: Any, target: Target) -> pa.Table:
    """Return samples (JSON columns or an Arrow table as stored) with names for people."""
    text = columns["s"]
    if isinstance(text, pa.ChunkedArray):
        text = text.cast(pa.utf8())
    named = {"path": target.named(columns["sid"]), "ts": columns["ts"], "value": columns["v"],
             "text": text, "quality": columns["q"], "seq": columns["seq"]}  # fmt: skip
    types = {"path": None, "ts": STAMP, "value": pa.float64(), "text": pa.utf8(),
             "quality": pa.int32(), "seq": pa.int64()}  # fmt: skip
    return of_columns(named, types)


def _arrow(answer: Answer) -> pa.Table:
    with pa.ipc.open_stream(pa.py_buffer(answer.content)) as stream:
        return stream.read_all()


def _spelled(length: Duration) -> str:
    return f"{duration_us(length) / 1000:.3f}ms"
