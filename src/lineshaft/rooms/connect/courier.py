"""From rows to the bus: one source's buffer, its gaps, and the one block that is on its way.

Rules: one block of a source is on its way at a time, so what the bus holds of a source is complete
up to its last message; while it is on its way, rows gather. A gap is told, and on disk, before the
first block after it; so a crash in between makes it be told again, never forgotten.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from lineshaft.clock import now_us
from lineshaft.core.errors import Broken
from lineshaft.core.facts import Fact
from lineshaft.core.ports import BlockSink, FactSink
from lineshaft.core.quality import BAD
from lineshaft.rooms.connect.continuity import Continuity
from lineshaft.rooms.connect.engine import Buffer, Gap, Rows
from lineshaft.rooms.connect.model import SourceState

__all__ = ["Courier"]

_FULL_S = 1.0
GapKeeper = Callable[[str, Gap], Awaitable[None]]


class Courier:
    """Takes a source's rows (as the `Listener` of a connector) and carries them to the bus."""

    def __init__(
        self,
        source: str,
        blocks: BlockSink,
        facts: FactSink,
        keep_gap: GapKeeper,
        state: SourceState,
        *,
        limit: int,
        margin: int,
    ) -> None:
        self._source, self._blocks, self._facts = source, blocks, facts
        self._keep_gap, self._state = keep_gap, state
        self._buffer = Buffer(limit)
        self.continuity = Continuity(margin)
        self._held: list[tuple[Rows, bool]] | None = []
        self._cause = "link"
        self._cause_fact: str | None = None
        self._facts_waiting: deque[Fact] = deque()
        self._dropped: Gap | None = None
        self._is_full = False
        self._in_flight = 0
        self._work = asyncio.Event()
        self.settled_count = 0
        self.speed_sid: int | None = None
        self.missing: tuple[str, ...] = ()

    @property
    def waiting(self) -> int:
        """Samples that the bus does not have yet."""
        held = sum(len(rows) for rows, _ in self._held or ())
        return len(self._buffer) + self._in_flight + held

    def say(self, fact: Fact) -> None:
        """Tell a Fact, after those already waiting and before any further block."""
        self._facts_waiting.append(fact)
        self._work.set()

    def interrupted(self, cause: str, fact: str | None = None) -> None:
        """The source cannot be followed from now on. Of several causes the first counts, but
        `refused` always. What was heard of an attempt that did not settle is thrown away: the
        gap that the next one declares begins where the last settled one ended."""
        if self._held is None:
            self._cause, self._cause_fact = cause, fact
        elif cause == "refused":
            self._cause = cause
        self._held = []

    def begin(self, cause: str) -> None:
        """Set why nothing was heard before the first connection."""
        self._cause = cause

    def heard(self, rows: Rows, *, initial: bool) -> None:
        """Take samples; they wait while it is not known yet what is missing before them."""
        self._state.samples += len(rows)
        if self._held is not None:
            self._held.append((rows, initial))
            return
        self.continuity.heard(rows)
        self._pass_on(rows)

    def alive(self, arrival: int) -> None:
        """Take a sign of life."""
        if self._held is None:
            self.continuity.alive(arrival)

    def settled(self, arrival: int, missing: Sequence[str]) -> None:
        """Declare what may be missing, then let the samples go on."""
        held, self._held = self._held or [], None
        self.missing = tuple(missing)
        self.settled_count += 1
        initial = [rows for rows, first in held if first]
        fresh = [rows.where(~self.continuity.knows(rows)) for rows in initial]
        for gap in self.continuity.resume(fresh, arrival, self._cause):
            self._declare(gap)
        self._cause_fact = None
        known = iter(fresh)
        for rows, first in held:
            if first:
                self._pass_on(next(known))
            else:
                self.continuity.heard(rows)
                self._pass_on(rows)

    def overflowed(self, rows: Rows) -> None:
        """Declare what the server itself lost."""
        for sid, ts in zip(rows.sid.tolist(), rows.ts.tolist(), strict=True):
            before = self.continuity.stamp(sid)
            if before is not None and before < ts:
                self._declare(Gap(before, ts, "overflow"))

    def _pass_on(self, rows: Rows) -> None:
        if not len(rows):
            return
        if self.speed_sid is not None:
            speeds = rows.v[(rows.sid == self.speed_sid) & (rows.q < BAD)]
            if len(speeds) and speeds[-1] > 0:
                self._state.plant_speed = float(speeds[-1])
        dropped = self._buffer.append(rows, "stream_full" if self._is_full else "buffer")
        if dropped is not None:
            before = self._dropped or dropped
            start, end = min(before.start, dropped.start), max(before.end, dropped.end)
            self._dropped = replace(dropped, start=start, end=end)
        self._work.set()

    def _declare(self, gap: Gap) -> None:
        body = {"source": self._source, "from": gap.start, "to": gap.end, "cause": gap.cause}
        fact = Fact("link.gap", now_us(), self._source, body, self._cause_fact)
        self._facts_waiting.append(fact)
        self._work.set()

    async def run(self) -> None:
        """Carry for ever; ends by cancellation."""
        while True:
            await self._work.wait()
            self._work.clear()
            await self.drain()

    async def drain(self) -> None:
        """Carry what waits: Facts first, then blocks, oldest first."""
        while True:
            await self._tell_waiting()
            block = self._buffer.cut(self._source)
            if block is None:
                return
            self._in_flight = len(block)
            await self._patiently(partial(self._blocks.publish, block))
            self._in_flight = 0
            newest = int(block.ts.max())
            self._state.last_sample = newest
            self._state.lag_ms = max(0.0, (now_us() - newest) / 1000)

    async def _tell_waiting(self) -> None:
        if self._dropped is not None:
            gap, self._dropped = self._dropped, None
            self._declare(gap)
        while self._facts_waiting:
            fact = self._facts_waiting[0]
            await self._patiently(partial(self._facts.tell, fact))
            if fact.kind == "link.gap":
                body = fact.body
                await self._keep_gap(
                    self._source, Gap(int(body["from"]), int(body["to"]), str(body["cause"]))
                )
            self._facts_waiting.popleft()

    async def _patiently(self, send: Callable[[], Awaitable[object]]) -> None:
        """Send; while the stream is full, wait and try again."""
        while True:
            try:
                await send()
            except Broken as error:
                if error.code != "bus.full":
                    raise
                self._is_full = True
                await asyncio.sleep(_FULL_S)
            else:
                self._is_full = False
                return
