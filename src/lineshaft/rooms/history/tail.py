"""The tail: what the stream holds and the catalogue does not yet, followed in memory.

Rules: the tail is complete from the catalogue's position to the newest message; a cut takes the
tail first and the catalogue after it, so that no row is missed or read twice. Blocks below the
catalogue's position are dropped.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import aclosing

import numpy as np
from sqlalchemy import Engine

from lineshaft.bus import Bus, Gone, Message
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.bus.streams import end
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import Rows, bounded, full_seq, split_seq
from lineshaft.rooms.history.model import StreamRow
from lineshaft.rooms.history.store import Catalogue

__all__ = ["Tail", "TailBlock"]

_PRUNE_S = 1.0
_RETRY_S = 0.05


class TailBlock:
    """The rows of one block that is not in a file yet, with its full sequence number."""

    __slots__ = ("_first", "_high", "_last", "_low", "_rows", "seq")

    def __init__(self, seq: int, block: SampleBlock) -> None:
        self.seq = seq
        self._rows = rows = Rows.of_block(seq, block)
        self._low, self._high = int(rows.sid[0]), int(rows.sid[-1])
        self._first, self._last = int(rows.ts.min()), int(rows.ts.max())

    def __len__(self) -> int:
        return len(self._rows)

    def whole(self) -> Rows:
        """Return all rows, as views."""
        return self._rows

    def rows(self, sids: Sequence[int], start: int, end: int) -> list[Rows]:
        """Return the rows of these signals (ascending) in [start, end), a part a signal that has
        any."""
        if not sids or sids[-1] < self._low or sids[0] > self._high:
            return []
        if end <= self._first or start > self._last:
            return []
        sid, ts, found = self._rows.sid, self._rows.ts, []
        for wanted in sids:
            # Keys of the columns' own types: any other has numpy copy the column first.
            key = np.int32(wanted)
            first = int(sid.searchsorted(key))
            last = int(sid.searchsorted(key, "right"))
            if first < last:
                stamps = ts[first:last]
                last = first + int(stamps.searchsorted(np.int64(end)))
                first += int(stamps.searchsorted(np.int64(start)))
            if first < last:
                found.append(self._rows.slice(first, last))
        return found


class Tail:
    """Follows a site's stream; `heard` is called after every block with its full number."""

    def __init__(self, bus: Bus, engine: Engine, heard: Callable[[int], None]) -> None:
        self._bus = bus
        self._stream = data_stream(bus.site)
        self._catalogue = Catalogue(engine, self._stream)
        self._heard = heard
        self._blocks: list[TailBlock] = []
        self._row: StreamRow | None = None
        self._lock = threading.Lock()
        self.last = LastValues()
        self.newest = 0
        self.samples = 0
        #: Set while this has everything that was accepted when it last began to follow.
        self.ready = asyncio.Event()

    @property
    def stored(self) -> int:
        """Return the full number up to which the catalogue has everything, as last seen."""
        row = self._row
        return 0 if row is None else full_seq(row.last.epoch, row.last.position)

    @property
    def stored_rows(self) -> int:
        """Return how many rows the catalogue has, as last seen."""
        return 0 if self._row is None else self._row.rows

    def blocks(self) -> list[TailBlock]:
        """Return the blocks held now; the list is the caller's own."""
        return list(self._blocks)

    def newest_rows(self, sids: Sequence[int]) -> Rows:
        """Return the newest row of each signal that has any, by sid; callable in any thread."""
        wanted = np.array(sids, np.int32)
        if not (wanted[1:] > wanted[:-1]).all():
            wanted = np.unique(wanted)
        with self._lock:
            return self.last.of(wanted)

    async def run(self) -> None:
        """Follow for ever, starting again where the stream or its epoch changes."""
        while True:
            row = await self._load()
            if row is None:
                await asyncio.sleep(_RETRY_S)
                continue
            pruner = asyncio.ensure_future(self._prune(row.last.epoch))
            follower = asyncio.ensure_future(self._follow(row))
            try:
                await asyncio.wait({pruner, follower}, return_when="FIRST_COMPLETED")
            finally:
                outcomes = await end(pruner, follower)
            for outcome in outcomes:
                heals = isinstance(outcome, Broken) and outcome.retryable
                if isinstance(outcome, Exception) and not heals:
                    raise outcome
            await asyncio.sleep(_RETRY_S)

    async def _load(self) -> StreamRow | None:
        """Start from the catalogue, once its writer knows the stream that is there now."""
        self.ready.clear()
        row, chunks = await asyncio.to_thread(self._catalogue.last_chunks)
        try:
            state = await self._bus.streams.state(self._stream)
        except Broken:
            return None
        if row is None or row.token != state.token:
            return None
        last = LastValues()
        for content in chunks.values():
            last.update_rows(Rows.from_bytes(content))
        self.last, self._blocks, self._row = last, [], row
        self.newest = self.stored
        return row

    async def _follow(self, row: StreamRow) -> None:
        state = await self._bus.streams.state(self._stream)
        if row.last.position >= state.last:
            self.ready.set()
        start = row.last
        items = self._bus.streams.follow(self._stream, start.position, start.message_id)
        async with aclosing(items):
            async for item in items:
                if isinstance(item, Message):
                    self._take(full_seq(start.epoch, item.seq), item)
                elif await self._was_stored(item):
                    return  # we fell behind the purge: the newest values are in the catalogue
                else:
                    self.newest = full_seq(start.epoch, item.last)
                if split_seq(self.newest)[1] >= state.last:
                    self.ready.set()

    async def _was_stored(self, gone: Gone) -> bool:
        row = await asyncio.to_thread(self._catalogue.row)
        return row is not None and row.last.position >= gone.last

    def _take(self, seq: int, item: Message) -> None:
        try:
            block = bounded(decode_block(item.data, item.headers))
        except Refused:
            self.newest = seq
            return  # the writer puts it aside and tells
        self._blocks.append(TailBlock(seq, block))
        with self._lock:
            self.last.update(block, seq)
        self.newest = seq
        self.samples += len(block)
        self._heard(seq)

    async def _prune(self, epoch: int) -> None:
        """Drop what the catalogue has; end when a new epoch begins."""
        while True:
            await asyncio.sleep(_PRUNE_S)
            row = await asyncio.to_thread(self._catalogue.row)
            if row is None or row.last.epoch != epoch:
                return
            self._row = row
            stored = full_seq(epoch, row.last.position)
            keep = next(
                (i for i, held in enumerate(self._blocks) if held.seq > stored), len(self._blocks)
            )
            del self._blocks[:keep]
