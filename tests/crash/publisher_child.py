"""A publisher in a process of its own: after every acknowledgement it notes how far it came."""

import asyncio
import os
from pathlib import Path

from lineshaft.bus import Bus, BusAccess
from tests.crash.numbers import numbered


def run(folder: str, note: str) -> None:
    """Publish block after block from the one noted last, for ever."""
    asyncio.run(_run(Path(folder), Path(note)))


async def _run(folder: Path, note: Path) -> None:
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "t", "publisher")
    number = acknowledged(note)
    handle = os.open(note, os.O_WRONLY | os.O_CREAT)
    while True:
        await bus.publish(numbered(number))
        number += 1
        os.pwrite(handle, b"%012d" % number, 0)


def acknowledged(note: Path) -> int:
    """Return how many blocks were acknowledged."""
    return int(note.read_text() or "0") if note.exists() else 0
