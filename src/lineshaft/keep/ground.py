"""The bus of a data folder, whether its platform runs or not.

Where it runs, its own bus is used. Where it does not, the folder is held, so that it cannot start
meanwhile, and the bus is started for as long as it is needed.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from lineshaft.bus import Bus, BusAccess, prepare_server
from lineshaft.children import die_with_parent
from lineshaft.core.errors import Broken, Refused
from lineshaft.instance import is_taken, only_instance
from lineshaft.settings import Settings

__all__ = ["bus_of", "running_bus", "serve_bus"]

_CONNECT_S: Final = 30.0
_END_S: Final = 20.0


@asynccontextmanager
async def bus_of(folder: Path, settings: Settings) -> AsyncIterator[tuple[Bus, bool]]:
    """Hand out a bus on the streams of a data folder, and whether its platform runs."""
    if is_taken(folder):
        async with running_bus(folder, settings) as bus:
            yield bus, True
        return
    with only_instance(folder):
        async with serve_bus(folder, settings) as bus:
            yield bus, False


@asynccontextmanager
async def running_bus(folder: Path, settings: Settings) -> AsyncIterator[Bus]:
    """Connect to the bus of the platform that runs on a data folder; Refused where none does."""
    if not is_taken(folder):
        raise Refused(f"no platform runs on {folder}", code="folder.idle")
    bus = await _connect(BusAccess.read(folder / "run" / "bus-platform.json"),
                         settings.platform.site)  # fmt: skip
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def serve_bus(folder: Path, settings: Settings) -> AsyncIterator[Bus]:
    """Run the bus server on a data folder that the caller holds."""
    command, users = prepare_server(folder, binary=settings.bus.binary, max_gb=settings.bus.max_gb)
    log = folder / "logs" / "bus-backup.log"
    log.parent.mkdir(exist_ok=True, mode=0o700)
    with log.open("wb") as output:
        server = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        bus = await _connect(users["platform"], settings.platform.site)
        try:
            yield bus
        finally:
            await bus.close()
    finally:
        server.terminate()
        try:
            async with asyncio.timeout(_END_S):
                await server.wait()
        except TimeoutError:
            server.kill()
            await server.wait()
        log.unlink(missing_ok=True)


async def _connect(access: BusAccess, site: str) -> Bus:
    try:
        async with asyncio.timeout(_CONNECT_S):
            return await Bus.connect(access, site, "backup")
    except TimeoutError:
        raise Broken("the bus does not answer", hint="See logs/bus.log in the data folder",
                     code="bus.away") from None  # fmt: skip
