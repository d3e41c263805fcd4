"""The hands of loops: chains of guards, the heart, Commands carried out, and what follows from it.

Rules: before the first new Command, all that a restart left without an Outcome is ended by what the
machines have in force, and nothing is sent for it. A guard that trips, or a write that cannot be
confirmed, demotes the loop one step; the latter is taken back first. What ended is told as a Fact
from the records, so a crash between the two loses nothing and the same Fact is the same again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from lineshaft.bus import Bus
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.ports import Actuator
from lineshaft.records import Engine
from lineshaft.rooms.decide.actuate import BusActuator, Plan, Turns, guarded, recover, revert_of
from lineshaft.rooms.decide.chain import TRIPS, clock_of, plan_of
from lineshaft.rooms.decide.engine.guards import Envelope, Move, Scene
from lineshaft.rooms.decide.engine.ladder import Mode, demoted
from lineshaft.rooms.decide.foresight import Foreteller
from lineshaft.rooms.decide.heart import Heart, Held
from lineshaft.rooms.decide.journal import CommandBook, Journal, Offer
from lineshaft.rooms.decide.loop_run import LoopRun
from lineshaft.rooms.decide.store import LoopStore
from lineshaft.rooms.decide.told import outcome_fact
from lineshaft.rooms.decide.watch import Watch

__all__ = ["EXPIRES_US", "Hands"]

EXPIRES_US: Final = 10_000_000
_TAKE_OVER_S: Final = 3.0
_AGAIN_S: Final = 1.0
_log = logging.getLogger(__name__)


class Hands:
    """Carries Commands out for all loops. `approvers` gives the accounts that may approve now (it
    blocks), `key` seals approvals."""

    def __init__(
        self, bus: Bus, engine: Engine, watch: Watch, key: bytes,
        approvers: Callable[[], frozenset[str]],
    ) -> None:  # fmt: skip
        self._bus, self._watch, self._key, self._approvers = bus, watch, key, approvers
        self._store, self._journal = LoopStore(engine), Journal(engine)
        self._told = asyncio.Event()
        self.book = CommandBook(engine, self._told.set)
        self._machine, self._foreteller = BusActuator(bus, now_us), Foreteller(bus)
        self._turns, self._heart = Turns(), Heart(bus)
        self._plans: dict[str, Plan] = {}
        self._chains: dict[str, Actuator] = {}
        self._since: dict[str, float] = {}
        self.recovered = asyncio.Event()

    async def run(self) -> None:
        """Beat, end what was left, tell what ended; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heart.run())
            tasks.create_task(self._recover())
            tasks.create_task(self._tell())

    def take(self, run: LoopRun) -> None:
        """Have a chain for a loop from now on."""

        async def scene(command: Command) -> Scene:
            return await self._scene(run, command)

        plan = plan_of(run.loop, self._key, machine=self._machine, scenes=scene, book=self.book,
                       turns=self._turns, now_us=now_us)  # fmt: skip
        self._plans[run.loop.id], self._chains[run.loop.id] = plan, guarded(plan)

    def drop(self, loop: str) -> None:
        """Do nothing for a loop any more."""
        self.let_go(loop)
        self._plans.pop(loop, None)
        self._chains.pop(loop, None)

    def hold(self, run: LoopRun) -> None:
        """Have the plant of a loop that acts obey us."""
        if run.loop.id not in self._since:
            self._since[run.loop.id] = monotonic_s()
            self._heart.hold(run.loop.id, _held(run))

    def let_go(self, loop: str) -> None:
        """Want nothing of the plant any more."""
        if self._since.pop(loop, None) is not None:
            self._heart.let_go(loop)

    def hindered(self, run: LoopRun) -> tuple[str, ...]:
        """Return why nothing can be carried out now, in words."""
        if not run.acts:
            return ()
        said = [] if self.recovered.is_set() else ["what a restart left is being ended"]
        if trouble := self._heart.trouble(_held(run)):
            said.append(f"the heartbeat does not arrive: {trouble}")
        has_remote = run.loop.remote.wish is not None or run.loop.remote.heartbeat is not None
        began = self._since.get(run.loop.id, monotonic_s())
        if has_remote and monotonic_s() - began < _TAKE_OVER_S:
            said.append("the plant is being taken over")
        return tuple(said)

    def envelopes(self, loop: str) -> Mapping[int, Envelope]:
        """Return what the handles of a loop may be told."""
        return self._plans[loop].envelopes

    async def moves(self, run: LoopRun) -> Mapping[int, Sequence[Move]]:
        """Return what was sent to each handle of a loop, oldest first."""
        sids = [one.sid for one in run.loop.handles]
        found = await asyncio.gather(*(self.book.moves(sid) for sid in sids))
        return dict(zip(sids, found, strict=True))

    async def foresee(self, run: LoopRun, proposal: str, moves: Mapping[int, float]) -> None:
        """Have the twins of a loop asked now, so that its Commands need not wait for them."""
        await self._foreteller.ask(proposal, run.loop.conditions.foresight, moves)

    async def read(self, sids: Sequence[int]) -> Mapping[int, float]:
        """Return what machines have now for those signals that can be read."""
        found = await asyncio.gather(*(self._machine.read(sid) for sid in sids))
        return {sid: v for sid, v in zip(sids, found, strict=True) if v is not None}

    async def carry_out(self, run: LoopRun, offer: Offer, state: str) -> None:
        """Give the Commands of a proposal that is in a state; nothing where it is not any more."""
        if not await asyncio.to_thread(self._journal.settle, offer.id, state, "running"):
            return
        chain = self._chains[run.loop.id]
        ready = [replace(one, approvals=offer.persons) for one in offer.commands]
        outcomes = await asyncio.gather(*(chain.write(one) for one in ready))
        await asyncio.to_thread(self._journal.settle, offer.id, "running", "done")
        self.confirm(run, list(zip(ready, outcomes, strict=True)))
        await self._judge(run, list(zip(ready, outcomes, strict=True)))

    @staticmethod
    def confirm(run: LoopRun, ended: Sequence[tuple[Command, Outcome]]) -> None:
        """Have a loop know which of its Commands are in force."""
        for command, outcome in ended:
            if outcome.ending is Ending.DONE and outcome.read_back is not None:
                run.confirm(command.sid, outcome.read_back, outcome.at)
                run.tally.moves += 1
                run.tally.fresh += 1

    async def _judge(self, run: LoopRun, ended: Sequence[tuple[Command, Outcome]]) -> None:
        """Take back what could not be confirmed; demote for it, and for every trip."""
        failed = [(c, o) for c, o in ended if o.ending is Ending.FAILED]
        for command, outcome in failed:
            with suppress(Refused):  # what was in force before it is not known
                until = now_us() + EXPIRES_US
                back = revert_of(command, now_us(), until, outcome.read_back)
                await self._chains[run.loop.id].write(back)
                await self.tell(run, "loop.reverted", {"command": command.id, "to": back.value})
        tripped = [o for _, o in ended if o.ending is Ending.REFUSED and o.guard in TRIPS]
        if said := [
            f"{o.guard or 'write'}: {o.reason}" for o in (*tripped, *(o for _, o in failed))
        ]:
            await self.demote(run, said[0])

    async def demote(self, run: LoopRun, reason: str) -> None:
        """Bring a loop one step down, because of what happened."""
        before, after, at = run.mode, demoted(Mode(run.mode)).value, now_us()
        try:
            await asyncio.to_thread(self._store.move, run.loop.id, before, after, at)
        except Refused:  # a person was faster
            return
        self.enter(run, after, at)
        body = {"from": before, "to": after, "by": "guards", "reason": reason}
        await self.tell(run, "loop.demoted", body)

    def enter(self, run: LoopRun, mode: str, since: int) -> None:
        """Have a loop be in a mode, and its plant obey us or not."""
        run.enter(mode, since)
        (self.hold(run) if run.acts else self.let_go(run.loop.id))

    async def tell(self, run: LoopRun, kind: str, body: Mapping[str, Any]) -> None:
        """Say what happened to a loop."""
        told = {"id": run.loop.id, "name": run.loop.name, **body}
        await self._bus.tell(Fact(kind, now_us(), run.loop.machine, told))

    async def _scene(self, run: LoopRun, command: Command) -> Scene:
        """Return what is known now; what people decide is read anew."""
        loop = run.loop

        def look() -> tuple[str, bool, Offer | None, frozenset[str]]:
            mode = self._store.modes().get(loop.id, ("shadow", 0))[0]
            offer = self._journal.offer_if_any(command.id.partition("-")[0])
            return mode, self._store.stopped() is not None, offer, self._approvers()

        mode, stopped, offer, approvers = await asyncio.to_thread(look)
        # What takes a move back is asked about by itself.
        mine = {one.id: one for one in (offer.commands if offer else ())}
        together = mine.values() if command.id in mine else [command]
        foretold = await self._foreteller.ask(
            offer.id if offer and command.id in mine else command.id,
            loop.conditions.foresight,
            {one.sid: one.value for one in together},
        )
        return Scene(
            mode=Mode(mode), stopped=stopped,
            abnormal=self._watch.twins(dict.fromkeys(loop.conditions.twins)),
            clock=clock_of(run.window), readings=run.readings(),
            approvals=tuple(offer.approvals) if offer else (), approvers=approvers,
            foretold=foretold,
        )  # fmt: skip

    async def _recover(self) -> None:
        """End what a restart left: Commands by what is in force, proposals by their Commands."""
        running = await asyncio.to_thread(self._journal.offers, "", 1000, ("running",))
        for offer in running:
            for command in offer.commands:
                await self.book.open(replace(command, approvals=offer.persons))
        envelopes: dict[int, Envelope] = {}
        for plan in self._plans.values():
            envelopes |= plan.envelopes
        nobody: Any = None  # nothing is judged
        plan = Plan(self._machine, (), envelopes, nobody, self.book, self._turns, now_us)
        await recover(plan)
        for offer in running:
            await asyncio.to_thread(self._journal.settle, offer.id, "running", "done")
        self.recovered.set()

    async def _tell(self) -> None:
        """Tell what ended, for ever."""
        while True:
            self._told.clear()
            ended = await asyncio.to_thread(self.book.untold)
            try:
                for one in ended:
                    await self._bus.tell(outcome_fact(one))
                if ended:
                    numbers = [one.command.id for one in ended]
                    await asyncio.to_thread(self.book.tell, numbers)
                    continue
            except LineshaftError as error:
                _log.warning("an Outcome cannot be told yet: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_S):
                    await self._told.wait()


def _held(run: LoopRun) -> Held:
    return Held(run.loop.remote.heartbeat, run.loop.remote.wish)
