"""The hands of history: the keeping process, and what the doors call."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream
from lineshaft.bus.streams import end
from lineshaft.core.errors import Broken
from lineshaft.core.facts import Fact
from lineshaft.rooms.history.compactor import Compactor
from lineshaft.rooms.history.engine.retention import Rule
from lineshaft.rooms.history.engine.rows import Rows, full_seq
from lineshaft.rooms.history.facts import FactKeeper
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.reader import Cut, Gap, Reader, Series
from lineshaft.rooms.history.retirement import Retirement
from lineshaft.rooms.history.store import Catalogue, FactStore
from lineshaft.rooms.history.tail import Tail
from lineshaft.rooms.history.writer import Writer
from lineshaft.settings import History

__all__ = ["HistoryService", "keep_history"]

_CATCH_UP_S = 10.0
_TIDY_S = 5.0


async def keep_history(
    bus: Bus, engine: Engine, folder: Path, settings: History, paths: Callable[[], dict[int, str]],
    stop: asyncio.Event,
) -> None:  # fmt: skip
    """Run the writer, the compactor and the keeper of Facts until `stop`; show their state once a
    second. `paths` gives every signal's path, which says how long it stays."""
    lease = uuid.uuid4().hex
    writer = Writer(bus, engine, folder, settings, lease=lease)
    stream, files = data_stream(bus.site), FileStore(folder, lambda _: None)
    compactor = Compactor(engine, stream, files, lease=lease)
    retirement = Retirement(
        engine, stream, files, paths, lease=lease, budget_bytes=settings.budget_gb * 1e9
    )
    others = [
        asyncio.ensure_future(FactKeeper(bus, engine, lease=lease).run()),
        asyncio.ensure_future(_show(bus, writer, compactor)),
        asyncio.ensure_future(_tidy(writer, compactor, retirement, settings)),
    ]
    writing = asyncio.ensure_future(writer.run(stop))
    await bus.serve("history", "flush", _flush_of(writer))
    try:
        await asyncio.wait({*others, writing}, return_when="FIRST_COMPLETED")
    finally:
        stop.set()
        compactor.ended.set()
        ended = await end(*others)
        outcomes = [*await asyncio.gather(writing, return_exceptions=True), *ended]
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _flush_of(writer: Writer) -> Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]:
    async def flush(_: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"last": await writer.flush()}

    return flush


async def _tidy(
    writer: Writer, compactor: Compactor, retirement: Retirement, settings: History
) -> None:
    """Compact and retire for ever, one job after the other."""
    await writer.settled.wait()
    while True:
        busy = bool(settings.compact_s) and await compactor.step()
        await asyncio.to_thread(retirement.step)
        if not busy:
            await asyncio.sleep(settings.compact_s or _TIDY_S)


async def _show(bus: Bus, writer: Writer, compactor: Compactor) -> None:
    while True:
        await bus.show(
            "history",
            {"stored_rows": writer.stored_rows, "busy_s": writer.busy_s,
             "error": writer.error or compactor.error,
             "compacted_rows": compactor.merged_rows},
        )  # fmt: skip
        await asyncio.sleep(1)


class HistoryService:
    """Everything that can be asked of history; blocking reads run in threads."""

    def __init__(self, bus: Bus, engine: Engine, folder: Path, tail: Tail) -> None:
        self.tail = tail
        self._reader = Reader(tail, engine, data_stream(bus.site), folder)
        self._facts = FactStore(engine)
        self._catalogue = Catalogue(engine, data_stream(bus.site))

    async def caught_up(self) -> None:
        """Wait until the tail has what was accepted before it began: an answer before that would
        lack the newest samples and not say so."""
        if self.tail.ready.is_set():
            return
        try:
            async with asyncio.timeout(_CATCH_UP_S):
                await self.tail.ready.wait()
        except TimeoutError:
            raise Broken("the newest samples are still being read from the bus",
                         hint="Try again in some seconds; the processes show whether history runs",
                         code="history.behind") from None  # fmt: skip

    def cut(self) -> Cut:
        """Return the present moment: what lies in files and what in the tail. Blocks."""
        return self._reader.cut()

    async def last(self, sids: list[int], as_of: int | None = None) -> Rows:
        """Return the newest row of each signal that has any."""
        await self.caught_up()
        if as_of is None:
            return self._reader.last(sids)
        return await asyncio.to_thread(self._reader.last, sids, as_of=as_of)

    async def raw(
        self, sids: list[int], start: int, end: int, limit: int, *, as_of: int | None = None,
        revisions: bool = False,
    ) -> Rows:  # fmt: skip
        """Return the rows with start <= ts < end, by sid and ts."""
        await self.caught_up()
        return await asyncio.to_thread(
            self._reader.raw, sids, start, end, limit, as_of=as_of, revisions=revisions
        )

    async def trend(
        self, sids: list[int], start: int, end: int, pixels: int, sources: dict[int, str], *,
        as_of: int | None = None,
    ) -> tuple[list[Series], list[Gap]]:  # fmt: skip
        """Return the points that draw the signals, and the gaps in between."""
        await self.caught_up()
        return await asyncio.to_thread(
            self._reader.trend, sids, start, end, pixels, sources, as_of=as_of
        )

    async def held(self, sids: list[int], at: int, as_of: int | None = None) -> pa.Table:
        """Return the row that held at the stamp `at` of each signal that had any: sid, ts, v, s, q
        and seq (0 where only roll-ups tell it), by sid, however old they are."""
        await self.caught_up()
        return (await asyncio.to_thread(self._reader.held, sids, at, as_of=as_of)).table()

    async def extent(self, sids: list[int]) -> tuple[int | None, int | None]:
        """Return the first and last stamp of these signals."""
        await self.caught_up()
        return await asyncio.to_thread(self._reader.extent, sids)

    async def newest(self) -> int:
        """Return the number of the newest row: today's answer, asked for `as_of` it, stays."""
        await self.caught_up()
        row = await asyncio.to_thread(self._catalogue.row)
        stored = 0 if row is None else full_seq(row.last.epoch, row.last.position)
        return max(stored, self.tail.newest)

    async def retired(self, sids: list[int]) -> dict[int, int]:
        """Return the stamp before which rows are gone, of those of these signals that lack any."""
        found = await asyncio.to_thread(self._catalogue.retired, sids)
        return {sid: before for sid, (before, _) in found.items()}

    async def check_kept(self, sids: list[int], start: int) -> None:
        """Raise Refused where rows of these signals from `start` on were retired."""
        await asyncio.to_thread(self._reader.check_kept, sids, start)

    async def rules(self) -> list[Rule]:
        """Return how long the classes of signals stay."""
        return await asyncio.to_thread(self._catalogue.rules)

    async def set_rules(self, rules: list[Rule]) -> None:
        """Replace all retention rules; they are carried out within ten minutes."""
        await asyncio.to_thread(self._catalogue.set_rules, rules)

    async def facts(
        self, kinds: list[str], subject: str, start: int | None, end: int | None, limit: int
    ) -> list[Fact]:
        """Return the newest Facts first."""
        return await asyncio.to_thread(
            lambda: self._facts.find(
                kinds=kinds, subject=subject, start=start, end=end, limit=limit
            )
        )
