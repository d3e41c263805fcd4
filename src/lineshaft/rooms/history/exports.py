"""Exports: ranges of signals as files that others read.

Rules: an export is one cut: the rows as of the number that was the newest when it was asked for, or
of an older one that was named. It is written a day after the other and some signals after the
others, so that memory does not depend on the range; what was half written when the process ended is
written again from the start, to the same cut; files are kept some days and then deleted.
"""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from lineshaft.clock import now_us
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.signals import Signal
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.export_files import Writer, long_table, wide_table, writer_of
from lineshaft.rooms.history.import_store import ExportRow, ExportStore
from lineshaft.rooms.history.service import HistoryService

__all__ = ["ExportRequest", "Exports"]

_LOG = logging.getLogger(__name__)
_DAY_US: Final = 86_400_000_000
_MAX_SIGNALS: Final = 100_000
_MAX_WIDE: Final = 1000
_SOME: Final = 200
_ROWS: Final = 2_000_000
_RESERVE: Final = 1_000_000_000
_IDLE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export: signals by `sids` or below `prefix`, stamps with start <= ts < end (None: all
    there is), as csv, parquet, arrow or delta; `folder` makes one Parquet file a day; `as_of` is
    the cut (None: now)."""

    sids: Sequence[int]
    prefix: str
    start: int | None
    end: int | None
    form: str
    layout: str
    folder: bool
    as_of: int | None = None


class Exports:
    """The exports of a site. `run()` works, one export after the other; all else answers."""

    def __init__(
        self, engine: Engine, folder: Path, history: HistoryService,
        signals: Callable[[], Sequence[Signal]], *, keep_days: float,
    ) -> None:  # fmt: skip
        self._store = ExportStore(engine)
        self._folder = folder
        self._history = history
        self._signals = signals
        self._keep_us = int(keep_days * _DAY_US)
        self._wake = asyncio.Event()

    async def ask(self, request: ExportRequest) -> dict[str, Any]:
        """Begin an export; Refused where it cannot be, or where what it asks for was retired."""
        found = self._chosen(asdict(request))
        wide = request.layout == "wide"
        rules = [
            (bool(found), "No signal is named that there is"),
            (len(found) <= _MAX_SIGNALS, f"Name up to {_MAX_SIGNALS} signals"),
            (not wide or len(found) <= _MAX_WIDE, f"A wide table has up to {_MAX_WIDE} signals"),
            (not wide or (request.form != "delta" and not request.folder),
             "A wide table is one file: csv, parquet or arrow"),
            (not request.folder or request.form == "parquet", "A folder of files is of Parquet"),
            (request.start is None or request.end is None or request.start < request.end,
             "'from' must lie before 'to'"),
            (request.form != "delta" or find_spec("deltalake") is not None,
             "Delta needs the extra `delta`: pip install 'lineshaft[delta]'"),
        ]  # fmt: skip
        for holds, hint in rules:
            if not holds:
                raise Refused("this export cannot be", hint=hint, code="export.request")
        if request.start is not None or request.as_of is not None:
            await self._history.check_kept([signal.sid for signal in found], request.start or 0)
        newest = await self._history.newest()
        as_of = newest if request.as_of is None else min(request.as_of, newest)
        cut = {**asdict(request), "as_of": as_of}
        number = await asyncio.to_thread(self._store.add, cut, now_us())
        self._wake.set()
        return await self.one(number)

    async def all(self) -> list[dict[str, Any]]:
        """Return all exports, newest first."""
        rows = await asyncio.to_thread(self._store.list)
        return [self._view(row) for row in rows]

    async def one(self, number: int) -> dict[str, Any]:
        """Return one export with its files."""
        return self._view(await asyncio.to_thread(self._store.get, number))

    async def file(self, number: int, name: str) -> Path:
        """Return a file of an export that is done."""
        shown = await self.one(number)
        if name not in {file["name"] for file in shown["files"]}:
            raise Refused(f"export {number} has no file '{name[:100]}'", status=404,
                          hint="Its files are named once it is done",
                          code="export.file")  # fmt: skip
        return self._folder / str(number) / name

    async def remove(self, number: int) -> None:
        """End an export and delete its files."""
        await asyncio.to_thread(self._store.get, number)
        await asyncio.to_thread(self._store.remove, number)
        await asyncio.to_thread(shutil.rmtree, self._folder / str(number), True)

    async def run(self) -> None:
        """Write what was asked, one export after the other, for ever."""
        while True:
            self._wake.clear()
            rows = await asyncio.to_thread(self._store.list)
            due = [row for row in rows if row.state == "running"]
            try:
                for row in rows:
                    if row.finished and row.finished < now_us() - self._keep_us:
                        await self.remove(row.id)
                if due:
                    await self._work(due[-1])
                    continue
            except OperationalError:  # a full disk: it is written again from the start
                _LOG.exception("exports cannot be noted")
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await self._wake.wait()

    async def _work(self, row: ExportRow) -> None:
        state, note = "failed", ""
        try:
            written = await self._write(row)
            if written is None:
                return
            state, note = "done", written
        except LineshaftError as error:
            note = str(error)
        except Exception as error:
            _LOG.exception("export %s failed", row.id)
            note = f"the platform failed at this export: {type(error).__name__}"
        if state == "failed":
            await asyncio.to_thread(shutil.rmtree, self._folder / str(row.id), True)
        await asyncio.to_thread(
            self._store.change, row.id, state=state, note=note, finished=now_us()
        )

    async def _write(self, row: ExportRow) -> str | None:
        """Write an export; return what it lacks, None where it was removed meanwhile."""
        folder = self._folder / str(row.id)
        await asyncio.to_thread(shutil.rmtree, folder, True)
        folder.mkdir(mode=0o700, parents=True)
        signals = self._chosen(row.request)
        everything = [signal.sid for signal in signals]
        start, end = await self._range(row.request, everything)
        gone, as_of = {}, row.request.get("as_of")
        if row.request["start"] is None:  # all there is: a retired day of a signal is no more
            retired = await self._history.retired(everything)
            gone = {sid: before for sid, before in retired.items() if before > start}
        days = list(range(start // _DAY_US, -(-end // _DAY_US)))
        loop, rows, there = asyncio.get_running_loop(), 0, True
        writer = writer_of(folder, row.request, signals)

        def fetch(sids: list[int], begin: int, stop: int) -> Rows:
            kept = [sid for sid in sids if gone.get(sid, 0) <= begin]
            if not kept:
                return Rows.empty()
            asked = self._history.raw(kept, begin, stop, _ROWS, as_of=as_of)
            return asyncio.run_coroutine_threadsafe(asked, loop).result()

        try:
            for done, day in enumerate(days, 1):
                begin, stop = max(start, day * _DAY_US), min(end, (day + 1) * _DAY_US)
                tables = _tables(fetch, row.request, signals, begin, stop)
                rows += await asyncio.to_thread(_write_day, writer, day, tables)
                far = {"days": len(days), "days_done": done, "rows": rows}
                there = await asyncio.to_thread(partial(self._store.change, row.id, **far))
                if not there:
                    break
                if shutil.disk_usage(folder).free < _RESERVE:
                    raise Refused("less than 1 GB of the disk would stay free",
                                  hint="Free some space, or export less",
                                  code="export.disk")  # fmt: skip
        finally:
            await asyncio.to_thread(writer.close)
        if not there:
            await asyncio.to_thread(shutil.rmtree, folder, True)
            return None
        return f"without what was retired of {len(gone)} signals" if gone else ""

    async def _range(self, request: Mapping[str, Any], sids: list[int]) -> tuple[int, int]:
        start, end = request["start"], request["end"]
        if start is None or end is None:
            ends = [await self._history.extent(sids[at : at + _SOME])
                    for at in range(0, len(sids), _SOME)]  # fmt: skip
            firsts = [first for first, _ in ends if first is not None]
            lasts = [last for _, last in ends if last is not None]
            start = (min(firsts) if firsts else 0) if start is None else start
            end = (max(lasts) + 1 if lasts else start) if end is None else end
        return start, max(start, end)

    def _chosen(self, request: Mapping[str, Any]) -> list[Signal]:
        prefix, sids = str(request["prefix"]).strip("/"), set(request["sids"])
        return sorted(
            (s for s in self._signals()
             if s.sid in sids or (not sids and (not prefix or s.path == prefix
                                                or s.path.startswith(prefix + "/")))),
            key=lambda signal: signal.sid,
        )  # fmt: skip

    def _view(self, row: ExportRow) -> dict[str, Any]:
        folder = self._folder / str(row.id)
        found = sorted(folder.rglob("*")) if row.state == "done" else []
        files = [{"name": str(path.relative_to(folder)), "size": path.stat().st_size}
                 for path in found if path.is_file()]  # fmt: skip
        expires = row.finished + self._keep_us if row.finished else None
        as_of = row.request.get("as_of")
        return {**asdict(row), "as_of": as_of, "files": files, "expires": expires}


_Fetch = Callable[[list[int], int, int], Rows]


def _write_day(writer: Writer, day: int, tables: Iterator[pa.Table]) -> int:
    """Write the tables of a day and return how many rows they had."""
    rows = 0

    def counted() -> Iterator[pa.Table]:
        nonlocal rows
        for table in tables:
            rows += len(table)
            yield table

    writer.write(day, counted())
    return rows


def _tables(
    fetch: _Fetch, request: Mapping[str, Any], signals: Sequence[Signal], start: int, end: int
) -> Iterator[pa.Table]:
    """Hand out the rows of a range in tables of bounded size."""
    known = {signal.sid: signal for signal in signals}
    wide = request["layout"] == "wide"
    step = len(signals) if wide else _SOME
    for at in range(0, len(signals), max(1, step)):
        some = [signal.sid for signal in signals[at : at + step]]
        for rows in _parts(fetch, some, start, end, by_time=wide):
            if len(rows):
                yield wide_table(rows, signals) if wide else long_table(rows, known)


def _parts(
    fetch: _Fetch, sids: list[int], start: int, end: int, *, by_time: bool
) -> Iterator[Rows]:
    """Hand out rows, with fewer signals or a shorter time where they are too many at once."""
    try:
        yield fetch(sids, start, end)
        return
    except Refused as refusal:
        if refusal.code != "history.much" or (end - start < 2 and (by_time or len(sids) == 1)):
            raise
    if len(sids) > 1 and not by_time:
        half = len(sids) // 2
        cuts = [(sids[:half], start, end), (sids[half:], start, end)]
    else:
        middle = (start + end) // 2
        cuts = [(sids, start, middle), (sids, middle, end)]
    for some, begin, stop in cuts:
        yield from _parts(fetch, some, begin, stop, by_time=by_time)
