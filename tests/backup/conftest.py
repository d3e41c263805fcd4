"""A running platform, a feed that never stops, and what both put there."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lineshaft.bus import Bus, BusAccess
from lineshaft.clock import now_us
from lineshaft.core.samples import SampleBlock
from tests.end_to_end.platform import running
from tests.web.conftest import SITE, House, made

ROWS = 50


class Counter:
    """Publishes one signal whose values are 0, 1, 2, …, a stamp a millisecond."""

    def __init__(self, house: House, sid: int, bus: Bus) -> None:
        self.house, self.sid, self.bus = house, sid, bus
        self.first = now_us() - 3_600_000_000
        self.sent = 0

    async def put(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            numbers = range(self.sent, self.sent + ROWS)
            block = SampleBlock.from_columns(
                [self.sid] * ROWS, [self.first + n * 1000 for n in numbers],
                [float(n) for n in numbers], [0] * ROWS, origin="test", arrival=now_us(),
            )  # fmt: skip
            await self.bus.publish(block)
            self.sent += ROWS

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Publish all the time meanwhile."""
        over = asyncio.Event()

        async def work() -> None:
            while not over.is_set():
                await self.put()
                await asyncio.sleep(0.005)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            over.set()
            await asyncio.wait_for(task, 30)


def numbers(house: House, sid: int) -> list[int]:
    """Return every value of the signal that the platform reads."""
    found = house.get("raw", sid=str(sid), **{"from": 0}, format="json")
    return [int(v) for v in found["v"]]


@asynccontextmanager
async def counting(house: House, sid: int) -> AsyncIterator[Counter]:
    access = BusAccess(**json.loads((house.folder / "run/bus-platform.json").read_text()))
    bus = await Bus.connect(access, SITE, "test")
    try:
        yield Counter(house, sid, bus)
    finally:
        await bus.close()


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("kept") / "data"
    environ = {"LINESHAFT__HISTORY__COMMIT_S": "0.3"}
    with running(folder, verb="up", environ=environ, kind=House) as platform:
        assert isinstance(platform, House)
        yield platform


@pytest.fixture(scope="package")
def sid(house: House) -> int:
    return house.register(made("count"))[0]


def same_bytes(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()
