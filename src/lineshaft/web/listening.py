"""Opening the doors: where they listen, by which names, with which certificate.

Rules: beyond loopback there is TLS or there are no doors; where an address of this machine is
named, loopback is opened too, for the command line; a request must call one of our names.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from granian.constants import Interfaces
from granian.server.embed import Server

from lineshaft.core.errors import Broken, Refused
from lineshaft.settings import Http
from lineshaft.web.certificates import Pair, check_pair, ensure_pair

__all__ = ["Doors"]

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_LOOK_S: Final = 3600.0
_OVERLAP_S: Final = 1.0


class Doors:
    """The listening servers of one application."""

    def __init__(self, http: Http, folder: Path) -> None:
        self._http, self._folder = http, folder
        self._machine = socket.gethostname().lower()
        self.hosts = frozenset({*http.known_as(self._machine), *_LOCAL})
        self._pair = self._present_pair()
        if self._pair is None and http.is_beyond:
            raise Broken("no doors beyond loopback without TLS", code="tls.none", retryable=False)
        self._servers: list[Server] = []

    def _present_pair(self) -> Pair | None:
        """Return the certificate to be served now; one of our own is renewed in time."""
        if self._http.certificate:
            return check_pair(self._http.certificate, self._http.key)
        if self._http.is_tls:
            names = [*self._http.known_as(self._machine), *_LOCAL]
            return ensure_pair(self._folder / "keys", names, self._machine)
        return None

    async def serve(self, gate: Callable[..., Any]) -> None:
        """Serve until `stop`. Who comes after the certificate was renewed is served the new one;
        answers under way are brought to their end."""
        everyone: list[asyncio.Future[None]] = []
        renewed = asyncio.ensure_future(self._renewed())
        try:
            while True:
                older, self._servers = self._servers, self._made(gate)
                serving = [asyncio.ensure_future(server.serve()) for server in self._servers]
                everyone += serving
                if older:  # both take connections until the new ones surely do
                    await asyncio.wait(serving, timeout=_OVERLAP_S)
                for server in older:
                    server.stop()
                await asyncio.wait({*serving, renewed}, return_when=asyncio.FIRST_COMPLETED)
                if not renewed.done():
                    return
                renewed = asyncio.ensure_future(self._renewed())
        finally:
            self.stop()
            renewed.cancel()
            await asyncio.gather(*everyone)

    def _made(self, gate: Callable[..., Any]) -> list[Server]:
        pair = self._pair
        return [
            Server(
                gate, address=address, port=self._http.port, interface=Interfaces.ASGI,
                log_enabled=False, websockets=False,
                ssl_cert=pair.certificate if pair else None, ssl_key=pair.key if pair else None,
            )
            for address in self._http.listens
        ]  # fmt: skip

    async def _renewed(self) -> None:
        """Return once there is another certificate; files that do not fit (yet) are left alone."""
        served = await asyncio.to_thread(self._looked_at)
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(Refused, OSError):
                if await asyncio.to_thread(self._looked_at) != served:
                    return

    def _looked_at(self) -> bytes:
        self._pair = self._present_pair()
        return b"" if self._pair is None else self._pair.certificate.read_bytes()

    def stop(self) -> None:
        """Ask all servers to end."""
        for server in self._servers:
            server.stop()
