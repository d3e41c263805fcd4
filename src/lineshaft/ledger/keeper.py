"""The keeper of the ledger: from the stream of Facts into the tree, each once, in order.

Rules: it goes on from its own position, which lies in the transaction of what was entered, so a
kill at any moment loses nothing and enters nothing twice. What has come is entered in one
transaction; a checkpoint is signed with it, at most one a second, and the last one is made up for.
A stream that was replaced or rolled back is read from its beginning: what is known stays one entry.
Trouble of the ledger's own does not end the process: samples are kept on, and it tries again.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from lineshaft.bus import Bus, Gone, Message
from lineshaft.bus.client import fact_stream
from lineshaft.bus.streams import end
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, LineshaftError
from lineshaft.ledger.entries import entry_of, made_of
from lineshaft.ledger.keys import KeyFolder, LogKey, key_entry
from lineshaft.ledger.log import Ledger
from lineshaft.ledger.store import LedgerStore, Point, State
from lineshaft.ledger.verify import PublicKey

__all__ = ["LedgerKeeper", "keep_ledger"]

_LOG = logging.getLogger(__name__)
_MOST: Final = 1_000
_MOST_BYTES: Final = 16_000_000
_GATHER_S: Final = 0.05
_SIGN_S: Final = 1.0
_AGAIN_S: Final = 5.0

Item = Message | Gone | Exception


async def keep_ledger(bus: Bus, engine: Engine, keys: Path, *, lease: str) -> None:
    """Keep the ledger of a site for ever; `keys` is the folder of its private key, `lease` must be
    new for every start. Raises Broken where another keeper took over."""
    keeper = LedgerKeeper(bus, engine, keys, lease=lease)
    await bus.serve("history", "ledger-key", keeper.change_key)
    while True:
        try:
            await keeper.run()
        except (LineshaftError, SQLAlchemyError, OSError) as error:
            if isinstance(error, Broken) and error.code == "ledger.lease_lost":
                raise
            _LOG.error("the ledger is not kept: %s", error)
        await asyncio.sleep(_AGAIN_S)


class LedgerKeeper:
    """Keeps one ledger."""

    def __init__(self, bus: Bus, engine: Engine, keys: Path, *, lease: str) -> None:
        self._bus, self._lease = bus, lease
        self._stream = fact_stream(bus.site)
        self._store = LedgerStore(engine, self._stream)
        self._ledger = Ledger(engine)
        self._keys = KeyFolder(keys)
        self._key: LogKey | None = None
        self._state: State | None = None
        self._signed = 0
        self._due = 0.0
        self._changing = asyncio.Lock()

    async def run(self) -> None:
        """Enter what comes, until something fails."""
        async with self._changing:
            await asyncio.to_thread(self._open)
        while True:
            async with self._changing:
                await self._find_start()
            try:
                await self._follow()
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise

    async def change_key(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Enter a new key, signed by the one in force, and sign with it from now on."""
        async with self._changing:
            return {"key": await asyncio.to_thread(self._change_key)}

    def _open(self) -> None:
        """Begin the ledger where there is none, and take up its key."""
        state = self._store.state()
        if state is None:
            first = LogKey.first(self._bus.site)
            self._keys.write(first)
            entry = made_of(key_entry(first, now_us(), None))
            self._store.begin(first.origin, str(first.public), entry)
        self._state = self._store.take_lease(self._lease)
        self._signed = self._ledger.signed_size()
        public = PublicKey.parse(self._state.key)
        self._key = self._keys.read(public)
        if self._key is None:
            _LOG.warning("the key %s is lost; a new one is entered without its signature",
                         public.id)  # fmt: skip
            self._enter_key(public)
        else:
            self._keys.keep_only(public)

    def _change_key(self) -> str:
        if self._key is None:
            raise Broken("the ledger is not kept at this moment", code="ledger.away",
                         hint="See logs/history.log")  # fmt: skip
        return self._enter_key(self._key)

    def _enter_key(self, before: LogKey | PublicKey) -> str:
        state = self._known()
        key = LogKey.next(state.origin)
        self._keys.write(key)
        entry = made_of(key_entry(key, now_us(), before))
        sign = _signer(key)
        self._state = self._store.append(state, [entry], state.point, sign, str(key.public))
        self._key, self._signed = key, self._state.size
        self._keys.keep_only(key.public)
        return str(key.public)

    def _known(self) -> State:
        assert self._state is not None, "the ledger was not opened"
        return self._state

    async def _find_start(self) -> None:
        """Go on after the last message, or at the beginning of a stream that is another one."""
        before, streams = self._known(), self._bus.streams
        point, found = before.point, await streams.patiently(streams.state, self._stream)
        if point.token == found.token and await streams.patiently(
            streams.holds, self._stream, found, point.position, point.message_id
        ):
            return
        epoch = point.epoch + 1 if point.token else 0
        start = Point(found.token, epoch, max(found.first - 1, 0), "")
        self._state = await asyncio.to_thread(self._store.move, before, start)

    async def _follow(self) -> None:
        queue = asyncio.Queue[Item](_MOST)
        reading = asyncio.ensure_future(self._read(queue, self._known().point))
        try:
            while True:
                items = await self._gather(queue)
                failed = next((item for item in items if isinstance(item, Exception)), None)
                async with self._changing:
                    await asyncio.to_thread(self._append, items)
                if failed is not None:
                    raise failed
        finally:
            await end(reading)

    async def _read(self, queue: asyncio.Queue[Item], point: Point) -> None:
        items = self._bus.streams.follow(self._stream, point.position, point.message_id)
        try:
            async with aclosing(items):
                async for item in items:
                    await queue.put(item)
        except Exception as error:
            await queue.put(error)

    async def _gather(self, queue: asyncio.Queue[Item]) -> list[Item]:
        """Return what has come, as soon as something has; nothing where a checkpoint is due."""
        unsigned = self._signed < self._known().size
        try:
            async with asyncio.timeout(max(self._due - monotonic_s(), 0) if unsigned else None):
                items = [await queue.get()]
        except TimeoutError:
            return []
        await asyncio.sleep(_GATHER_S)
        size = 0
        while not queue.empty() and len(items) < _MOST and size < _MOST_BYTES:
            item = queue.get_nowait()
            size += len(item.data) if isinstance(item, Message) else 0
            items.append(item)
        return items

    def _append(self, items: list[Item]) -> None:
        """Enter items, and sign the tree where that is due."""
        before, key = self._known(), self._key
        point, made = before.point, []
        for item in items:
            if isinstance(item, Exception):
                continue
            made.append(entry_of(item, self._stream, point.epoch))
            if isinstance(item, Gone):
                point = replace(point, position=item.last, message_id="")
            else:
                point = replace(point, position=item.seq, message_id=item.id)
        assert key is not None, "the ledger was not opened"
        due = monotonic_s() >= self._due
        sign = _signer(key) if due else None
        self._state = self._store.append(before, made, point, sign)
        if due:
            self._signed, self._due = self._state.size, monotonic_s() + _SIGN_S


def _signer(key: LogKey) -> Any:
    def sign(size: int, root: bytes) -> tuple[int, str]:
        at = now_us()
        return at, key.note(size, root, at)

    return sign
