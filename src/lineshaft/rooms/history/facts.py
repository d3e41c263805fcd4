"""The keeper of Facts: from their stream into the database, each once, in order."""

import asyncio
from contextlib import aclosing, suppress

from sqlalchemy import Engine

from lineshaft.bus import Bus, Gone, Message
from lineshaft.bus.client import fact_stream
from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.rooms.history.engine.rows import full_seq
from lineshaft.rooms.history.epochs import find_start
from lineshaft.rooms.history.model import Checkpoint
from lineshaft.rooms.history.store import Catalogue, FactStore

__all__ = ["FactKeeper"]


class FactKeeper:
    """Keeps the Facts of a site. `lease` must be new for every start."""

    def __init__(self, bus: Bus, engine: Engine, *, lease: str) -> None:
        self._bus = bus
        self._catalogue = Catalogue(engine, fact_stream(bus.site))
        self._store = FactStore(engine)
        self._lease = lease

    async def run(self) -> None:
        """Keep Facts for ever. Raises Broken where another keeper took over."""
        await asyncio.to_thread(self._catalogue.take_lease, self._lease)
        while True:
            row = await asyncio.to_thread(self._catalogue.row)
            if row is None or row.lease != self._lease:
                raise Broken("the keeper of facts was replaced", code="history.lease_lost")
            start, _ = await find_start(self._bus.streams, self._catalogue, row, now_us())
            try:
                await self._follow(start)
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise

    async def _follow(self, start: Checkpoint) -> None:
        position = start
        stream = self._catalogue.stream
        async with aclosing(self._bus.streams.follow(stream, start.position)) as items:
            async for item in items:
                position = await asyncio.to_thread(self._keep, position, item)

    def _keep(self, before: Checkpoint, item: Message | Gone) -> Checkpoint:
        facts: list[tuple[int, Fact]] = []
        if isinstance(item, Gone):
            after = Checkpoint(before.epoch, item.last, "")
        else:
            after = Checkpoint(before.epoch, item.seq, item.id)
            with suppress(Refused):  # not a Fact: passed over; it stays readable in the stream
                facts.append((full_seq(before.epoch, item.seq), Fact.from_json(item.data)))
        self._store.keep(self._catalogue, self._lease, before, facts, after)
        return after
