"""One source at work: connect, follow, lose, connect again, for ever.

Rules: each attempt is a task of its own that is cancelled and thrown away; the pause between
attempts grows from 0.1 s to 5 s and starts anew after a link that settled; nothing here ends the
source but cancellation, which takes less than a second. A refusal (certificate, password) is tried
again too, for the day it is put right, and at once when somebody trusts a certificate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.rooms.connect.alone import alone
from lineshaft.rooms.connect.courier import Courier
from lineshaft.rooms.connect.model import Certificate, Link, Source, SourceState, Task
from lineshaft.rooms.connect.protocols.opcua.pki import Pki
from lineshaft.rooms.connect.protocols.opcua.session import Session, Untrusted, open_session
from lineshaft.rooms.connect.protocols.opcua.subscribe import follow
from lineshaft.rooms.connect.protocols.opcua.write import Writer

__all__ = ["SourceRunner"]

_FIRST_S, _LAST_S, _REFUSED_S = 0.1, 5.0, 2.0
_FLUSH_S: Final = 0.25
_AWAY: Final = {Link.CONNECTING, Link.DISCONNECTED}
Items = Sequence[tuple[str, int, str]]


@dataclass(frozen=True, slots=True)
class Links:
    """What a runner needs of the house: its items (looked up, or by browsing anew), the state of
    the platform's certificates, and whom to tell about an unknown one."""

    items: Callable[[], Awaitable[Items]]
    survey: Callable[[Session], Awaitable[Items]]
    quarantined: Callable[[Certificate, bytes, str], Awaitable[None]]


class SourceRunner:
    """Runs one source; `state` is what the world may see of it."""

    def __init__(
        self, source: Source, password: str, pki: Pki, courier: Courier, links: Links,
        state: SourceState,
    ) -> None:  # fmt: skip
        self.source = source
        self._login = source.login(password)
        self._pki, self._courier, self._links = pki, courier, links
        self.state = state
        self.writer: Writer | None = None  # while there is a session
        self.kinds: Mapping[int, str] = {}  # of what it feeds, by sid, since its first session
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Samples that the bus does not have yet."""
        return self._courier.waiting

    def wake(self) -> None:
        """Try again now."""
        self._wake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        self.state.task = Task.RUNNING
        try:
            await alone(self._work())
        finally:
            self.state.task = Task.STOPPED
            self._set_link(Link.DISCONNECTED)
            with suppress(Exception):
                async with asyncio.timeout(_FLUSH_S):
                    await self._courier.drain()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._courier.run())
            tasks.create_task(self._keep_linked())

    async def _keep_linked(self) -> None:
        pause = _FIRST_S
        while True:
            before = self._courier.settled_count
            self._set_link(Link.CONNECTING)
            try:
                await alone(self._attempt())
            except Untrusted as error:
                await self._links.quarantined(error.certificate, error.der, self.source.id)
                self.state.certificate = error.certificate
                self._lost(error, Link.REFUSED)
            except Refused as error:
                self._lost(error, Link.REFUSED)
            except Exception as error:
                self._lost(error, Link.DISCONNECTED)
            if self._courier.settled_count != before:
                pause = _FIRST_S
            wait = max(pause, _REFUSED_S) if self.state.link == Link.REFUSED else pause
            await self._pause(wait)
            pause = min(pause * 2, _LAST_S)

    async def _pause(self, seconds: float) -> None:
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _attempt(self) -> None:
        """Connect and follow; ends by raising only."""
        async with open_session(self._login, self._pki) as session:
            self.state.certificate = session.certificate
            items = await self._links.items()
            if not items:
                items = await self._links.survey(session)
            if not items:
                raise Broken(
                    "the server has no variables that can be followed",
                    hint="Browse it to see what it holds",
                    code="source.empty",
                )
            self.state.signals = len(items)
            self.kinds = {sid: kind for _, sid, kind in items}
            self.writer = Writer(session, items)
            try:
                await follow(session, items, _Settling(self._courier, self._connected))
            finally:
                self.writer = None

    def _connected(self, missing: Sequence[str]) -> None:
        self._set_link(Link.CONNECTED)
        body = {"source": self.source.id, "endpoint": self.source.endpoint}
        self._courier.say(Fact("link.connected", now_us(), self.source.id, body))
        if missing:
            self._note_error(Broken(
                f"{len(missing)} of {self.state.signals} nodes cannot be followed: {missing[0]}",
                hint="Change the source and choose its nodes anew", code="source.nodes",
            ))  # fmt: skip

    def _lost(self, error: Exception, link: Link) -> None:
        spoken = error if isinstance(error, LineshaftError) else Broken(
            f"the connector failed: {type(error).__name__}: {error}"[:300], code="connect.failed"
        )  # fmt: skip
        fact = None
        if self.state.link == Link.CONNECTED:
            body = {"source": self.source.id, "error": spoken.as_dict()}
            fact = Fact("link.lost", now_us(), self.source.id, body)
            self._courier.say(fact)
        self._courier.interrupted(
            "refused" if link == Link.REFUSED else "link", fact.id if fact else None
        )
        self._note_error(spoken)
        self._set_link(link)

    def _note_error(self, error: LineshaftError) -> None:
        self.state.last_error = {**error.as_dict(), "at": now_us()}

    def _set_link(self, link: Link) -> None:
        shown = self.state.link
        if link == Link.CONNECTING and shown == Link.REFUSED:
            return  # a refusal stays in sight while it is tried again
        if link != shown:
            if self.state.since is None or not {link, shown} <= _AWAY:
                self.state.since = now_us()
            self.state.link = link


class _Settling:
    """The courier as a connector's listener, and a word when the link stands."""

    def __init__(self, courier: Courier, connected: Callable[[Sequence[str]], None]) -> None:
        self._courier, self._connected = courier, connected
        self.heard, self.alive = courier.heard, courier.alive
        self.overflowed = courier.overflowed

    def settled(self, arrival: int, missing: Sequence[str]) -> None:
        """Settle, then say that the link stands."""
        self._courier.settled(arrival, missing)
        self._connected(missing)
