"""The client's two twins: `Plant` waits, `AsyncPlant` is awaited; both carry out the scripts."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from lineshaft.client.live import Feed, Value
from lineshaft.client.scripts import Paths, Script, Scripts
from lineshaft.client.table import Table, Trend
from lineshaft.client.times import Duration, Moment
from lineshaft.client.web import Door
from lineshaft.clock import now_us

__all__ = ["AsyncPlant", "Plant", "connect", "connect_async"]

T = TypeVar("T")
_FOREVER: Final = 1 << 30
_THREADS: Final = 8
_HELD: Final = 8
_LOOK_S: Final = 0.5


def connect(
    url: str | None = None, token: str | None = None, *, verify: str | Path | None = None,
    timeout_s: float = 60.0, tries: int = 4,
) -> "Plant":  # fmt: skip
    """Return a client of the platform at `url`; nothing is sent yet.

    Without `url` and `token` LINESHAFT_URL and LINESHAFT_TOKEN of the environment count. `verify`
    names the PEM file of the platform's own CA. `tries` bounds how often a call is sent.
    """
    return Plant(_door(url, token, verify, timeout_s, tries))


def connect_async(
    url: str | None = None, token: str | None = None, *, verify: str | Path | None = None,
    timeout_s: float = 60.0, tries: int = 4,
) -> "AsyncPlant":  # fmt: skip
    """Return the awaited twin of what `connect` returns."""
    return AsyncPlant(_door(url, token, verify, timeout_s, tries))


def _door(
    url: str | None, token: str | None, verify: str | Path | None, timeout_s: float, tries: int
) -> Door:
    where = url or os.environ.get("LINESHAFT_URL", "http://127.0.0.1:8400")
    proof = token or os.environ.get("LINESHAFT_TOKEN", "")
    return Door(where, proof, verify=verify, timeout_s=timeout_s, tries=tries)


class Plant:
    """A platform's values. Paths are whole, or `…/machine/signal` where one signal ends so.

    Times are datetimes with a zone, ISO 8601 text with one, or µs; `last="8h"` counts back from
    `end`, which is now by default. Every call raises Refused for what it cannot be asked, Broken
    where the platform or the way to it fails; both say what to do next.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._scripts = Scripts(now_us)

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self._door.url}')"

    def __enter__(self) -> "Plant":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections held for the next call."""
        self._door.close()

    def _run(self, script: Script[T]) -> T:
        try:
            request = next(script)
            while True:
                request = script.send(self._door.send(request))
        except StopIteration as done:
            result: T = done.value
            return result

    def signals(self, prefix: str = "") -> Table:
        """Return the signals below a path: path, sid, unit, ranges, source, …"""
        return self._run(self._scripts.signals(prefix))

    def last(self, paths: Paths) -> Table:
        """Return the newest sample of each signal: path, ts, value, text, quality, seq."""
        return self._run(self._scripts.last(paths))

    def raw(
        self, paths: Paths, start: Moment | None = None, end: Moment | None = None, *,
        last: Duration | None = None, limit: int | None = None,
    ) -> Table:  # fmt: skip
        """Return every sample with start <= ts < end, by signal and time.

        Refused where there are more than `limit` (20,000,000 at most).
        """
        return self._run(self._scripts.raw(paths, start, end, last, limit))

    def trend(
        self, paths: Paths, start: Moment | None = None, end: Moment | None = None, *,
        last: Duration | None = None, px: int = 1000,
    ) -> Trend:  # fmt: skip
        """Return the points that draw the signals `px` pixels wide: path, ts, value, quality.

        The first point of a signal may lie before `start`: the value that held then.
        """
        return self._run(self._scripts.trend(paths, start, end, last, px))

    def grid(
        self, paths: Paths, step: Duration = "60s", how: str = "twa", *, quality: str = "usable",
        max_hold: Duration | None = None, start: Moment | None = None, end: Moment | None = None,
        last: Duration | None = None,
    ) -> Table:  # fmt: skip
        """Return signals on one time grid: ts, and value and quality of each signal under its path.

        `how`: last, mean, twa (weighted by time), min, max, first, count, good_share.
        """
        return self._run(self._scripts.grid(paths, step, how, quality, max_hold, start, end, last))

    def statistics(
        self, paths: Paths, start: Moment | None = None, end: Moment | None = None, *,
        last: Duration | None = None, quality: str = "usable", low: float | None = None,
        high: float | None = None,
    ) -> Table:  # fmt: skip
        """Return a row of statistics a signal: mean, twa, min and when, integral, good_share, …"""
        return self._run(self._scripts.statistics(paths, start, end, last, quality, low, high))

    def facts(
        self, kinds: Paths = "", subject: str = "", *, start: Moment | None = None,
        end: Moment | None = None, last: Duration | None = None, limit: int = 200,
    ) -> Table:  # fmt: skip
        """Return what happened, newest first: at, kind, subject, cause, id, body (JSON)."""
        return self._run(self._scripts.facts(kinds, subject, start, end, last, limit))

    def sources(self) -> Table:
        """Return the sources and how each is doing."""
        return self._run(self._scripts.sources())

    def sql(self, query: str, *, limit: int = 1_000_000) -> Table:
        """Return the rows of a SELECT over samples, signals, facts, sources, gaps.

        `is_whole` of the table is false where the limit of rows or bytes left some out.
        """
        return self._run(self._scripts.sql(query, limit))

    def live(self, paths: Paths, *, tries: int = _FOREVER) -> Feed:
        """Return values as they change, first the newest of each signal; use it with `with`.

        A broken stream resumes where it stopped; `tries` attempts in a row may fail.
        """
        return Feed(self._door, self._run(self._scripts.find(paths)), tries)


class AsyncPlant:
    """`Plant`, awaited; see there. Calls run in threads of its own."""

    def __init__(self, door: Door) -> None:
        self._plant = Plant(door)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="lineshaft-client")

    def __repr__(self) -> str:
        return repr(self._plant).replace("Plant", "AsyncPlant", 1)

    async def __aenter__(self) -> "AsyncPlant":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and threads; a call still under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._plant.close()

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def signals(self, prefix: str = "") -> Table:
        """See `Plant.signals`."""
        return await self._do(lambda: self._plant.signals(prefix))

    async def last(self, paths: Paths) -> Table:
        """See `Plant.last`."""
        return await self._do(lambda: self._plant.last(paths))

    async def raw(
        self,
        paths: Paths,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        last: Duration | None = None,
        limit: int | None = None,
    ) -> Table:
        """See `Plant.raw`."""
        return await self._do(lambda: self._plant.raw(paths, start, end, last=last, limit=limit))

    async def trend(
        self,
        paths: Paths,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        last: Duration | None = None,
        px: int = 1000,
    ) -> Trend:
        """See `Plant.trend`."""
        return await self._do(lambda: self._plant.trend(paths, start, end, last=last, px=px))

    async def grid(
        self,
        paths: Paths,
        step: Duration = "60s",
        how: str = "twa",
        *,
        quality: str = "usable",
        max_hold: Duration | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        last: Duration | None = None,
    ) -> Table:
        """See `Plant.grid`."""
        return await self._do(
            lambda: self._plant.grid(
                paths,
                step,
                how,
                quality=quality,
                max_hold=max_hold,
                start=start,
                end=end,
                last=last,
            )
        )

    async def statistics(
        self,
        paths: Paths,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        last: Duration | None = None,
        quality: str = "usable",
        low: float | None = None,
        high: float | None = None,
    ) -> Table:
        """See `Plant.statistics`."""
        return await self._do(
            lambda: self._plant.statistics(
                paths, start, end, last=last, quality=quality, low=low, high=high
            )
        )

    async def facts(
        self,
        kinds: Paths = "",
        subject: str = "",
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        last: Duration | None = None,
        limit: int = 200,
    ) -> Table:
        """See `Plant.facts`."""
        return await self._do(
            lambda: self._plant.facts(kinds, subject, start=start, end=end, last=last, limit=limit)
        )

    async def sources(self) -> Table:
        """See `Plant.sources`."""
        return await self._do(lambda: self._plant.sources())

    async def sql(self, query: str, *, limit: int = 1000000) -> Table:
        """See `Plant.sql`."""
        return await self._do(lambda: self._plant.sql(query, limit=limit))

    async def live(self, paths: Paths, *, tries: int = _FOREVER) -> AsyncIterator[Value]:
        """See `Plant.live`; ends with the iterator (`contextlib.aclosing`)."""
        feed = await self._do(lambda: self._plant.live(paths, tries=tries))
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[list[Value] | BaseException] = asyncio.Queue()
        room = threading.Semaphore(_HELD)  # a slow consumer slows the reading, not the loop
        ended = threading.Event()

        def pump() -> None:
            last: BaseException = StopAsyncIteration()
            try:
                for values in feed.batches():
                    while not room.acquire(timeout=_LOOK_S):
                        if ended.is_set():
                            return
                    loop.call_soon_threadsafe(arrived.put_nowait, values)
            except Exception as error:
                last = error
            with suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(arrived.put_nowait, last)

        threading.Thread(target=pump, name="lineshaft-live", daemon=True).start()
        try:
            while not isinstance(item := await arrived.get(), BaseException):
                room.release()
                for value in item:
                    yield value
            if not isinstance(item, StopAsyncIteration):
                raise item
        finally:
            ended.set()
            feed.close()
