"""One platform without machines for all tests of the doors; samples are put on its bus by hand."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lineshaft.bus import Bus, BusAccess
from lineshaft.clock import now_us
from lineshaft.core.samples import SampleBlock
from lineshaft.core.signals import Kind, Signal
from lineshaft.records import open_records
from lineshaft.rooms.plant.store import SignalStore
from tests.end_to_end.platform import Platform, running

SITE = "demo"


class House(Platform):
    """A running platform, and what a test needs to feed it."""

    def register(self, *signals: Signal) -> list[int]:
        """Put signals on the list and return their sids."""
        engine = open_records(self.folder / "records.sqlite")
        try:
            return [one.sid for one in SignalStore(engine, now_us).register(signals)]
        finally:
            engine.dispose()

    @contextmanager
    def sign_in(self) -> Iterator[httpx.Client]:
        """Hand out a client that holds a session's cookie, as a browser does."""
        with httpx.Client(base_url=f"{self.url}/api/v1/", timeout=30) as client:
            code = self.post("session/code", {})["code"]
            answer = client.post("session", json={"code": code}, headers={"X-Lineshaft": "1"})
            assert answer.status_code == 204, answer.text
            yield client

    def change_records(self, sql: str, *values: object) -> None:
        """Change the records database behind the platform's back."""
        with sqlite3.connect(self.folder / "records.sqlite", timeout=20) as connection:
            connection.execute(sql, values)
        connection.close()

    def ask_records(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows that a question to the records database has."""
        with sqlite3.connect(self.folder / "records.sqlite", timeout=20) as connection:
            found = connection.execute(sql, values).fetchall()
        connection.close()
        return found

    async def stored(self) -> None:
        """Return once the catalogue has everything that was accepted until now."""
        accepted = (await asyncio.to_thread(self.get, "system"))["stream"]["last_seq"]
        async with asyncio.timeout(60):
            while True:
                stream = (await asyncio.to_thread(self.get, "system"))["stream"]
                if stream["stored_seq"] >= accepted:
                    return
                await asyncio.sleep(0.05)


class Feed:
    """Puts samples on the bus as a connector does; `wait` returns once the doors have them."""

    def __init__(self, house: House, bus: Bus) -> None:
        self._house, self.bus = house, bus
        self.number = 0

    async def put(
        self, sid: int, rows: Sequence[tuple[int, float | None, int]],
        texts: Sequence[str | None] | None = None,
    ) -> None:  # fmt: skip
        """Publish rows (ts, v, q) of one signal."""
        ts, v, q = zip(*rows, strict=True)
        values = [float("nan") if value is None else value for value in v]
        block = SampleBlock.from_columns(
            [sid] * len(rows), ts, values, q, s=texts, origin="test", arrival=now_us()
        )
        self.number = await self.bus.publish(block)

    async def wait(self) -> None:
        """Return once the web process has taken in the last block."""
        low = (1 << 40) - 1
        async with asyncio.timeout(60):
            while True:
                stream = (await asyncio.to_thread(self._house.get, "system"))["stream"]
                if stream["last_seq"] & low >= self.number:
                    return
                await asyncio.sleep(0.02)


def made(name: str, kind: Kind = Kind.FLOAT, unit: str = "", source: str = "test") -> Signal:
    """Return a signal to be registered."""
    return Signal(0, f"lineshaft/demo/test/web/m/{name}", name, kind, unit, source=source)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house") / "data"
    environ = {"LINESHAFT__HISTORY__COMMIT_S": "0.2"}
    with running(folder, verb="up", environ=environ, kind=House) as platform:
        assert isinstance(platform, House)
        yield platform


@pytest.fixture
async def feed(house: House) -> AsyncIterator[Feed]:
    access = BusAccess(**json.loads(Path(house.folder / "run/bus-platform.json").read_text()))
    bus = await Bus.connect(access, SITE, "test")
    yield Feed(house, bus)
    await bus.close()
