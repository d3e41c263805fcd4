"""A page's end of the live stream, as a browser reads it (WHATWG HTML, 9.2.6)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.web.conftest import House

__all__ = ["Event", "Page", "open_page"]


class Event:
    """One event: its name, id (None where it has none), data; `beat` for a comment."""

    def __init__(self, name: str, number: int | None, data: Any, at: float) -> None:
        self.name, self.number, self.data, self.at = name, number, data, at

    def rows(self) -> dict[int, tuple[int, float | None, int]]:
        """Return (ts, v, q) by sid of a `values` event."""
        sid, *rest = (self.data[name] for name in ("sid", "ts", "v", "q", "s"))
        return {one: (ts, v, q) for one, ts, v, q, _ in zip(sid, *rest, strict=True)}


class Page:
    """All events as they came, and a way to wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._came = asyncio.Condition()

    async def read(self, lines: AsyncIterator[str]) -> None:
        """Take in lines for ever."""
        fields: dict[str, str] = {}
        async for line in lines:
            now = asyncio.get_running_loop().time()
            if line.startswith(":"):
                await self._add(Event("beat", None, line, now))
            elif line:
                name, _, value = line.partition(": ")
                assert name in {"event", "id", "data"} and name not in fields
                fields[name] = value
            elif fields:
                number = int(fields["id"]) if "id" in fields else None
                await self._add(Event(fields["event"], number, json.loads(fields["data"]), now))
                fields = {}

    async def _add(self, event: Event) -> None:
        async with self._came:
            self.events.append(event)
            self._came.notify_all()

    def named(self, name: str) -> list[Event]:
        """Return the events of a name so far."""
        return [event for event in self.events if event.name == name]

    async def wait(
        self, name: str, fits: Callable[[Event], Any] = lambda _: True, seconds: float = 30
    ) -> Event:
        """Return the first event of a name that fits, past ones included."""
        async with asyncio.timeout(seconds), self._came:
            while True:
                for event in self.named(name):
                    if fits(event):
                        return event
                await self._came.wait()


@asynccontextmanager
async def open_page(
    house: House, *sids: int, last_event_id: int | None = None
) -> AsyncIterator[Page]:
    """Open the live stream and read it until the block ends."""
    headers = {"Authorization": f"Bearer {house.key}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    url = f"{house.url}/api/v1/live"
    page = Page()
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", url, params={"sid": ",".join(map(str, sids))}, headers=headers) as got,
    ):
        assert got.status_code == 200
        assert got.headers["content-type"].startswith("text/event-stream")
        assert got.headers["cache-control"] == "no-store"
        assert got.headers["x-content-type-options"] == "nosniff"
        reading = asyncio.ensure_future(page.read(got.aiter_lines()))
        try:
            yield page
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
