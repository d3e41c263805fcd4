"""A calculated signal at work: read from history, followed live, put on the bus.

Rules: what is put on the bus is what differs from the outputs that are there, so a calculation that
starts again, or is asked twice, says nothing twice; it starts `KEEP_US` before its newest output,
so that nothing is missing that was due when it ended. An output is due once all its inputs were
heard beyond its stamp, or a second has passed.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import numpy as np

from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.core.ports import BlockSink
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.calculation_store import Calculation
from lineshaft.rooms.history.engine.calculate import Series, evaluate
from lineshaft.rooms.history.engine.follow import KEEP_US, Follower, differing, track_of
from lineshaft.rooms.history.engine.program import Program
from lineshaft.rooms.history.engine.rows import Rows, split_seq
from lineshaft.rooms.history.service import HistoryService

__all__ = ["Line", "Workbench"]

_FOREVER: Final = 1 << 62
_MOST_ROWS: Final = 2_000_000
_BLOCK_ROWS: Final = 50_000
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_SECOND_US: Final = 1_000_000
_PATIENCE_US: Final = 1_000_000
_TICK_S: Final = 0.05
_WAIT_S: Final = 0.25
_AGAIN_S: Final = 2.0
_SEEN_S: Final = 30.0

Told = Callable[[int], None]


class Workbench:
    """Reads inputs and outputs of calculations, and publishes outputs."""

    def __init__(self, history: HistoryService, blocks: BlockSink) -> None:
        self.history = history
        self._blocks = blocks

    async def inputs(self, program: Program, start: int, end: int) -> list[Rows]:
        """Return each input's rows before `end`, from as far back as is needed at `start`."""
        loop = asyncio.get_running_loop()

        def before(number: int, t: int) -> int | None:
            asked = self.history.held([program.inputs[number].sid], t - 1)
            found = asyncio.run_coroutine_threadsafe(asked, loop).result()
            return int(found["ts"].cast("int64")[0].as_py()) if len(found) else None

        reach = await asyncio.to_thread(program.root.reach, start, before)
        found = []
        for number, signal in enumerate(program.inputs):
            first = max(0, min(reach.get(number, start), end - 1))
            found.append(await self.history.raw([signal.sid], first, end, _MOST_ROWS))
        return found

    async def outputs(self, sid: int, start: int, end: int) -> Series:
        """Return the outputs there are in [start, end)."""
        rows = await self.history.raw([sid], start, end, _MOST_ROWS)
        return Series(rows.ts, rows.v, rows.q)

    async def computed(self, program: Program, start: int, end: int) -> Series:
        """Return what the expression gives in [start, end)."""
        tracks = [track_of(rows) for rows in await self.inputs(program, start, end)]
        return await asyncio.to_thread(evaluate, program.root, tracks, start, end)

    async def publish(self, calculation: Calculation, series: Series) -> int:
        """Put outputs on the bus and return the last block's number there, 0 without any."""
        number = 0
        for first in range(0, len(series.ts), _BLOCK_ROWS):
            some = slice(first, first + _BLOCK_ROWS)
            sids = np.full(len(series.ts[some]), calculation.sid, np.int64)
            block = SampleBlock.from_columns(
                sids, series.ts[some], series.v[some], series.q[some],
                origin=f"calculation-{calculation.id}", arrival=now_us(),
            )  # fmt: skip
            number = await self._patiently(block)
        return number

    async def _patiently(self, block: SampleBlock) -> int:
        while True:
            try:
                return await self._blocks.publish(block)
            except Broken as error:
                if error.code != "bus.full":
                    raise
                await asyncio.sleep(1)

    async def recompute(
        self, calculation: Calculation, program: Program, start: int, end: int, told: Told
    ) -> int:
        """Bring the outputs in [start, end) to what the expression gives; return how many changed.

        `told` hears up to which stamp that is done. Returns once readers see the outputs.
        """
        at, width, number, count = start, _HOUR_US, 0, 0
        while at < end:
            to = min(end, at + width)
            try:
                new = await self.computed(program, at, to)
                given = await self.outputs(calculation.sid, at, to)
            except Refused as refused:
                if refused.code != "history.much" or width <= _SECOND_US:
                    raise
                width //= 2
                continue
            changed = differing(new, given)
            number = max(number, await self.publish(calculation, changed))
            count += len(changed.ts)
            at, width = to, min(width * 2, _DAY_US)
            told(at)
        await self._seen(number)
        return count

    async def _seen(self, number: int) -> None:
        """Wait until the tail has the block with this number."""
        async with asyncio.timeout(_SEEN_S):
            while split_seq(self.history.tail.newest)[1] < number:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


class Line:
    """One enabled calculation that follows its inputs; `after` are those it takes values from."""

    def __init__(
        self, bench: Workbench, calculation: Calculation, program: Program,
        after: Sequence["Line"],
    ) -> None:  # fmt: skip
        self.calculation, self.program = calculation, program
        self.sids = sorted({signal.sid for signal in program.inputs})
        self.state, self.message = "starting", ""
        self.loaded = asyncio.Event()
        self._bench, self._after = bench, after
        self._heard: list[Rows] = []
        self._work = asyncio.Event()
        self._is_behind = False
        self._late_before = 0
        self._follower: Follower | None = None

    @property
    def late(self) -> int:
        """Return how many input rows came too late to be made use of, since the start."""
        return self._late_before + (self._follower.late if self._follower else 0)

    def hear(self, rows: Sequence[Rows]) -> None:
        """Take rows of the inputs that were just accepted."""
        self._heard.extend(rows)
        self._work.set()

    def fell_behind(self) -> None:
        """Have the line read history again: it did not hear everything."""
        self._is_behind = True
        self._work.set()

    async def run(self) -> None:
        """Follow for ever; trouble is shown and tried again."""
        for line in self._after:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEEN_S):
                    await line.loaded.wait()
        while True:
            try:
                follower = await self._load()
                self.state, self.message = "running", ""
                self.loaded.set()
                await self._follow(follower)
            except (LineshaftError, TimeoutError) as error:
                self.state, self.message = "waiting", str(error) or "the bus did not answer"
                await asyncio.sleep(_AGAIN_S)

    async def _load(self) -> Follower:
        """Catch up from history and return a follower that stands at the present."""
        own = self.calculation
        newest = await self._bench.history.last([own.sid])
        self._heard.clear()  # whatever was heard until now is in history's answers too
        self._is_behind = False
        start = max(own.since, int(newest.ts[0]) - KEEP_US) if len(newest) else own.since
        now = now_us()
        if start < now:
            await self._bench.recompute(own, self.program, start, now, lambda _: None)
        recent = max(own.since, now - KEEP_US)
        rows = await self._bench.inputs(self.program, recent, _FOREVER)
        given = await self._bench.outputs(own.sid, recent, _FOREVER)
        self._late_before = self.late
        self._follower = Follower(self.program.root, rows, given, recent)
        return self._follower

    async def _follow(self, follower: Follower) -> None:
        """Give what is due until something was missed."""
        while not self._is_behind:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_S):
                    await self._work.wait()
            self._work.clear()
            heard, self._heard = self._heard, []
            for rows in heard:
                self._pass_on(follower, rows)
            if follower.waits:
                end = max((follower.newest or 0) + 1, now_us() - _PATIENCE_US)
                series = await asyncio.to_thread(follower.due, end)
                await self._bench.publish(self.calculation, series)
                follower.gave(series, end)
                await asyncio.sleep(_TICK_S)

    def _pass_on(self, follower: Follower, rows: Rows) -> None:
        sid = int(rows.sid[0])
        for number, signal in enumerate(self.program.inputs):
            if signal.sid == sid:
                follower.hear(number, rows)
