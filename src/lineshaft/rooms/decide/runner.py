"""The process `decide`: follows the site's stream, steps the loops, has their wishes carried out.

Rules: what a loop knows is what it was saved with and the stream after that; a step taken before a
crash is recognised by its id and taken again as it was, without acting. A period that ended while
nobody looked is never acted on. Before there is a loop there is nothing to know, and neither the
methods nor their libraries are loaded.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lineshaft.bus import Bus, Gone, Message
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.bus.streams import end
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.signals import Signal
from lineshaft.records import Engine
from lineshaft.rooms.decide.model import SOURCE
from lineshaft.rooms.decide.store import Kept, LoopStore
from lineshaft.rooms.decide.watch import Watch

if TYPE_CHECKING:
    from lineshaft.rooms.decide.loop_run import LoopRun

__all__ = ["Ground", "Runner", "keep_loops"]

_SAVE_S: Final = 30.0
_LOOK_S: Final = 1.0
_SEED_S: Final = 2.0
_log = logging.getLogger(__name__)


class Ground:
    """What the process stands on: `signals` gives signals by sid and `approvers` the accounts that
    may approve (both block), `key` seals approvals, `full_seq` turns a number of the stream into
    that of history."""

    def __init__(
        self, bus: Bus, engine: Engine, *, key: bytes,
        signals: Callable[[Sequence[int]], Mapping[int, Signal]],
        approvers: Callable[[], frozenset[str]], full_seq: Callable[[int], int],
    ) -> None:  # fmt: skip
        self.bus, self.engine, self.key = bus, engine, key
        self.signals, self.approvers, self.full_seq = signals, approvers, full_seq


async def keep_loops(ground: Ground, stop: asyncio.Event) -> None:
    """Run the loops of the records until `stop`; the verb `decide.changed` has them read again."""
    changed, store = asyncio.Event(), LoopStore(ground.engine)

    async def note(_: Mapping[str, Any]) -> Mapping[str, Any]:
        changed.set()
        return {}

    async def nothing(_: Mapping[str, Any]) -> Mapping[str, Any]:
        return {} if runner is None else runner.state()

    runner: Runner | None = None
    await ground.bus.serve("decide", "changed", note)
    await ground.bus.serve("decide", "state", nothing)
    while not await asyncio.to_thread(store.all):
        stopping, told = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(changed.wait())
        await asyncio.wait({stopping, told}, return_when="FIRST_COMPLETED")
        await end(stopping, told)
        if stop.is_set():
            return
        changed.clear()
    changed.set()
    runner = Runner(ground, changed)
    await runner.run(stop)


class Runner:
    """Runs the loops of the records. `changed` is to be set when these changed."""

    def __init__(self, ground: Ground, changed: asyncio.Event) -> None:
        # Loaded here: before there is a loop nobody needs them.
        from lineshaft.rooms.decide.hands import Hands
        from lineshaft.rooms.decide.journal import Journal
        from lineshaft.rooms.decide.stepper import Stepper

        self._ground, self._bus, self._changed = ground, ground.bus, changed
        self._store, self._journal = LoopStore(ground.engine), Journal(ground.engine)
        self._watch = Watch(ground.bus)
        self._hands = Hands(ground.bus, ground.engine, self._watch, ground.key,
                                   ground.approvers)  # fmt: skip
        self._stepper = Stepper(ground.bus, self._store, self._journal, self._hands,
                                         self._watch, ground.full_seq)  # fmt: skip
        self._runs: dict[str, LoopRun] = {}
        self._failed: dict[str, str] = {}
        self._stream = data_stream(ground.bus.site)
        self._token, self._seq, self._known = "", 0, ""
        self._saved = monotonic_s()
        self._asked: dict[str, float] = {}

    def state(self) -> Mapping[str, Any]:
        """Return what the doors show of every loop, by id."""
        failed = {one: {"state": "failed", "why": [why], "conditions": []}
                  for one, why in self._failed.items()}  # fmt: skip
        return {**failed, **{one: run.view() for one, run in self._runs.items()}}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then write down what is known."""
        await self._begin()
        tasks = [asyncio.ensure_future(one) for one in (
            self._follow_for_ever(), self._hands.run(), self._watch.run(), self._look(),
            stop.wait())]  # fmt: skip
        try:
            await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
        finally:
            ended = await end(*tasks)
            await self._save()
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _begin(self) -> None:
        """Take up where the loop that is furthest behind was saved."""
        streams = self._bus.streams
        state = await streams.patiently(streams.state, self._stream)
        self._token, self._seq, self._known = state.token, state.last, ""
        self._changed.clear()
        await self._read()
        for run in self._runs.values():
            if run.seq < self._seq:
                self._seq, self._known = run.seq, run.known_id

    async def _read(self) -> None:
        """Make what runs what is written."""
        kept = {one.loop.id: one for one in await asyncio.to_thread(self._store.all)}
        wanted = {number for number, one in kept.items() if one.loop.enabled}
        for number in set(self._runs) | set(self._failed):
            run = self._runs.get(number)
            is_current = run is not None and number in wanted and (
                run.loop.revision == kept[number].loop.revision)  # fmt: skip
            if not is_current:
                self._hands.drop(number)
                self._runs.pop(number, None)
                self._failed.pop(number, None)
        for number in sorted(wanted - set(self._runs)):
            await self._start(kept[number])
        for number, run in self._runs.items():
            self._hands.enter(run, kept[number].mode, kept[number].since)

    async def _start(self, kept: Kept) -> None:
        from lineshaft.rooms.decide.loop_run import LoopRun

        loop = kept.loop
        signals = await asyncio.to_thread(self._ground.signals, list(loop.heard))
        if missing := set(loop.heard) - set(signals):
            self._failed[loop.id] = f"the signal {min(missing)} is not there"
            return
        known = await asyncio.to_thread(self._journal.known, loop.id)
        if known is not None and (known.token != self._token or known.seq > self._seq):
            known = None  # of a stream that is no more
        try:
            run = await asyncio.to_thread(LoopRun, kept, signals, known)
        except Refused as error:
            if known is None:
                self._failed[loop.id] = str(error)
                return
            _log.info("the loop '%s' begins anew: %s", loop.name, error)
            try:
                run = await asyncio.to_thread(LoopRun, kept, signals, None)
            except Refused as again:
                self._failed[loop.id] = str(again)
                return
        if not run.token:
            run.position(self._token, self._seq, self._known)
        results = await asyncio.to_thread(self._journal.results, loop.id, kept.mode, kept.since)
        sign = loop.goal.sign
        run.pairs = [(sign * one.predicted, sign * one.actual) for one in results
                     if one.predicted is not None]  # fmt: skip
        self._runs[loop.id] = run
        self._hands.take(run)

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                messages = self._bus.streams.follow(self._stream, self._seq, self._known)
                async with aclosing(messages) as stream:
                    async for message in stream:
                        await self._take(message)
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise
                streams = self._bus.streams
                state = await streams.patiently(streams.state, self._stream)
                self._token, self._seq, self._known = state.token, state.last, ""
                for run in self._runs.values():
                    run.position(self._token, self._seq, self._known)

    async def _take(self, message: Message | Gone) -> None:
        if self._changed.is_set():
            self._changed.clear()
            await self._read()
        if isinstance(message, Gone):
            return  # what never came: values hold, means have less to stand on
        if message.headers.get("Ls-Origin") != SOURCE:
            with suppress(Refused):  # what nobody can read the writer puts aside and tells
                block = decode_block(message.data, message.headers)
                v = block.batch.column(2).to_numpy(zero_copy_only=False)
                q = block.batch.column(4).to_numpy().astype(np.int64)
                sid = block.sid.astype(np.int64)
                for run in list(self._runs.values()):
                    if message.seq <= run.seq:
                        continue
                    if run.window.take(sid, block.ts, v, q, message.seq) and run.is_due():
                        await self._step(run, message)
        self._seq, self._known = message.seq, message.id
        for run in list(self._runs.values()):
            if message.seq > run.seq:
                run.position(self._token, message.seq, message.id)
            await self._seed(run)
        if monotonic_s() - self._saved > _SAVE_S:
            await self._save()

    async def _step(self, run: "LoopRun", message: Message) -> None:
        """Step one loop; one that fails goes no further, and its plant is let go."""
        try:
            await self._stepper.step(run, message)
        except (ArithmeticError, LookupError, TypeError, ValueError, Refused) as error:
            _log.exception("the loop '%s' failed", run.loop.name)
            self._failed[run.loop.id] = f"its method failed: {type(error).__name__}: {error}"[:300]
            if run.acts:
                await self._hands.demote(run, self._failed[run.loop.id])
            self._hands.drop(run.loop.id)
            del self._runs[run.loop.id]

    async def _seed(self, run: "LoopRun") -> None:
        """Ask the machines for what was never heard: they send what changes."""
        unheard = run.unheard()
        now = monotonic_s()
        if not unheard or now < self._asked.get(run.loop.id, 0.0) + _SEED_S:
            return
        self._asked[run.loop.id] = now
        found = await self._hands.read(unheard)
        if found:
            run.seed(found, now_us())
            await asyncio.to_thread(self._journal.remember, run.loop.id, run.known())

    async def _look(self) -> None:
        """Once a second, and when told: answers of persons, and proposals that nobody answered."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()
            if not self._runs:  # no message may come that would have it read
                self._changed.clear()
                await self._read()
            for run in list(self._runs.values()):
                await self._stepper.attend(run)
            await asyncio.sleep(0.05)

    async def _save(self) -> None:
        """Write down what every loop knows."""
        for number, run in list(self._runs.items()):
            known = await asyncio.to_thread(run.known)
            await asyncio.to_thread(self._journal.remember, number, known)
            await asyncio.to_thread(self._journal.trim, number)
        self._saved = monotonic_s()
