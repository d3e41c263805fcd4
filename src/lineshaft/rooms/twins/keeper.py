"""The keeper: follows the stream, steps the twins, publishes what they say.

Rules: a block's estimates are one block of the origin `twin`, made from that block alone, so the
same block gives the same message again after a crash and the bus keeps it once. A snapshot names a
position only when all that came of it is on disk. After a `kill -9` the state is that of the
snapshot with the stream taken from there: what an uninterrupted run would know. Before there is a
twin there is nothing to know, and the engine, seconds of CPU and 100 MB, is not loaded.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lineshaft.bus import Bus, Gone, Message
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.bus.streams import end
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.samples import MAX_ROWS, SampleBlock
from lineshaft.rooms.twins.model import FMUS, SOURCE, Twin
from lineshaft.rooms.twins.snapshots import Position, Snapshots
from lineshaft.rooms.twins.store import TwinStore

if TYPE_CHECKING:
    from lineshaft.rooms.twins.engine.runtime import Runtime

__all__ = ["Keeper", "keep_twins"]

_SNAPSHOT_S: Final = 30.0
_IN_FLIGHT: Final = 16
_FULL_S: Final = 1.0
_log = logging.getLogger(__name__)


async def keep_twins(bus: Bus, store: TwinStore, folder: Path, stop: asyncio.Event) -> None:
    """Run the twins of the records until `stop`; the verb `twins.changed` has them read again."""
    changed, snapshots = asyncio.Event(), Snapshots(folder)

    async def note(_: Mapping[str, Any]) -> Mapping[str, Any]:
        changed.set()
        return {}

    await bus.serve("twins", "changed", note)
    while not await asyncio.to_thread(store.all):
        await asyncio.to_thread(snapshots.forget)
        if await _first(stop, changed) is stop:
            return
        changed.clear()
    runtime = await asyncio.to_thread(_load_engine, folder / FMUS)
    await Keeper(bus, runtime, snapshots, store.all, changed).run(stop)


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """Return an event that is set, as soon as one is."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when="FIRST_COMPLETED")
    finally:
        await end(*waits)
    return next(event for event in events if event.is_set())


def _load_engine(fmus: Path) -> "Runtime":
    from lineshaft.rooms.twins.engine.runtime import Runtime
    from lineshaft.rooms.twins.fmi.shelf import FmuShelf
    from lineshaft.rooms.twins.kinds import kind_of

    shelf = FmuShelf(fmus)
    return Runtime(lambda twin: kind_of(twin, shelf))


class Keeper:
    """Runs the twins that `listed` gives. `changed` is to be set when that list changed."""

    def __init__(
        self, bus: Bus, runtime: "Runtime", snapshots: Snapshots,
        listed: Callable[[], list[Twin]], changed: asyncio.Event,
    ) -> None:  # fmt: skip
        self._bus, self._runtime, self._snapshots, self._listed = bus, runtime, snapshots, listed
        self._stream = data_stream(bus.site)
        self._position = Position("", 0, "")
        self._out: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_IN_FLIGHT)
        self.changed = changed
        changed.set()
        self._is_whole = True  # between two messages: what is known is worth a snapshot
        self.estimates = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then leave a snapshot."""
        await self._load()
        following = asyncio.ensure_future(self._follow_for_ever())
        telling = asyncio.ensure_future(self._show())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({following, telling, stopping}, return_when="FIRST_COMPLETED")
        finally:
            ended = await end(following, telling, stopping)
            await self._snapshot()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _load(self) -> None:
        """Take up where the newest snapshot ended; without one begin with what comes now."""
        streams = self._bus.streams
        state = await streams.patiently(streams.state, self._stream)
        found = await asyncio.to_thread(self._snapshots.newest)
        if found is not None and found[0].token == state.token and found[0].seq <= state.last:
            try:
                self._runtime.load(found[1])
                for lost in self._runtime.lost:
                    _log.warning("the twins' snapshot: %s", lost)
                self._position = found[0]
                return
            except (Refused, ValueError, KeyError) as error:
                _log.warning("the twins' snapshot does not fit: %s", error)
        self._position = Position(state.token, state.last, "")
        await self._snapshot()  # so that a death before the next one costs nothing either

    async def _follow_for_ever(self) -> None:
        while True:
            at = self._position
            try:
                messages = self._bus.streams.follow(self._stream, at.seq, at.known)
                async with aclosing(messages) as stream:
                    await self._follow(stream)
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise
                streams = self._bus.streams
                state = await streams.patiently(streams.state, self._stream)
                self._position = Position(state.token, state.last, "")

    async def _follow(self, stream: Any) -> None:
        saved = monotonic_s()
        async for message in stream:
            if self.changed.is_set():
                self.changed.clear()
                listed = await asyncio.to_thread(self._listed)
                await self._take_over([twin for twin in listed if twin.enabled])
                saved = -_SNAPSHOT_S
            if isinstance(message, Gone):
                continue  # what never came: the filters go over it as over any silence
            await self._take(message)
            if monotonic_s() - saved > _SNAPSHOT_S:
                await self._snapshot()
                saved = monotonic_s()

    async def _take_over(self, twins: Sequence[Twin]) -> None:
        """Run these twins from now on; say once which of them can't be run, and why."""
        before = self._runtime.refused
        self._runtime.set(twins)
        for twin in twins:
            said = self._runtime.refused.get(twin.id)
            if said is not None and said != before.get(twin.id):
                body = {"twin": twin.id, "name": twin.name, "message": said}
                await self._bus.tell(Fact("twin.failed", now_us(), twin.machine, body))

    async def _take(self, message: Message) -> None:
        self._is_whole = False
        if message.headers.get("Ls-Origin") != SOURCE:
            with suppress(Refused):  # what nobody can read the writer puts aside and tells
                await self._hear(decode_block(message.data, message.headers))
        self._position = Position(self._position.token, message.seq, message.id)
        self._is_whole = True

    async def _hear(self, block: SampleBlock) -> None:
        found, told = self._runtime.hear(block)
        for one in told:
            twin = self._runtime.twins[one.twin]
            await self._bus.tell(Fact(one.kind, one.at, twin.machine, one.body))
        for start in range(0, len(found.sid), MAX_ROWS):
            part = slice(start, start + MAX_ROWS)
            rows = SampleBlock.from_columns(
                found.sid[part], found.ts[part], found.v[part],
                np.zeros(len(found.sid[part]), np.int64), origin=SOURCE, arrival=block.arrival,
            )  # fmt: skip
            await self._room.acquire()
            task = asyncio.create_task(self._publish(rows))
            self._out.add(task)
            task.add_done_callback(self._out.discard)

    async def _publish(self, rows: SampleBlock) -> None:
        try:
            while True:
                try:
                    await self._bus.publish(rows)
                    break
                except Broken as error:
                    if error.code != "bus.full":
                        raise
                    await asyncio.sleep(_FULL_S)
            self.estimates += len(rows)
        finally:
            self._room.release()

    async def _snapshot(self) -> None:
        """Keep what is known now, once all that came of it is on disk."""
        if not self._is_whole:
            return
        position, arrays = self._position, self._runtime.save()
        if self._out:
            outcomes = await asyncio.gather(*self._out, return_exceptions=True)
            if any(isinstance(outcome, BaseException) for outcome in outcomes):
                return
        await asyncio.to_thread(self._snapshots.write, position, arrays)

    async def _show(self) -> None:
        while True:
            await self._bus.show("twins", self.view())
            await asyncio.sleep(1)

    def view(self) -> Mapping[str, Any]:
        """Return how it is going."""
        return {"twins": len(self._runtime.twins), "estimates": self.estimates,
                "seq": self._position.seq}  # fmt: skip
