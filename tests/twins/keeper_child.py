"""A keeper of twins in a process of its own."""

import asyncio
import signal
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from lineshaft.records import open_records
from lineshaft.rooms.twins import keeper
from lineshaft.rooms.twins.store import TwinStore


def run(folder: str, snapshot_s: float) -> None:
    """Keep the twins of a folder until SIGTERM."""
    keeper._SNAPSHOT_S = snapshot_s  # type: ignore[misc]
    asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "t", "twins")
    store = TwinStore(open_records(folder / "records.sqlite"))
    await keeper.keep_twins(bus, store, folder / "twins", stop)
    await bus.close()
