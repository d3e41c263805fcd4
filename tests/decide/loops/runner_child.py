"""The process `decide`, on the records and the bus of a test."""

import asyncio
import signal
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from lineshaft.clock import now_us
from lineshaft.records import open_records
from lineshaft.rooms.decide.runner import Ground, keep_loops
from lineshaft.rooms.plant.store import SignalStore
from tests.connect.conftest import SITE

KEY = b"the key of the test"


def run(folder: str) -> None:
    """Run loops until SIGTERM."""
    asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), SITE, "decide")
    engine = open_records(folder / "records.db")
    ground = Ground(
        bus, engine, key=KEY, signals=SignalStore(engine, now_us).by_sid,
        approvers=lambda: frozenset({"ann"}), full_seq=lambda seq: seq,
    )  # fmt: skip
    await keep_loops(ground, stop)
    await bus.close()
