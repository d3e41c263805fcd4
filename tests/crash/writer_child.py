"""A writer, or a keeper of Facts, in a process of its own that ends at a chosen moment.

Run as a program (`python -m tests.crash.writer_child ORDER`) it can be traced; the tests otherwise
fork it from a server that has the imports done, so that fifty lives take seconds.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from lineshaft.bus.streams import end
from lineshaft.core.errors import Broken
from lineshaft.records import Engine, open_records
from lineshaft.rooms.history.compactor import Compactor
from lineshaft.rooms.history.facts import FactKeeper
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.writer import Writer
from lineshaft.settings import History

LEASE_LOST = 3


@dataclass(frozen=True)
class Order:
    """What to run where; at the `at`-th `step` the process sends itself `signal`."""

    folder: str
    step: str = ""
    at: int = 0
    signal: int = signal.SIGKILL
    commit_s: float = 0.1
    commit_rows: int = 500
    margin_gb: float = 0.0002
    keeper: bool = False
    compact: bool = False

    def settings(self) -> History:
        return History(self.commit_rows, self.commit_s, margin_gb=self.margin_gb)


def run(order: Order) -> None:
    """Run until killed, told to stop, or replaced (exit code LEASE_LOST)."""
    os.setsid()
    log = os.open(Path(order.folder) / "writer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    try:
        asyncio.run(_run(order))
    except Broken as error:
        if error.code != "history.lease_lost":
            raise
        os._exit(LEASE_LOST)


async def _run(order: Order) -> None:
    folder, seen = Path(order.folder), 0

    def step(name: str) -> None:
        nonlocal seen
        seen += name == order.step
        if name == order.step and seen == order.at:
            os.kill(os.getpid(), order.signal)

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "t", "writer")
    await bus.ensure_streams(1_000_000_000)
    engine = open_records(folder / "records.sqlite")
    lease = uuid.uuid4().hex
    if order.keeper:
        await FactKeeper(bus, engine, lease=lease).run()
    writer = Writer(bus, engine, folder / "history", order.settings(), lease=lease, step=step)
    compacting = asyncio.ensure_future(_compact(order, writer, engine, lease, step))
    await writer.run(stop)
    await end(compacting)
    await bus.close()


async def _compact(
    order: Order, writer: Writer, engine: Engine, lease: str, step: Callable[[str], None]
) -> None:
    """Compact in haste beside the writer; its steps are called `compact-written` and so on."""

    def named(name: str) -> None:
        step(f"compact-{name}")

    files = FileStore(Path(order.folder) / "history", named)
    compactor = Compactor(engine, "DATA_t", files, lease=lease, settle_s=0.2, grace_s=0, told=named)
    await writer.settled.wait()
    while order.compact:
        if not await compactor.step():
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    run(Order(**json.loads(sys.argv[1])))


def as_argument(order: Order) -> str:
    """Return the order as the program's argument."""
    return json.dumps(asdict(order))
