"""The writer: from the stream to Parquet files and the catalogue, every message exactly once.

Rules: the position to read from is the catalogue's, never an acknowledgement. One commit is on its
way to the disk while the next one gathers; commits follow one another. What cannot be read is put
aside and told, what is gone is told; neither stops the stream. The stream is purged only after the
commit, and not below the margin.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from lineshaft.bus import Bus, Gone, Message
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.bus.streams import Away, end
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.engine.commit import arrange
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import Rows, bounded, full_seq, text_bytes
from lineshaft.rooms.history.epochs import find_start, still_there
from lineshaft.rooms.history.files import FileStore, Step
from lineshaft.rooms.history.model import Checkpoint, FileEntry
from lineshaft.rooms.history.repair import repair_files
from lineshaft.rooms.history.store import Catalogue
from lineshaft.settings import History
from lineshaft.traces import span

__all__ = ["Writer"]

_QUEUED = 64
_RETRY_S = 2.0
_FLUSH_S = 60.0
_LOOK_S = 0.02
_TEXT_BYTES = 512 * 1024 * 1024


@dataclass(slots=True)
class _Batch:
    """What one commit will hold: the blocks, and the position after them."""

    end: Checkpoint
    opened: float
    blocks: list[tuple[int, SampleBlock]] = field(default_factory=list)
    rows: int = 0
    text: int = 0


class Writer:
    """The one writer of a site's samples. `lease` must be new for every start."""

    def __init__(
        self, bus: Bus, engine: Engine, folder: Path, settings: History, *, lease: str,
        step: Step = lambda _: None,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._stream = data_stream(bus.site)
        self._catalogue = Catalogue(engine, self._stream)
        self._files = FileStore(folder, step)
        self._settings = settings
        self._lease = lease
        self._step = step
        self._last = LastValues()
        self._position = Checkpoint(0, 0, "")
        self._writing: asyncio.Task[None] | None = None
        self._wanted = 0  # up to this message a commit does not wait for more
        self._hurry = asyncio.Event()
        #: Set once the lease is ours and every named file was looked at.
        self.settled = asyncio.Event()
        self.stored_rows = 0
        self.busy_s = 0.0
        self.error: str = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Write until `stop`, then commit the rest. Raises Broken where the lease is lost."""
        await asyncio.to_thread(self._open)
        ended = asyncio.ensure_future(stop.wait())
        while not ended.done():
            row = await asyncio.to_thread(self._catalogue.row)
            if row is None or row.lease != self._lease:
                raise Broken(f"the writer of {self._stream} was replaced",
                             code="history.lease_lost", retryable=False)  # fmt: skip
            self._position = await find_start(
                self._bus.streams, self._catalogue, row, now_us(), self._tell_replaced
            )
            await repair_files(
                self._bus.streams, self._catalogue, self._files, self._lease, self._tell
            )
            self.settled.set()
            try:
                await self._follow(ended)
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise

    async def flush(self) -> int:
        """Commit all that was accepted until now without waiting for more; return the number of the
        last message. Raises Broken where the disk, or the stream, does not let that come true."""
        last = (await self._bus.streams.state(self._stream)).last
        if self._position.position < last:
            self._wanted = max(self._wanted, last)
            self._hurry.set()
        end_s = monotonic_s() + _FLUSH_S
        while self._position.position < last:
            if monotonic_s() > end_s:
                raise Broken("what was accepted is not in files yet", code="history.behind",
                             hint=self.error or "See whether history runs")  # fmt: skip
            await asyncio.sleep(_LOOK_S)
        return last

    def _open(self) -> None:
        self._catalogue.take_lease(self._lease, self._files.drop_unnamed)
        row, chunks = self._catalogue.last_chunks()
        for content in chunks.values():
            self._last.update_rows(Rows.from_bytes(content))
        self.stored_rows = row.rows if row else 0

    async def _follow(self, ended: "asyncio.Future[Any]") -> None:
        queue: asyncio.Queue[Message | Gone] = asyncio.Queue(_QUEUED)
        start = self._position
        items = self._bus.streams.follow(self._stream, start.position, start.message_id)
        feeder = asyncio.ensure_future(_feed(items, queue))
        try:
            await self._collect(queue, feeder, ended)
        finally:
            await end(feeder)

    async def _collect(
        self, queue: "asyncio.Queue[Message | Gone]", feeder: "asyncio.Future[None]",
        ended: "asyncio.Future[Any]",
    ) -> None:  # fmt: skip
        batch: _Batch | None = None
        reached = self._position
        while True:
            item = await self._next(queue, feeder, ended, batch)
            if item is not None:
                batch = batch or _Batch(reached, monotonic_s())
                await self._add(batch, item)
                reached = batch.end
            over = ended.done() or (feeder.done() and queue.empty())
            if batch and (over or self._is_due(batch)):
                await self._commit(batch)
                batch = None
            if over:
                await self._settle()
                if feeder.done() and not ended.done():
                    feeder.result()
                return

    async def _next(
        self, queue: "asyncio.Queue[Message | Gone]", feeder: "asyncio.Future[None]",
        ended: "asyncio.Future[Any]", batch: _Batch | None,
    ) -> Message | Gone | None:  # fmt: skip
        """Return the next item, or None when a commit is due or the end has come."""
        if not queue.empty():
            return queue.get_nowait()
        if feeder.done() or ended.done():
            return None
        wait = None
        if batch is not None:
            wait = max(0.0, batch.opened + self._settings.commit_s - monotonic_s())
        getter = asyncio.ensure_future(queue.get())
        waiting: set[asyncio.Future[Any]] = {getter, feeder, ended}
        hurried = None
        if batch is not None and not self._hurry.is_set():
            waiting.add(hurried := asyncio.ensure_future(self._hurry.wait()))
        await asyncio.wait(waiting, timeout=wait, return_when="FIRST_COMPLETED")
        if hurried is not None:
            hurried.cancel()
        if getter.done():
            return getter.result()
        getter.cancel()
        return None

    async def _add(self, batch: _Batch, item: Message | Gone) -> None:
        epoch = batch.end.epoch
        if isinstance(item, Gone):
            await self._tell("history.lost", {"from": item.first, "to": item.last}, item.at)
            batch.end = Checkpoint(epoch, item.last, "")
            return
        try:
            block = bounded(decode_block(item.data, item.headers))
        except Refused as refusal:
            await self._put_aside(epoch, item, refusal)
        else:
            batch.blocks.append((full_seq(epoch, item.seq), block))
            batch.rows += len(block)
            batch.text += text_bytes(block)
        batch.end = Checkpoint(epoch, item.seq, item.id)

    async def _put_aside(self, epoch: int, item: Message, refusal: Refused) -> None:
        origin = f"{self._stream}:{epoch}:{item.seq}"
        await self._bus.quarantine(origin, item.data, item.headers)
        body: dict[str, object] = {"message": item.seq, "reason": refusal.message}
        await self._tell("history.quarantined", body, item.at)

    def _is_due(self, batch: _Batch) -> bool:
        old = monotonic_s() - batch.opened >= self._settings.commit_s
        asked = 0 < self._wanted <= batch.end.position
        full = batch.rows >= self._settings.commit_rows or batch.text >= _TEXT_BYTES
        return old or asked or full

    async def _commit(self, batch: _Batch) -> None:
        if batch.end.position >= self._wanted:
            self._wanted = 0
            self._hurry.clear()
        await self._settle()
        self._writing = asyncio.ensure_future(self._write_patiently(batch))

    async def _settle(self) -> None:
        """Wait for the commit on its way; raise what stopped it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing

    async def _write_patiently(self, batch: _Batch) -> None:
        while True:
            try:
                began = monotonic_s()
                with span("history.commit", rows=batch.rows, blocks=len(batch.blocks)):
                    await asyncio.to_thread(self._write, batch)
                self.busy_s += monotonic_s() - began
                break
            except Broken as error:
                if not error.retryable:
                    raise
                self.error = str(error)
                await asyncio.sleep(_RETRY_S)
        self.error = ""
        with suppress(Away):  # the next commit purges as well
            await self._purge()
        self._step("purged")

    def _write(self, batch: _Batch) -> None:
        last = self._last.copy()
        parts = arrange(batch.blocks, last) if batch.blocks else []
        entries = self._files.write(parts, self._lease[:8])
        touched = {number for part in parts for number in last.touched(part.rows.sid)}
        chunks = {number: last.chunk_rows(number).to_bytes() for number in touched}
        try:
            self._catalogue.commit(
                self._lease, self._position, batch.end, entries, chunks, now_us()
            )
        except Broken:
            self._take_back(entries)
            raise
        except OperationalError as error:
            row = self._catalogue.row()
            if row is None or row.last != batch.end:
                self._take_back(entries)
                raise Broken(f"the catalogue cannot be written: {error.orig}",
                             hint="Free disk space; samples wait in the bus until then",
                             code="history.disk") from error  # fmt: skip
        self._step("committed")
        self._last, self._position = last, batch.end
        self.stored_rows += batch.rows

    def _take_back(self, entries: list[FileEntry]) -> None:
        for entry in entries:
            self._files.remove(entry)

    async def _purge(self) -> None:
        """Forget messages that are kept and lie beyond the margin; the last kept one stays.

        The numbers of a stream that was replaced meanwhile mean nothing: it is left alone.
        """
        row = await asyncio.to_thread(self._catalogue.row)
        state = await self._bus.streams.state(self._stream)
        if row is None or not await still_there(self._bus.streams, row, state):
            return
        excess = state.bytes - self._settings.margin_gb * 1e9
        before = 0
        if excess > 0 and state.last > state.first:
            before = state.first + int((state.last - state.first) * excess / state.bytes)
        horizon = now_us() - int(self._settings.margin_hours * 3.6e9)
        aged = await asyncio.to_thread(self._catalogue.position_at, horizon)
        if aged is not None and aged.epoch == self._position.epoch:
            before = max(before, aged.position)
        before = min(before, self._position.position)
        if before > state.first:
            await self._bus.streams.purge(self._stream, before=before)
            await asyncio.to_thread(
                self._catalogue.forget_checkpoints, self._position.epoch, before
            )

    async def _tell_replaced(self, reason: str) -> None:
        await self._tell("stream.replaced", {"reason": reason})

    async def _tell(self, kind: str, body: dict[str, object], at: int | None = None) -> None:
        await self._bus.tell(Fact(kind, now_us() if at is None else at, self._stream, body))


async def _feed(
    items: AsyncGenerator[Message | Gone, None], queue: "asyncio.Queue[Message | Gone]"
) -> None:
    async with aclosing(items):
        async for item in items:
            await queue.put(item)
