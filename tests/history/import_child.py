"""Imports in a process of its own, in small pieces, until it is killed."""

import asyncio
import os
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from lineshaft.clock import now_us
from lineshaft.records import open_records
from lineshaft.rooms.history import import_files, import_work
from lineshaft.rooms.history.imports import Imports
from lineshaft.rooms.plant.conversion import conversion
from lineshaft.rooms.plant.store import SignalStore

PIECE, BLOCK = 40_000, 700


def imports_of(folder: Path, bus: Bus) -> Imports:
    """Return the imports of a folder with a bus and a records database."""
    engine = open_records(folder / "records.sqlite")
    signals = SignalStore(engine, now_us)
    return Imports(
        bus, engine, folder / "imports", directory=signals,
        signals=lambda: [listed.signal for listed in signals.list()], conversion=conversion,
        prefix="test/t", max_bytes=10**9,
    )  # fmt: skip


def run(folder: str) -> None:
    """Work for ever."""
    os.setsid()
    log = os.open(Path(folder) / "child.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    import_files._CHUNK = PIECE  # type: ignore[misc]
    import_work.BLOCK = BLOCK  # type: ignore[misc]
    import_files._SAMPLES = 1500  # type: ignore[misc]
    asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> None:
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "t", "imports")
    await imports_of(folder, bus).run()
