"""The keeper of Facts: from their stream into the database, each once, in order."""

import asyncio
from contextlib import aclosing

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

_FOREVER = 1 << 62
_MAX_KIND = 64


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
            start = await find_start(
                self._bus.streams, self._catalogue, row, now_us(), self._tell_replaced
            )
            try:
                await self._follow(start)
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise

    async def _follow(self, start: Checkpoint) -> None:
        position = start
        stream = self._catalogue.stream
        items = self._bus.streams.follow(stream, start.position, start.message_id)
        async with aclosing(items):
            async for item in items:
                position = await asyncio.to_thread(self._keep, position, item)

    def _keep(self, before: Checkpoint, item: Message | Gone) -> Checkpoint:
        if isinstance(item, Gone):
            lost = Fact("history.lost", item.at, self._catalogue.stream,
                        {"from": item.first, "to": item.last})  # fmt: skip
            after = Checkpoint(before.epoch, item.last, "")
            facts = [(full_seq(before.epoch, item.last), lost)]
        else:
            after = Checkpoint(before.epoch, item.seq, item.id)
            fact = _read(item.data)
            facts = [] if fact is None else [(full_seq(before.epoch, item.seq), fact)]
        self._store.keep(self._catalogue, self._lease, before, facts, after)
        return after

    async def _tell_replaced(self, reason: str) -> None:
        body = {"reason": reason}
        await self._bus.tell(Fact("stream.replaced", now_us(), self._catalogue.stream, body))


def _read(content: bytes) -> Fact | None:
    """Return the Fact, or None for what is none or could not be kept; that stays in the stream."""
    try:
        fact = Fact.from_json(content)
        numbers = (fact.at, fact.body.get("from", 0), fact.body.get("to", 0))
        # What a database refuses would stop the keeper at this message for ever.
        odd = any(isinstance(n, int) and not -_FOREVER < n < _FOREVER for n in numbers)
        fact.subject.encode()
        fact.kind.encode()
    except (Refused, OverflowError, UnicodeEncodeError):
        return None
    return None if odd or "\0" in fact.subject or len(fact.kind) > _MAX_KIND else fact
