"""The tail: what the stream holds and the catalogue does not yet, followed in memory.

Rules: the tail is complete from the catalogue's position to the newest message; a cut takes the
tail first and the catalogue after it, so that no row is missed or read twice. Blocks below the
catalogue's position are dropped.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine

from lineshaft.bus import Bus, Message
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import Rows, full_seq, gather, split_seq
from lineshaft.rooms.history.model import StreamRow
from lineshaft.rooms.history.store import Catalogue

__all__ = ["Tail", "TailBlock"]

_PRUNE_S = 1.0


@dataclass(frozen=True, slots=True)
class TailBlock:
    """A block that is not in a file yet, with its full sequence number."""

    seq: int
    block: SampleBlock

    def rows(self, sids: Sequence[int], start: int, end: int) -> Rows | None:
        """Return the rows of these signals in [start, end), or None."""
        sid, ts = self.block.sid, self.block.ts
        spans = []
        for wanted in sids:
            first, last = np.searchsorted(sid, (wanted, wanted + 1))
            if first < last:
                first, last = first + np.searchsorted(ts[first:last], (start, end))
            if first < last:
                spans.append((int(first), int(last)))
        if not spans:
            return None
        cuts = [
            SampleBlock(self.block.batch.slice(i, j - i), self.block.origin, self.block.arrival)
            for i, j in spans
        ]
        return gather([(self.seq, cut) for cut in cuts])


class Tail:
    """Follows a site's stream; `heard` is called after every block with its full number."""

    def __init__(self, bus: Bus, engine: Engine, heard: Callable[[int], None]) -> None:
        self._bus = bus
        self._stream = data_stream(bus.site)
        self._catalogue = Catalogue(engine, self._stream)
        self._heard = heard
        self._blocks: list[TailBlock] = []
        self._row: StreamRow | None = None
        self.last = LastValues()
        self.newest = 0
        self.samples = 0
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

    async def run(self) -> None:
        """Follow for ever, starting again where the stream or its epoch changes."""
        while True:
            row = await self._load()
            if row is None:
                await asyncio.sleep(0.05)
                continue
            pruner = asyncio.ensure_future(self._prune(row.last.epoch))
            follower = asyncio.ensure_future(self._follow(row))
            try:
                await asyncio.wait({pruner, follower}, return_when="FIRST_COMPLETED")
            finally:
                pruner.cancel()
                follower.cancel()
                outcomes = await asyncio.gather(pruner, follower, return_exceptions=True)
            for outcome in outcomes:
                rolled = isinstance(outcome, Broken) and outcome.code == "bus.rolled_back"
                if isinstance(outcome, Exception) and not rolled:
                    raise outcome

    async def _load(self) -> StreamRow | None:
        """Start from the catalogue, once its writer knows the stream that is there now."""
        row, chunks = await asyncio.to_thread(self._catalogue.last_chunks)
        try:
            state = await self._bus.streams.state(self._stream)
        except (Broken, TimeoutError):
            return None
        if row is None or row.token != state.token:
            return None
        self.last = LastValues()
        for content in chunks.values():
            self.last.update_rows(Rows.from_bytes(content))
        self._blocks, self._row = [], row
        self.newest = self.stored
        return row

    async def _follow(self, row: StreamRow) -> None:
        state = await self._bus.streams.state(self._stream)
        if row.last.position >= state.last:
            self.ready.set()
        async with aclosing(self._bus.streams.follow(self._stream, row.last.position)) as items:
            async for item in items:
                if isinstance(item, Message):
                    self._take(full_seq(row.last.epoch, item.seq), item)
                    if item.seq >= state.last:
                        self.ready.set()

    def _take(self, seq: int, item: Message) -> None:
        try:
            block = decode_block(item.data, item.headers)
        except Refused:
            return  # the writer puts it aside and tells
        self._blocks.append(TailBlock(seq, block))
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

    def lag(self) -> int:
        """Return how many messages wait between the stream's end and the catalogue."""
        return max(0, split_seq(self.newest)[1] - split_seq(self.stored)[1])
