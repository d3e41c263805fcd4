"""The process `connect`: runs every enabled source, shows its state, answers questions.

Rules: a source that fails is started again, with growing pauses, and touches no other; what is
written in the Records counts, read every POLL_S and whenever somebody says that it changed; states
are shown once a second.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import LineshaftError
from lineshaft.core.facts import Fact
from lineshaft.core.ports import SignalDirectory
from lineshaft.records import Engine
from lineshaft.rooms.connect.courier import Courier
from lineshaft.rooms.connect.desk import Desk
from lineshaft.rooms.connect.engine import BLOCK_SPAN_US, Gap
from lineshaft.rooms.connect.model import Certificate, Link, Source, SourceState, Task
from lineshaft.rooms.connect.protocols.opcua.browse import browse
from lineshaft.rooms.connect.protocols.opcua.pki import Pki
from lineshaft.rooms.connect.protocols.opcua.session import Session
from lineshaft.rooms.connect.protocols.opcua.subscribe import PUBLISHING_MS
from lineshaft.rooms.connect.runner import Items, Links, SourceRunner
from lineshaft.rooms.connect.store import Secrets, SourceStore
from lineshaft.rooms.connect.writing import Outlet, Writing
from lineshaft.settings import Settings

__all__ = ["ConnectService"]

POLL_S: Final = 2.0
_STOP_S: Final = 1.5
_TAIL: Final = 64
_DAY_US: Final = 86_400_000_000
LastStamps = Callable[[str], Mapping[int, int]]


class _Running:
    """A source, its task and its state."""

    def __init__(self, source: Source, state: SourceState) -> None:
        self.source, self.state = source, state
        self.task: asyncio.Task[None] | None = None
        self.runner: SourceRunner | None = None
        self.samples = 0


class ConnectService:
    """Runs the sources of one site. `last_stamps(source)` returns the newest stored stamp by
    signal; it is asked where the stream does not hold the source's last messages any more."""

    def __init__(
        self, *, bus: Bus, engine: Engine, directory: SignalDirectory, settings: Settings,
        folder: Path, last_stamps: LastStamps | None = None,
    ) -> None:  # fmt: skip
        self._bus, self._settings = bus, settings
        self._store, self._secrets = SourceStore(engine), Secrets(folder)
        self._pki = Pki(folder, now_us())
        self._last_stamps = last_stamps
        self._apply = asyncio.Event()
        self._desk = Desk(self._store, self._secrets, self._pki, directory, bus, self.apply)
        self._running: dict[str, _Running] = {}
        self._began = True
        self._gaps: Mapping[str, Mapping[str, Any]] = {}

    def apply(self) -> None:
        """Look at the Records now, and let refused sources try again."""
        self._apply.set()
        for running in self._running.values():
            if running.runner is not None:
                running.runner.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop, then stop every source within two seconds."""
        for verb, answer in {**self._desk.verbs(), **Writing(self._outlet).verbs()}.items():
            await self._bus.serve("connect", verb, answer)
        await self._bus.serve("connect", "apply", self._answer_apply)
        try:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow_records())
                showing = tasks.create_task(self._show_states())
                await stop.wait()
                following.cancel()
                showing.cancel()
        finally:
            await asyncio.gather(*(self._halt(one) for one in list(self._running.values())))

    def _outlet(self, sid: int) -> Outlet | None:
        for running in self._running.values():
            runner = running.runner
            if runner is not None and sid in runner.kinds:
                return Outlet(running.source, runner.kinds[sid], runner.writer)
        return None

    async def _answer_apply(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        self.apply()
        return {}

    async def _follow_records(self) -> None:
        while True:
            self._apply.clear()
            with suppress(SQLAlchemyError):  # a busy database is asked again
                await self._adjust(await asyncio.to_thread(self._store.all))
            self._began = False
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._apply.wait()

    async def _adjust(self, sources: Sequence[Source]) -> None:
        """Start, stop and start anew until what runs is what is written."""
        counts = await asyncio.to_thread(self._store.counts)
        wanted = {source.id for source in sources}
        for source_id, running in list(self._running.items()):
            if source_id not in wanted:
                await self._halt(running)
                del self._running[source_id]
        for running in self._running.values():
            shown = running.state.certificate
            if running.state.link == Link.CONNECTED and shown is not None:
                trusted = self._pki.is_trusted(shown.thumbprint)
                if not trusted:  # any more; it begins anew below, and is refused
                    await self._halt(running)
        for source in sources:
            known = self._running.get(source.id)
            running = known or _Running(source, SourceState())
            if known is not None and _is_current(known, source):
                known.source = source
                continue
            self._running[source.id] = running
            running.source = source
            await self._halt(running)
            running.state.signals = counts.get(source.id, 0)
            if source.enabled:
                running.state.task = Task.STARTING
                cause = "process" if self._began else "source_off"
                running.task = asyncio.create_task(self._supervise(running, cause))

    async def _halt(self, running: _Running) -> None:
        """Stop a source, whatever it does."""
        task, running.task, running.runner = running.task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=_STOP_S)
        running.state.task = Task.STOPPED if not running.source.enabled else Task.IDLE

    async def _supervise(self, running: _Running, cause: str) -> None:
        """Run a source; where it fails by itself, say so and begin again."""
        pause, source = 0.1, running.source
        try:
            while True:
                began = monotonic_s()
                try:
                    await self._tell("task.started", source.id, {"name": source.name})
                    running.runner = await self._make_runner(running, cause)
                    await running.runner.run()
                except Exception as error:
                    spoken = error.as_dict() if isinstance(error, LineshaftError) else {
                        "code": "connect.failed", "message": repr(error)[:300], "hint": "",
                    }  # fmt: skip
                    running.state.last_error = {**spoken, "at": now_us()}
                    await self._tell("task.stopped", source.id, {"error": spoken})
                pause = 0.1 if monotonic_s() - began > 30 else min(pause * 2, 5.0)
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            with suppress(Exception):
                async with asyncio.timeout(0.3):
                    await self._tell("task.stopped", source.id, {})
            raise

    async def _make_runner(self, running: _Running, cause: str) -> SourceRunner:
        source = running.source
        courier = Courier(
            source.id, self._bus, self._bus, self._keep_gap, running.state,
            limit=self._settings.connect.buffer_samples, margin=PUBLISHING_MS * 1000,
        )  # fmt: skip
        courier.begin(cause)
        await self._seed(courier, source.id)
        password = await asyncio.to_thread(self._secrets.get, source.id)

        async def items() -> Items:
            found = await asyncio.to_thread(self._store.items, source.id)
            courier.speed_sid = next((sid for node, sid, _ in found if node == source.speed), None)
            return found

        async def survey(session: Session) -> Items:
            await self._desk.enlist(source, await browse(session, source.name))
            return await items()

        async def quarantined(certificate: Certificate, der: bytes, subject: str) -> None:
            await self._desk.quarantine(certificate, der, subject)

        links = Links(items, survey, quarantined)
        return SourceRunner(source, password, self._pki, courier, links, running.state)

    async def _seed(self, courier: Courier, source: str) -> None:
        """Learn what the bus accepted of this source last, or else what was stored."""
        stored: Mapping[int, int] = {}
        if self._last_stamps is not None:
            stored = await asyncio.to_thread(self._last_stamps, source)
        if stored:
            sids = np.fromiter(stored.keys(), np.int64, len(stored))
            stamps = np.fromiter(stored.values(), np.int64, len(stored))
            courier.continuity.learn(sids, stamps)
            courier.continuity.seed(int(stamps.max()))
        name, streams = data_stream(self._bus.site), self._bus.streams
        subject = f"ls.{self._bus.site}.data.{source}"
        last = await streams.last_of(name, subject)
        if last is None:
            return
        courier.continuity.seed(int(last.headers["Ls-T1"]), int(last.headers["Ls-Arrival"]))
        for seq in range(max(1, last.seq - _TAIL), last.seq + 1):
            message = last if seq == last.seq else await streams.message(name, seq)
            if message is None or message.subject != subject:
                continue
            with suppress(LineshaftError):
                block = decode_block(message.data, message.headers)
                quality = block.batch.column(4).to_numpy().astype(np.int64)
                # Initial values among the rows are old without being late; rows gathered into
                # one block came up to its span after the first.
                least = max(0, block.arrival - int(block.ts.max()))
                lag = np.minimum(block.arrival - block.ts, least + BLOCK_SPAN_US)
                sid = block.sid.astype(np.int64)
                courier.continuity.learn(sid, block.ts, quality, lag)

    async def _keep_gap(self, source: str, gap: Gap) -> None:
        # The Fact is on disk already; the ledger serves counting, and may lag behind it.
        with suppress(SQLAlchemyError):
            await asyncio.to_thread(self._store.add_gap, source, gap)

    async def _tell(self, kind: str, subject: str, body: Mapping[str, Any]) -> None:
        await self._bus.tell(Fact(kind, now_us(), subject, body))

    async def _show_states(self) -> None:
        last, turn = monotonic_s(), 0
        while True:
            await asyncio.sleep(1.0)
            now = monotonic_s()
            if turn % 10 == 0:
                with suppress(SQLAlchemyError):
                    since = now_us() - _DAY_US
                    self._gaps = await asyncio.to_thread(self._store.gaps_since, since)
            turn += 1
            for source_id, running in self._running.items():
                state = running.state
                state.rate = round((state.samples - running.samples) / max(now - last, 0.1), 1)
                running.samples = state.samples
                state.buffered = running.runner.waiting if running.runner else 0
                state.gaps_24h = self._gaps.get(source_id, {"count": 0, "seconds": 0.0})
                with suppress(Exception):  # the bus may be away; the next second shows again
                    await self._bus.show(f"source.{source_id}", state.view())
            last = now


def _is_current(running: _Running, source: Source) -> bool:
    """Return whether what runs is what is written; a name may change without a new start, and so
    may whether it is written."""
    before = replace(running.source, name=source.name, writes=source.writes)
    return before == source and (running.task is not None) == source.enabled
