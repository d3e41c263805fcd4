"""Opening the doors: where they listen, by which names, with which certificate.

Rules: beyond loopback there is TLS or there are no doors; where an address of this machine is
named, loopback is opened too, for the command line; a request must call one of our names.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

from lineshaft.core.errors import Broken
from lineshaft.settings import Http
from lineshaft.web.certificates import Pair, check_pair, due, ensure_pair

__all__ = ["Doors"]


class Doors:
    """The listening servers of one application."""

    def __init__(self, http: Http, folder: Path) -> None:
        machine = socket.gethostname().lower()
        self._http = http
        self.hosts = frozenset({*http.known_as(machine), "localhost", "127.0.0.1", "::1"})
        self._pair: Pair | None = None
        if http.certificate:
            self._pair = check_pair(http.certificate, http.key)
        elif http.is_tls:
            names = [*http.known_as(machine), "localhost", "127.0.0.1", "::1"]
            self._pair = ensure_pair(folder / "keys", names, machine)
        if self._pair is None and http.is_beyond:
            raise Broken("no doors beyond loopback without TLS", code="tls.none", retryable=False)
        self._servers: Sequence[Server] = ()

    async def serve(self, gate: Callable[..., Any]) -> None:
        """Serve until `stop`, or until the certificate is to be replaced."""
        pair = self._pair
        self._servers = [
            Server(
                gate, address=address, port=self._http.port, interface=Interfaces.ASGI,
                log_enabled=False, websockets=False,
                ssl_cert=pair.certificate if pair else None, ssl_key=pair.key if pair else None,
            )
            for address in self._http.listens
        ]  # fmt: skip
        tasks = [asyncio.ensure_future(server.serve()) for server in self._servers]
        if pair is not None:
            tasks.append(asyncio.ensure_future(due(pair)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop()
            if pair is not None:
                tasks.pop().cancel()
            await asyncio.gather(*tasks)

    def stop(self) -> None:
        """Ask all servers to end."""
        for server in self._servers:
            server.stop()
