"""The live stream: one SSE connection a page, conflated on this side.

Rules: a page gets the newest value of each signal it asked for, at most ten times a second, only
where it changed; the event's id is the number under which the sample was accepted, so that a page
that comes back gets all that changed since. Every value shown has been accepted (is on disk in the
bus); `stored` says up to which number the catalogue has it too, and once it has what a page was
shown, the page is told, be it by an event without values. A slow page misses values in between,
never the newest, and holds nobody up.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final

import numpy as np

from lineshaft.bus import Bus, Message
from lineshaft.bus.client import fact_stream
from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import AUDIT_KINDS, Fact
from lineshaft.rooms.history.formats import as_columns, dump
from lineshaft.rooms.history.tail import Tail

__all__ = ["Live"]

_PERIOD_S: Final = 0.1
_BEAT_S: Final = 1.0
_FACTS_HELD: Final = 100


class _Page:
    """One connected page: what it waits for and which facts it has not been told."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.facts: deque[Fact] = deque(maxlen=_FACTS_HELD)


class Live:
    """Feeds all connected pages. `read_sources` returns what GET /sources returns; it may block."""

    def __init__(self, bus: Bus, read_sources: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._bus = bus
        self._read_sources = read_sources
        self._sources: Sequence[Mapping[str, Any]] | None = None
        self._pages: set[_Page] = set()
        self._is_closed = False
        self.tail: Tail | None = None

    def close(self) -> None:
        """End all event streams; a server waits for its connections before it ends."""
        self._is_closed = True
        self.heard(0)

    def heard(self, _: int) -> None:
        """Wake the pages: a block has been taken in."""
        for page in self._pages:
            page.wake.set()

    async def look_at_sources(self) -> None:
        """Read the state of the sources once a second, for all pages together, for ever."""
        while True:
            if self._pages:
                found = await asyncio.to_thread(self._read_sources)
                if found != self._sources:
                    self._sources = found
            else:
                self._sources = None  # old by the time the next page comes
            await asyncio.sleep(_BEAT_S)

    async def follow_facts(self) -> None:
        """Hand every new Fact to all pages, for ever."""
        stream = fact_stream(self._bus.site)
        while True:
            with suppress(Broken, TimeoutError):
                newest = (await self._bus.streams.state(stream)).last
                async with aclosing(self._bus.streams.follow(stream, newest)) as items:
                    async for item in items:
                        self._hand_on(item)
            await asyncio.sleep(0.5)

    def _hand_on(self, item: object) -> None:
        if not isinstance(item, Message):
            return
        with suppress(Refused):
            fact = Fact.from_json(item.data)
            if fact.kind in AUDIT_KINDS:
                return  # who did what is for those with the right alone, at GET /audit
            for page in self._pages:
                page.facts.append(fact)
                page.wake.set()

    async def events(self, sids: Sequence[int], after: int) -> AsyncIterator[bytes]:
        """Return the page's event stream; `after` is the number of the last event it has."""
        wanted = np.unique(np.array(sids, np.int32))
        page = _Page()
        self._pages.add(page)
        try:
            async for event in self._run(page, wanted, after):
                yield event
        finally:
            self._pages.discard(page)

    async def _run(
        self, page: _Page, wanted: np.ndarray[Any, Any], after: int
    ) -> AsyncIterator[bytes]:
        sent_at = beat_at = sources_at = -1e9
        shown: Sequence[Mapping[str, Any]] | None = None
        first, unconfirmed = True, 0
        while not self._is_closed:
            now = monotonic_s()
            if now - sources_at >= _BEAT_S and self._sources is not shown:
                sources_at, shown = now, self._sources
                if shown is not None:
                    yield _event("sources", {"sources": shown})
            while page.facts:
                yield _event("fact", _fact(page.facts.popleft()))
            if now - sent_at >= _PERIOD_S and self.tail is not None:
                newest, stored = self.tail.newest, self.tail.stored
                after = after if after <= newest else 0  # a number of another data folder
                rows = self.tail.last.changed(wanted, after)
                unconfirmed = int(rows.seq.max()) if len(rows) else unconfirmed
                confirmed = 0 < unconfirmed <= stored
                if len(rows) or first or confirmed:
                    sent_at, first = now, False
                    unconfirmed = 0 if confirmed else unconfirmed
                    content = {**as_columns(rows), "seq": newest, "stored": stored}
                    yield _event("values", content, newest)
                after = max(after, newest)
            if now - beat_at >= _BEAT_S:
                beat_at = now
                yield b": beat\n\n"
            await self._sleep(page, sent_at)

    async def _sleep(self, page: _Page, sent_at: float) -> None:
        """Wait until there is something new, but keep the period and the beat."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEAT_S / 2):
                await page.wake.wait()
        page.wake.clear()
        pause = sent_at + _PERIOD_S - monotonic_s()
        if pause > 0:
            await asyncio.sleep(pause)


def _event(name: str, content: Mapping[str, Any], number: int | None = None) -> bytes:
    identity = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), identity, dump(content))


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id, "kind": fact.kind, "at": fact.at, "subject": fact.subject,
        "body": dict(fact.body), "cause": fact.cause,
    }  # fmt: skip
