"""A whole site in a folder: bus, database, files, a reader, and processes that die."""

import asyncio
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lineshaft.bus import Bus
from lineshaft.bus.streams import end
from lineshaft.core.facts import Fact
from lineshaft.records import metadata, open_records
from lineshaft.rooms.history.facts import FactKeeper
from lineshaft.rooms.history.files import rollup_path
from lineshaft.rooms.history.model import StreamRow
from lineshaft.rooms.history.reader import Reader
from lineshaft.rooms.history.store import Catalogue, FactStore
from lineshaft.rooms.history.tail import Tail
from lineshaft.rooms.history.writer import Writer
from tests.crash.numbers import ROWS, SIDS, first_hole, numbered
from tests.crash.writer_child import Order, run
from tests.support.nats import NatsServer

STREAM = "DATA_t"
FOREVER = 1 << 62
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["lineshaft.rooms.history.writer", "lineshaft.rooms.history.facts"])


class Child:
    """A process of ours; ended with the test."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._process = _forks.Process(target=work, args=arguments, daemon=True)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._process.join(20)

    async def ended(self, within_s: float = 30) -> int | None:
        """Return the exit code once the process is over."""
        await until(lambda: not self._process.is_alive(), within_s)
        return self._process.exitcode

    async def stopped(self, within_s: float = 30) -> None:
        """Return once the process is paused."""
        state = Path(f"/proc/{self._process.pid}/stat")
        await until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", within_s)


async def until(holds: Callable[[], bool], within_s: float = 30) -> None:
    """Return once `holds()`; fail when it does not in time."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"it did not come true within {within_s} s"
        await asyncio.sleep(0.01)


class Site:
    """The site; `published` blocks were acknowledged so far."""

    def __init__(self, folder: Path, nats: NatsServer, bus: Bus) -> None:
        self.folder, self.nats, self.bus = folder, nats, bus
        self.engine = open_records(folder / "records.sqlite")
        metadata.create_all(self.engine)
        self.catalogue = Catalogue(self.engine, STREAM)
        self.tail = Tail(bus, self.engine, lambda _: None)
        self.reader = Reader(self.tail, self.engine, STREAM, folder / "history")
        self.published = 0
        self.epoch_rows = 0
        self._children: list[Child] = []

    def writer(self, **order: Any) -> Child:
        """Start a writer; see `Order`."""
        return self.child(run, Order(str(self.folder), **order))

    def child(self, work: Callable[..., None], *arguments: Any) -> Child:
        child = Child(work, *arguments)
        self._children.append(child)
        return child

    async def publish(self, blocks: int) -> None:
        for _ in range(blocks):
            await self.bus.publish(numbered(self.published))
            self.published += 1

    @asynccontextmanager
    async def publishing(self, pause_s: float = 0.005) -> AsyncIterator[None]:
        """Publish all the time meanwhile; everything is acknowledged at the end."""
        over = asyncio.Event()

        async def work() -> None:
            while not over.is_set():
                await self.publish(1)
                await asyncio.sleep(pause_s)

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            over.set()
            await asyncio.wait_for(task, 30)

    @asynccontextmanager
    async def writing(self, **order: Any) -> AsyncIterator[Writer]:
        """Run a writer in this process meanwhile; raise what stopped it."""
        settings = Order(str(self.folder), **order).settings()
        lease, stop = uuid.uuid4().hex, asyncio.Event()
        writer = Writer(self.bus, self.engine, self.folder / "history", settings, lease=lease)
        task = asyncio.create_task(writer.run(stop))
        try:
            yield writer
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Keep the tail running meanwhile."""
        task = asyncio.create_task(self.tail.run())
        try:
            yield
        finally:
            await end(task)

    async def restart_bus(self, between: Callable[[], object] = lambda: None) -> None:
        """Kill the bus, do something, start it, and return once we are connected again."""
        client = self.bus._client
        before = client.stats["reconnects"]
        self.nats.kill()
        between()
        self.nats.start()
        await until(lambda: client.stats["reconnects"] > before and client.is_connected)

    def row(self) -> StreamRow:
        row = self.catalogue.row()
        assert row is not None
        return row

    async def stored(self, within_s: float = 30) -> None:
        """Return once the catalogue has all that the stream holds."""
        late = time.monotonic() + within_s
        while True:
            state = await self.bus.streams.patiently(self.bus.streams.state, STREAM)
            row = self.catalogue.row()
            if row and (row.token, row.last.position) == (state.token, state.last):
                return
            assert time.monotonic() < late, f"stored up to {row}, the stream ends at {state}"
            await asyncio.sleep(0.02)

    def file_numbers(self) -> list[int]:
        """Return the number of every row in every named file, sorted, doubles included."""
        _, named = self.catalogue.files()
        numbers: list[int] = []
        for entry in named:
            table = pq.ParquetFile(self.folder / "history" / entry.path).read(columns=["v"])
            assert table.num_rows == entry.rows
            numbers.extend(int(v) for v in table.column("v").to_pylist())
        return sorted(numbers)

    def read_numbers(self) -> list[int]:
        """Return the numbers that the reader sees, sorted."""
        rows = self.reader.raw(SIDS, 0, FOREVER)
        return sorted(int(v) for v in rows.v.tolist())

    def check_files(self) -> None:
        """Every acknowledged sample stands in exactly one named file; there is no other file."""
        wrong = first_hole(self.file_numbers(), self.published * ROWS)
        assert not wrong, wrong
        _, named = self.catalogue.files()
        on_disk = {str(p.relative_to(self.folder / "history"))
                   for p in (self.folder / "history").glob("*/*")}  # fmt: skip
        beside = {rollup_path(entry.path) for entry in named if entry.rollup_size}
        assert on_disk == {entry.path for entry in named} | beside
        assert self.row().rows == self.published * ROWS

    async def check_reader(self, within_s: float = 30) -> None:
        """The reader sees every acknowledged sample exactly once, writer or no writer."""
        await until(lambda: len(self.read_numbers()) >= self.published * ROWS, within_s)
        wrong = first_hole(self.read_numbers(), self.published * ROWS)
        assert not wrong, wrong

    async def facts(self, kind: str) -> list[Fact]:
        """Return all Facts of a kind that were told so far, oldest first."""
        lease = f"test{time.monotonic_ns()}"
        task = asyncio.create_task(FactKeeper(self.bus, self.engine, lease=lease).run())
        stream = Catalogue(self.engine, "FACT_t")
        newest = (await self.bus.streams.patiently(self.bus.streams.state, "FACT_t")).last

        def is_kept() -> bool:  # by this keeper, not by one that it replaced
            row = stream.row()
            return row is not None and row.lease == lease and row.last.position >= newest

        try:
            await until(is_kept)
        finally:
            await end(task)
        return FactStore(self.engine).find(kinds=[kind], limit=5000)[::-1]

    def end(self) -> None:
        for child in self._children:
            child.kill()
        self.engine.dispose()


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """Start a bus in the folder and hand out the site; everything is ended afterwards."""
    with NatsServer(folder, max_gb=5) as nats:
        async with nats.bus() as bus:
            await bus.ensure_streams(1_000_000_000)
            site = Site(folder, nats, bus)
            try:
                yield site
            finally:
                site.end()
