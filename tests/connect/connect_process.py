"""The process `connect` alone, to be killed: `python connect_process.py FOLDER`."""

import asyncio
import sys
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from lineshaft.clock import now_us
from lineshaft.records import open_records
from lineshaft.rooms.connect.service import ConnectService
from lineshaft.rooms.plant.store import SignalStore
from lineshaft.settings import Settings


async def main(folder: Path) -> None:
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "demo", "connect")
    engine = open_records(folder / "records.db")
    service = ConnectService(
        bus=bus, engine=engine, directory=SignalStore(engine, now_us), settings=Settings(),
        folder=folder,
    )  # fmt: skip
    await service.run(asyncio.Event())


asyncio.run(main(Path(sys.argv[1])))
