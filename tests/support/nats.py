"""A real nats-server in a folder of its own, which can be killed and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from lineshaft.bus import Bus, BusAccess, prepare_server

__all__ = ["NatsServer", "eventually"]


class NatsServer:
    """The server as the platform itself starts it. Not running until `start()`."""

    def __init__(self, folder: Path, *, max_gb: float = 1.0, wrap: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.command, self.users = prepare_server(folder, max_gb=max_gb)
        self._wrap = wrap
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def access(self) -> BusAccess:
        """The user that may do all."""
        return self.users["platform"]

    @property
    def port(self) -> int:
        """The server's loopback port."""
        return int(self.access.url.rpartition(":")[2])

    def start(self, within_s: float = 20) -> "NatsServer":
        """Start it and return once it listens."""
        log = (self.folder / "nats.log").open("ab")
        self._process = subprocess.Popen(
            [*self._wrap, *self.command], stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        end = time.monotonic() + within_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    text = (self.folder / "nats.log").read_text("utf-8", "replace")
                    raise RuntimeError(f"nats-server did not start:\n{text[-2000:]}") from None
                time.sleep(0.01)

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, how)
        process.wait(20)

    @asynccontextmanager
    async def bus(self, user: str = "platform", site: str = "t") -> AsyncIterator[Bus]:
        """Hand out a connection to it and close that again."""
        bus = await asyncio.wait_for(Bus.connect(self.users[user], site, "test"), 20)
        try:
            yield bus
        finally:
            await bus.close()

    def __enter__(self) -> "NatsServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


async def eventually(holds: Callable[[], bool], within_s: float = 20) -> None:
    """Return once `holds()`; fail when it does not in time."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"it did not come true within {within_s} s"
        await asyncio.sleep(0.01)
