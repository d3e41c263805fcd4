"""A keeper of the ledger in a process of its own."""

import asyncio
import os
import uuid
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from lineshaft.core.errors import Broken
from lineshaft.ledger.keeper import keep_ledger
from lineshaft.records import open_records

LEASE_LOST = 3


def run(folder: str) -> None:
    """Keep the ledger of a folder until killed or replaced (exit code LEASE_LOST)."""
    log = os.open(Path(folder) / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    try:
        asyncio.run(_run(Path(folder)))
    except Broken as error:
        if error.code != "ledger.lease_lost":
            raise
        os._exit(LEASE_LOST)


async def _run(folder: Path) -> None:
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "t", "ledger")
    engine = open_records(folder / "records.sqlite")
    await keep_ledger(bus, engine, folder / "keys", lease=uuid.uuid4().hex)
