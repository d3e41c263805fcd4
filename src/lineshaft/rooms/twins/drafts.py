"""Drafts: twins proposed from a connected machine, worked on while one waits or looks in.

Rules: a draft is asked for by a machine's path or by a source; what cannot be worked on is refused
at once. It is worked on in the worker, candidate by candidate; who asked may wait, or follow it by
its id. Nothing of it is kept: the newest few stay in memory, and making a twin of one is the same
call as making any.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.ports import SampleReader
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.twins.engine.draft.ranges import UNITS
from lineshaft.rooms.twins.engine.draft.words import is_clock, is_pace
from lineshaft.rooms.twins.model import SOURCE, Twin
from lineshaft.rooms.twins.plugins import behaviours
from lineshaft.rooms.twins.work import Worker

__all__ = ["DraftRun", "DraftService", "twin_body"]

_MOST_SIGNALS: Final = 400
_MOST_ROWS: Final = 1_500_000
_MOST_TIMES: Final = 8
_WINDOW_US: Final = 6 * 3600 * 1_000_000
_SHORTEST_US: Final = 60 * 1_000_000
_KEPT: Final = 20
_LONGEST_S: Final = 300.0  # for one step; nobody waits at a desk for it
_OURS: Final = frozenset({SOURCE, "calculation", "decide"})  # what the platform says of machines


@dataclass(slots=True)
class DraftRun:
    """One piece of work: `state` is looking, fitting, done or failed; `done` of `total` candidates
    are fitted; the period it learns from in µs."""

    id: str
    base: str
    start: int = 0
    end: int = 0
    state: str = "looking"
    done: int = 0
    total: int = 0
    drafts: Sequence[Mapping[str, Any]] = ()
    error: LineshaftError | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class DraftService:
    """What the doors ask of drafts. `listed(prefix, source)` gives signals; it and
    `conversion(unit, unit)`, which gives a line or raises Refused, block."""

    def __init__(
        self, worker: Worker, history: SampleReader,
        listed: Callable[[str, str], Sequence[Signal]],
        conversion: Callable[[str, str], tuple[float, float]],
    ) -> None:  # fmt: skip
        self._worker, self._history = worker, history
        self._listed, self._conversion = listed, conversion
        self._runs = dict[str, DraftRun]()
        self._tasks = set[asyncio.Task[None]]()

    async def begin(
        self, machine: str, source: str, start: int | None, end: int | None
    ) -> DraftRun:  # fmt: skip
        """Begin to work on the machine below a path, or on all of a source; the period is the
        newest six hours of its samples where none is given."""
        if bool(machine) == bool(source):
            raise Refused("a draft is made of a machine or of a source", code="twin.draft",
                          hint="Name one of both")  # fmt: skip
        found = await asyncio.to_thread(self._listed, machine.rstrip("/"), source)
        signals = [one for one in found if one.source not in _OURS]
        base = machine.rstrip("/") or _shared([one.path for one in signals]) or source
        _check(base, signals)
        run = DraftRun(uuid.uuid4().hex[:16], base)
        run.start, run.end = await self._period(base, signals, start, end)
        self._runs[run.id] = run
        for old in list(self._runs)[:-_KEPT]:
            del self._runs[old]
        task = asyncio.create_task(self._work(run, signals, is_given=start is not None))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def get(self, number: str, wait_s: float) -> DraftRun:
        """Return a piece of work, once it is done or `wait_s` has passed; raises what it failed
        of."""
        run = self._runs.get(number)
        if run is None:
            raise Refused("there is no such draft", code="twin.draft", status=404,
                          hint="Only the newest are kept; ask for another")  # fmt: skip
        if wait_s > 0:
            try:
                async with asyncio.timeout(wait_s):
                    await run.ended.wait()
            except TimeoutError:
                return run
        if run.error is not None:
            raise run.error
        return run

    async def _period(
        self, base: str, signals: Sequence[Signal], start: int | None, end: int | None
    ) -> tuple[int, int]:
        """Return the period to learn from; Refused where there is no history at all."""
        if end is None:
            newest = await self._history.last([one.sid for one in signals])
            if not len(newest.ts):
                raise Refused(f"'{base}' has no samples yet", code="twin.history",
                              hint="Wait until its source has delivered some")  # fmt: skip
            end = int(newest.ts.max()) + 1
        begin = max(end - _WINDOW_US, 0) if start is None else start
        if begin >= end:
            raise Refused("the time range is empty", hint="'from' must lie before 'to'",
                          code="query.range")  # fmt: skip
        return begin, end

    async def _work(self, run: DraftRun, signals: Sequence[Signal], *, is_given: bool) -> None:
        try:
            await self._carry_out(run, signals, is_given=is_given)
            run.state = "done"
        except LineshaftError as error:
            run.state, run.error = "failed", error
        finally:
            run.ended.set()

    async def _carry_out(self, run: DraftRun, signals: Sequence[Signal], *, is_given: bool) -> None:
        numbers = [one for one in signals if one.kind is not Kind.STRING]
        clocks, speeds = await asyncio.to_thread(self._times, signals)
        wanted = sorted({*(one.sid for one in numbers), *clocks, *speeds})
        columns = await self._rows(run, wanted, is_given=is_given)
        lines = await asyncio.to_thread(self._lines, numbers)
        found = await self._worker.run("draft_look", run.base, signals, columns, lines, clocks,
                                       speeds, within_s=_LONGEST_S)  # fmt: skip
        run.state, run.total = "fitting", len(found.candidates)
        clock, trials = found.clock[0] if found.clock else None, []
        for candidate in found.candidates:
            trial = await self._worker.run("draft_candidate", candidate, clock,
                                           within_s=_LONGEST_S)  # fmt: skip
            trials += [trial] if trial is not None else []
            run.done += 1
        if not trials:
            raise Refused(f"nothing of '{run.base}' could be fitted to that period",
                          code="twin.draft",
                          hint="Take a period in which what drives the machine moves")  # fmt: skip
        run.drafts = await self._worker.run("draft_judge", found, trials, signals)

    async def _rows(self, run: DraftRun, sids: list[int], *, is_given: bool) -> tuple[Any, ...]:
        """Return sid, ts, v, q of the period, what held at its start included; a period that nobody
        asked for is halved while it holds too much."""
        while True:
            try:
                rows = await self._history.raw(sids, run.start, run.end, _MOST_ROWS)
                break
            except Refused:
                if is_given or run.end - run.start < _SHORTEST_US:
                    raise
                run.start += (run.end - run.start) // 2
        held = await self._history.held(sids, run.start)
        old = [held[name].to_numpy() for name in ("sid", "v", "q")]
        sid, v, q = (np.concatenate(pair) for pair in zip(old, (rows.sid, rows.v, rows.q),
                                                          strict=True))  # fmt: skip
        ts = np.concatenate([np.full(held.num_rows, run.start), rows.ts])
        return sid, ts, v, q

    def _times(self, signals: Sequence[Signal]) -> tuple[dict[int, float], list[int]]:
        """Return signals that may tell the plant's time, with the seconds of their unit, and those
        that may tell its speed, of all sources of these signals."""
        clocks, speeds = dict[int, float](), list[int]()
        for source in sorted({one.source for one in signals if one.source}):
            for one in self._listed("", source):
                text = f"{one.path.rpartition('/')[2]} {one.name}"
                if one.kind is Kind.STRING:
                    continue
                if one.unit in ("", "1") and is_pace(text):
                    speeds.append(one.sid)
                elif one.unit and is_clock(text):
                    line = self._line(one.unit, "s")
                    if line is not None:
                        clocks[one.sid] = line[0]
        return dict(list(clocks.items())[:_MOST_TIMES]), speeds[:_MOST_TIMES]

    def _lines(self, signals: Sequence[Signal]) -> dict[tuple[str, str], tuple[float, float]]:
        """Return the lines from every unit that a signal has, or may have, to every port's."""
        forms = behaviours().values()
        ports = {port.unit for one in forms for port in one.inputs}
        ports |= {port.unit for one in forms for port in one.outputs}
        found = dict[tuple[str, str], tuple[float, float]]()
        for unit in sorted({*(one.unit for one in signals), *UNITS} - {""}):
            for port in sorted(ports - {""}):
                line = self._line(unit, port)
                if line is not None:
                    found[unit, port] = line
        return found

    def _line(self, unit: str, wanted: str) -> tuple[float, float] | None:
        try:
            return self._conversion(unit, wanted)
        except Refused:
            return None


def _check(base: str, signals: Sequence[Signal]) -> None:
    if not signals:
        raise Refused(f"'{base}' has no signals", code="twin.draft",
                      hint="Give a path of a machine, or a source: see GET /signals")  # fmt: skip
    if all(one.kind is Kind.STRING for one in signals):
        raise Refused(f"'{base}' has text signals only", code="twin.draft",
                      hint="A twin needs signals of numbers")  # fmt: skip
    if len(signals) > _MOST_SIGNALS:
        raise Refused(f"'{base}' has {len(signals)} signals, more than {_MOST_SIGNALS}",
                      code="twin.draft", hint="Draft one machine of it at a time")  # fmt: skip


def _shared(paths: Sequence[str]) -> str:
    """Return the levels that all paths begin with."""
    if not paths:
        return ""
    levels = [path.split("/")[:-1] for path in paths]
    shared = list[str]()
    for parts in zip(*levels, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def twin_body(twin: Twin) -> dict[str, Any]:
    """Return a drafted twin as POST /twins takes it."""
    return {
        "name": twin.name, "machine": twin.machine, "behaviour": twin.behaviour,
        "method": twin.method, "clock": twin.clock,
        "inputs": {name: bound.sid for name, bound in twin.inputs.items()},
        "outputs": {name: bound.sid for name, bound in twin.outputs.items()},
        "parameters": {name: {"value": one.value, "sigma": one.sigma, "is_set": one.is_set}
                       for name, one in twin.parameters.items()},
        "starts": dict(twin.starts), "spreads": dict(twin.spreads), "walks": dict(twin.walks),
        "noises": dict(twin.noises),
    }  # fmt: skip
