"""Calculated signals: defined, checked, followed, computed again.

Rules: an output is a real signal of the source `calculation`, listed like any other; calculations
that feed one another never form a circle, and start and are computed again in that order. A changed
definition is a new revision, told as the Fact `calculation.changed`; it holds from then on, and
what lies before is computed again on request only.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from lineshaft.bus.streams import end
from lineshaft.clock import now_us
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.paths import check_path
from lineshaft.core.ports import BlockSink, FactSink, SignalDirectory
from lineshaft.core.signals import Signal
from lineshaft.rooms.history.calculation_lines import Line, Workbench
from lineshaft.rooms.history.calculation_store import Calculation, CalculationStore
from lineshaft.rooms.history.engine.calculate import Series
from lineshaft.rooms.history.engine.expression import Wrong, renamed
from lineshaft.rooms.history.engine.program import Meanings, Program, compile_expression
from lineshaft.rooms.history.engine.trend import choose_points, pixel_columns
from lineshaft.rooms.history.service import HistoryService

__all__ = ["SOURCE", "Backfill", "Calculations", "Draft", "Listed"]

SOURCE: Final = "calculation"
_FOREVER: Final = 1 << 62
_WAKE_S: Final = 0.05
_LONGEST_US: Final = 3660 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person writes; `unit` None takes what comes out of the expression."""

    path: str
    name: str
    expression: str
    unit: str | None
    enabled: bool = True


@dataclass(slots=True)
class Backfill:
    """A range being computed again: up to `done` (µs) for the calculation named by `path` now."""

    start: int
    to: int
    path: str
    done: int
    state: str = "running"
    message: str = ""
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A calculation and how it is doing; `late` counts input rows that came too late."""

    calculation: Calculation
    state: str
    message: str = ""
    late: int = 0
    inputs: Sequence[Signal] = field(default_factory=list)
    backfill: Backfill | None = None


class Calculations:
    """All calculations of a site. `find` gives a signal by its path, `by_sid` those with these
    ids, retired ones too; both may block."""

    def __init__(
        self, store: CalculationStore, history: HistoryService, blocks: BlockSink, facts: FactSink,
        directory: SignalDirectory, find: Callable[[str], Signal | None],
        by_sid: Callable[[Sequence[int]], Mapping[int, Signal]], meanings: Meanings,
    ) -> None:  # fmt: skip
        self._store, self._facts, self._directory = store, facts, directory
        self._find, self._by_sid, self._meanings = find, by_sid, meanings
        self._history = history
        self._bench = Workbench(history, blocks)
        self._all: dict[str, Calculation] = {}
        self._programs: dict[str, Program | Wrong] = {}
        self._lines: dict[str, Line] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._backfills: dict[str, Backfill] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._lock = asyncio.Lock()
        self._work = asyncio.Event()
        self._seen = 0

    def heard(self, _: int) -> None:
        """Note that a block was accepted."""
        self._work.set()

    async def run(self) -> None:
        """Follow all enabled calculations, for ever."""
        try:
            async with self._lock:
                for one in await asyncio.to_thread(self._store.list):
                    self._programs[one.id], meant = await self._compiled(
                        one.expression, one.unit, one.meant
                    )
                    self._all[one.id] = replace(one, meant=meant)
                    if meant != one.meant:
                        await asyncio.to_thread(self._store.revise, self._all[one.id], one.revision)
                await self._history.tail.ready.wait()
                self._seen = self._history.tail.newest
                self._start(self._ordered(list(self._all)))
            while True:
                await self._work.wait()
                self._work.clear()
                self._hand_out()
                await asyncio.sleep(_WAKE_S)
        finally:
            await end(*self._tasks.values(), *self._jobs.values())

    def _hand_out(self) -> None:
        """Give each line the rows that came since the last time; where some are not in the tail
        any more, the lines read history again."""
        tail = self._history.tail
        fresh = [block for block in tail.blocks() if block.seq > self._seen]
        is_whole = (fresh[-1].seq if fresh else self._seen) - self._seen == len(fresh)
        is_whole &= tail.newest == (fresh[-1].seq if fresh else self._seen)
        self._seen = tail.newest
        for line in self._lines.values():
            if not is_whole:
                line.fell_behind()
                continue
            rows = [part for block in fresh for part in block.rows(line.sids, 0, _FOREVER)]
            if rows:
                line.hear(rows)

    def _start(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            one, program = self._all[number], self._programs[number]
            if not one.enabled or isinstance(program, Wrong):
                continue
            sources = {signal.sid for signal in program.inputs}
            after = [line for line in self._lines.values() if line.calculation.sid in sources]
            line = self._lines[number] = Line(self._bench, one, program, after)
            self._tasks[number] = asyncio.create_task(line.run())

    async def _stop(self, number: str) -> None:
        self._lines.pop(number, None)
        task = self._tasks.pop(number, None)
        if task is not None:
            await end(task)

    async def _compiled(
        self, expression: str, unit: str | None, meant: Mapping[str, int]
    ) -> tuple[Program | Wrong, Mapping[str, int]]:
        """Return the program, or the first mistake, and which signals its paths mean: those they
        meant before, or what took the place of one that was retired."""
        now = dict(meant)

        def find(path: str) -> Signal | None:
            found = self._find(known[meant[path]].path if meant.get(path) in known else path)
            if found is not None:
                now[path] = found.sid
            return found

        def compile_it() -> Program | Wrong:
            try:
                return compile_expression(expression, unit, find, self._meanings)
            except Wrong as wrong:
                return wrong

        known = await asyncio.to_thread(self._by_sid, list(meant.values()))
        return await asyncio.to_thread(compile_it), now

    def _feeds(self) -> dict[int, list[str]]:
        """Return which calculations take each signal."""
        found: dict[int, list[str]] = {}
        for number, program in self._programs.items():
            for signal in program.inputs if isinstance(program, Program) else ():
                found.setdefault(signal.sid, []).append(number)
        return found

    def _ordered(self, numbers: Sequence[str]) -> list[str]:
        """Return these calculations and all that depend on them, each after those it needs."""
        feeds, done, order = self._feeds(), set[str](), list[str]()

        def visit(number: str) -> None:
            if number not in done:
                done.add(number)
                for follower in feeds.get(self._all[number].sid, ()):
                    visit(follower)
                order.append(number)

        for number in numbers:
            visit(number)
        return order[::-1]

    def _check_circle(self, path: str, own: int | None, program: Program) -> None:
        """Refuse a calculation that would depend on its own output."""
        of_sid = {one.sid: one for one in self._all.values()}
        waiting = [(signal, [path]) for signal in program.inputs]
        seen = set[int]()
        while waiting:
            signal, way = waiting.pop()
            if signal.sid == own or signal.path == path:
                circle = " → ".join([*way, path])
                raise Refused(f"this would depend on itself: {circle}"[:1000],
                              hint="Leave one of these out", code="calculation.circle",
                              status=409)  # fmt: skip
            one = of_sid.get(signal.sid)
            if one is None or signal.sid in seen:
                continue
            seen.add(signal.sid)
            deeper = self._programs[one.id]
            if isinstance(deeper, Program):
                waiting += [(further, [*way, signal.path]) for further in deeper.inputs]

    async def check(self, expression: str, unit: str | None) -> Program | Wrong:
        """Return what an expression means, or its first mistake."""
        return (await self._compiled(expression, unit, {}))[0]

    async def preview(
        self, expression: str, unit: str | None, start: int, to: int, px: int
    ) -> tuple[Program, Series]:
        """Return the points that draw an expression over a range; nothing is kept."""
        program, _ = await self._needed(expression, unit)
        found = await self._bench.computed(program, start, to)
        if len(found.ts) > 4 * px:
            keep = choose_points(found.ts, found.v, pixel_columns(start, to, px))
            found = Series(found.ts[keep], found.v[keep], found.q[keep])
        return program, found

    async def _needed(self, expression: str, unit: str | None) -> tuple[Program, Mapping[str, int]]:
        found, meant = await self._compiled(expression, unit, {})
        if isinstance(found, Wrong):
            raise found
        return found, meant

    async def list(self) -> list[Listed]:
        """Return all calculations, by path; their expressions name signals as they are called
        now."""
        sids = {sid for one in self._all.values() for sid in one.meant.values()}
        known = await asyncio.to_thread(self._by_sid, list(sids))
        found = []
        for one in sorted(self._all.values(), key=lambda c: c.path):
            names = {path: known[sid].path for path, sid in one.meant.items() if sid in known}
            found.append(self._listed(replace(one, expression=renamed(one.expression, names))))
        return found

    def _listed(self, one: Calculation) -> Listed:
        program, line = self._programs[one.id], self._lines.get(one.id)
        backfill = self._backfills.get(one.id)
        if isinstance(program, Wrong):
            return Listed(one, "wrong", str(program), backfill=backfill)
        if line is None:
            state = "starting" if one.enabled else "disabled"
            return Listed(one, state, inputs=program.inputs, backfill=backfill)
        return Listed(one, line.state, line.message, line.late, program.inputs, backfill)

    async def add(self, draft: Draft) -> Listed:
        """Define a calculation and start it."""
        async with self._lock:
            number, now = uuid.uuid4().hex[:16], now_us()
            program, signal, meant = await self._registered(draft)
            made = Calculation(number, signal.path, draft.name, draft.expression, program.unit,
                               draft.enabled, 1, now, signal.sid, meant)  # fmt: skip
            await asyncio.to_thread(self._store.add, made)
            await self._take(made, program, "added")
            return self._listed(made)

    async def change(self, number: str, draft: Draft, revision: int) -> Listed:
        """Give a calculation a new revision, which holds from now on."""
        async with self._lock:
            old = self._known(number)
            if draft.path != old.path:
                raise Refused("a calculation keeps its path", code="calculation.path",
                              hint="Define another one")  # fmt: skip
            program, signal, meant = await self._registered(draft, old)
            since = old.since if _same(program, self._programs[number]) else now_us()
            made = replace(old, name=draft.name, expression=draft.expression, unit=program.unit,
                           enabled=draft.enabled, revision=revision + 1, since=since,
                           sid=signal.sid, meant=meant)  # fmt: skip
            await asyncio.to_thread(self._store.revise, made, revision)
            await self._take(made, program, "changed")
            return self._listed(made)

    async def remove(self, number: str) -> None:
        """Forget a calculation; its signal and samples stay."""
        async with self._lock:
            old = self._known(number)
            await asyncio.to_thread(self._store.remove, number)
            job = self._jobs.pop(number, None)
            if job is not None:
                await end(job)
            await self._stop(number)
            del self._all[number], self._programs[number]
            self._backfills.pop(number, None)
            await self._tell(old, "removed")

    def _known(self, number: str) -> Calculation:
        if number not in self._all:
            raise Refused("there is no such calculation", hint="See GET /calculations",
                          code="calculation.unknown", status=404)  # fmt: skip
        return self._all[number]

    async def _registered(
        self, draft: Draft, old: Calculation | None = None
    ) -> tuple[Program, Signal, Mapping[str, int]]:
        """Check a draft and put its output on the list of signals."""
        program, meant = await self._needed(draft.expression, draft.unit)
        there = await asyncio.to_thread(self._find, check_path(draft.path))
        if there is not None and there.source != SOURCE:
            raise Refused(f"'{draft.path}' is a signal of a machine", code="calculation.path",
                          hint="Take another path", status=409)  # fmt: skip
        if old is None and any(one.path == draft.path for one in self._all.values()):
            raise Refused(f"'{draft.path}' is calculated already", code="calculation.path",
                          hint="Change that one, or take another path", status=409)  # fmt: skip
        self._check_circle(draft.path, there.sid if there else None, program)
        wanted = Signal(0, draft.path, draft.name or draft.path.rpartition("/")[2], program.kind,
                        program.unit, source=SOURCE, description=draft.expression)  # fmt: skip
        (signal,) = await asyncio.to_thread(self._directory.register, [wanted])
        return program, signal, meant

    async def _take(self, made: Calculation, program: Program, what: str) -> None:
        """Put a definition to work, and those that depend on it anew: its output may be another
        signal now."""
        self._all[made.id], self._programs[made.id] = made, program
        affected = self._ordered([made.id])
        for number in affected:
            await self._stop(number)
            one = self._all[number]
            self._programs[number], _ = await self._compiled(one.expression, one.unit, one.meant)
        self._start(affected)
        await self._tell(made, what)

    async def _tell(self, one: Calculation, what: str) -> None:
        body = {"id": one.id, "what": what, "revision": one.revision, "sid": one.sid,
                "expression": one.expression, "unit": one.unit, "enabled": one.enabled}  # fmt: skip
        await self._facts.tell(Fact("calculation.changed", now_us(), one.path, body))

    def backfill(self, number: str, start: int, to: int) -> Backfill:
        """Begin to compute a range again, then what depends on it; return how far that is."""
        one = self._known(number)
        program = self._programs[number]
        if isinstance(program, Wrong):
            raise program
        stop = min(to, now_us())
        if not 0 <= start < stop or stop - start > _LONGEST_US:
            raise Refused("the range to compute again is empty or longer than ten years",
                          hint="'from' must lie before 'to' and before now",
                          code="query.range")  # fmt: skip
        running = self._jobs.get(number)
        if running is not None and not running.done():
            raise Refused(f"'{one.path}' is being computed again already",
                          hint="Wait until that is done", code="calculation.busy",
                          status=409)  # fmt: skip
        job = self._backfills[number] = Backfill(start, stop, one.path, start)
        self._jobs[number] = asyncio.create_task(self._fill(number, job))
        return job

    async def _fill(self, number: str, job: Backfill) -> None:
        def told(at: int) -> None:
            job.done = at

        try:
            for each in self._ordered([number]):
                one, program = self._all[each], self._programs[each]
                if isinstance(program, Wrong):
                    continue
                job.path, job.done = one.path, job.start
                job.changed += await self._bench.recompute(one, program, job.start, job.to, told)
            job.state = "done"
        except (LineshaftError, TimeoutError) as error:
            job.state, job.message = "failed", str(error) or "the bus did not answer"


def _same(one: Program, other: Program | Wrong) -> bool:
    """Return whether both say the same of the same signals, whatever these are called."""
    return isinstance(other, Program) and (one.root, one.unit) == (other.root, other.unit) and [
        signal.sid for signal in one.inputs
    ] == [signal.sid for signal in other.inputs]  # fmt: skip
