"""The room's hands in the web process: loops defined, promoted, approved, stopped, explained.

Rules: what people decide is in the records first and told to the process `decide` after that, so it
holds whether that process lives or not; the process reads the mode again before every write. A loop
begins in shadow, and one whose record changes goes back there. Every change is a Fact.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lineshaft.bus import Bus
from lineshaft.clock import now_us
from lineshaft.core.commands import Ending
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.paths import check_path, slug
from lineshaft.core.ports import Evidence, Expressions, SignalDirectory
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.decide.journal import Journal, MoveMade, Offer
from lineshaft.rooms.decide.methods import check_settings
from lineshaft.rooms.decide.model import FIGURES, MODES, SOURCE, Loop, checked
from lineshaft.rooms.decide.store import Kept, LoopStore
from lineshaft.rooms.decide.why import Why, explain

__all__ = ["DecideService", "LoopState"]

_ASK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class LoopState:
    """A loop, its mode since when, the proposal that waits, and what the process `decide` says of
    it (`live` as shown by the runner; empty where it is silent)."""

    loop: Loop
    mode: str
    since: int
    waiting: Offer | None = None
    live: Mapping[str, Any] = field(default_factory=dict)


class DecideService:
    """All that the doors ask of decisions. `signals` gives those with these ids; it blocks; `key`
    seals what persons approve."""

    def __init__(
        self, store: LoopStore, journal: Journal, bus: Bus, directory: SignalDirectory,
        expressions: Expressions, signals: Callable[[Sequence[int]], Mapping[int, Signal]],
        key: bytes, evidence: Evidence,
    ) -> None:  # fmt: skip
        self._key, self._evidence = key, evidence
        self._store, self._journal, self._bus = store, journal, bus
        self._directory, self._expressions, self._signals = directory, expressions, signals
        self._write = asyncio.Lock()

    async def all(self) -> tuple[list[LoopState], Mapping[str, Any] | None]:
        """Return all loops and how they are doing, and the big stop that is in force."""
        kept = await asyncio.to_thread(self._store.all)
        stopped = await asyncio.to_thread(self._store.stopped)
        return await self._states(kept), stopped

    async def get(self, number: str) -> LoopState:
        """Return one; Refused (404) where there is none."""
        return (await self._states([await asyncio.to_thread(self._store.get, number)]))[0]

    async def _states(self, kept: Sequence[Kept]) -> list[LoopState]:
        live: Mapping[str, Any] = {}
        if kept:
            with suppress(Broken):
                live = await self._bus.ask("decide", "state", {}, _ASK_S)
        waiting = await asyncio.to_thread(self._journal.offers, "", 1000, ("waiting",))
        now, offers = now_us(), {one.loop: one for one in waiting}
        found = []
        for one in kept:
            offer = offers.get(one.loop.id)
            if offer is not None and now >= (offer.expires or 0):
                offer = None
            state = live.get(one.loop.id, {})
            found.append(LoopState(one.loop, one.mode, one.since, offer, state))
        return found

    async def check(self, draft: Loop) -> Loop:
        """Return a draft with its objective's unit; Refused where it could not run."""
        meant = await self._expressions.check(draft.goal.expression, draft.goal.unit or None)
        goal = replace(draft.goal, unit=meant.unit, sid=meant.sid)
        found = replace(draft, goal=goal)
        remote = [one for one in (found.remote.wish, found.remote.heartbeat) if one]
        known = await asyncio.to_thread(self._signals, [*found.heard, *remote])
        units = {sid: known[sid].unit for sid in known}
        made = checked(found, known)
        check_path(f"{draft.machine}/{slug(draft.name)}/mode")
        await asyncio.to_thread(check_settings, made)
        return replace(
            made,
            handles=tuple(replace(one, unit=units[one.sid]) for one in made.handles),
            limits=tuple(replace(one, unit=units[one.sid]) for one in made.limits),
        )

    async def add(self, draft: Loop) -> LoopState:
        """Make a loop of a draft (without id), in shadow."""
        async with self._write:
            number = uuid.uuid4().hex[:16]
            made = await self._registered(replace(draft, id=number, revision=1))
            await asyncio.to_thread(self._store.add, made, MODES[0], now_us())
            await self._tell("loop.added", made, {"revision": 1})
        return await self.get(number)

    async def change(self, wanted: Loop, who: str) -> LoopState:
        """Give a loop another record; `revision` is the one that was looked at."""
        async with self._write:
            kept = await asyncio.to_thread(self._store.get, wanted.id)
            made = await self._registered(replace(wanted, revision=wanted.revision + 1))
            await asyncio.to_thread(self._store.change, made, wanted.revision, now_us())
            if kept.mode != MODES[0]:
                await self._tell_shadow(kept, who, "its record was changed")
            await self._tell("loop.changed", made, {"revision": made.revision, "by": who})
        return await self.get(wanted.id)

    async def remove(self, number: str, who: str) -> None:
        """Forget a loop; what it did stays."""
        async with self._write:
            kept = await asyncio.to_thread(self._store.get, number)
            await self._to_shadow(kept, who, "it was removed")
            await asyncio.to_thread(self._store.remove, number)
            await asyncio.to_thread(self._journal.forget, number)
            await self._tell("loop.removed", kept.loop, {"by": who})

    async def _to_shadow(self, kept: Kept, who: str, reason: str) -> None:
        if kept.mode != MODES[0]:
            await asyncio.to_thread(self._store.move, kept.loop.id, kept.mode, MODES[0], now_us())
            await self._tell_shadow(kept, who, reason)

    async def _tell_shadow(self, kept: Kept, who: str, reason: str) -> None:
        body = {"from": kept.mode, "to": MODES[0], "by": who, "reason": reason}
        await self._tell("loop.demoted", kept.loop, body)

    async def _registered(self, draft: Loop) -> Loop:
        """Check a draft, and give it the signals that carry its objective and its figures."""
        made = await self.check(draft)
        base = f"{made.machine}/{slug(made.name)}"
        signal = await self._expressions.signal(
            f"{base}/goal", f"{made.name}: goal", made.goal.expression, made.goal.unit or None
        )
        drafts = [
            Signal(0, f"{base}/{name}", f"{made.name}: {name}", Kind.FLOAT,
                   _unit(signal.unit, unit), source=SOURCE)
            for name, unit in FIGURES.items()
        ]  # fmt: skip
        own = await asyncio.to_thread(self._directory.register, drafts)
        sids = {name: one.sid for name, one in zip(FIGURES, own, strict=True)}
        return made.with_signals(replace(made.goal, sid=signal.sid, unit=signal.unit), sids)

    async def promote(self, number: str, mode: str, who: str, reason: str) -> LoopState:
        """Move a loop one step up from `mode`; Refused with what its record lacks."""
        state = await self.get(number)
        if state.mode != mode or mode == MODES[-1]:
            raise Refused(f"the loop is in the mode '{state.mode}'", code="loop.mode", status=409,
                          hint="Look at it again; above autonomous there is nothing")  # fmt: skip
        if not state.loop.enabled or not state.live:
            raise Refused("this loop does not run", code="loop.record", status=409,
                          hint="Enable it, and wait until it has seen its signals")  # fmt: skip
        lacking = [one["text"] for one in state.live["conditions"] if not one["met"]]
        if lacking:
            raise Refused(f"its record is not good enough yet: {'; '.join(lacking)}"[:900],
                          hint="Let it run in its mode, then look again", code="loop.record",
                          status=409)  # fmt: skip
        after = MODES[MODES.index(mode) + 1]
        await asyncio.to_thread(self._store.move, number, mode, after, now_us())
        body = {"from": mode, "to": after, "by": who, "reason": reason,
                "record": state.live["conditions"]}  # fmt: skip
        await self._tell("loop.promoted", state.loop, body)
        return await self.get(number)

    async def demote(self, number: str, mode: str, who: str, reason: str) -> LoopState:
        """Move a loop one step down from `mode`."""
        kept = await asyncio.to_thread(self._store.get, number)
        if kept.mode != mode or mode == MODES[0]:
            raise Refused(f"the loop is in the mode '{kept.mode}'", code="loop.mode", status=409,
                          hint="Look at it again; below shadow there is nothing")  # fmt: skip
        after = MODES[MODES.index(mode) - 1]
        await asyncio.to_thread(self._store.move, number, mode, after, now_us())
        body = {"from": mode, "to": after, "by": who, "reason": reason}
        await self._tell("loop.demoted", kept.loop, body)
        return await self.get(number)

    async def stop(self, who: str, reason: str) -> Mapping[str, Any]:
        """Bring every loop to shadow; the machines keep their set-points, or return to their own
        where they watch a heartbeat. Return the stop."""
        stopped = await asyncio.to_thread(self._store.stop, now_us(), who, reason)
        await self._apply()
        body = {"by": who, "reason": reason, "loops": stopped["loops"]}
        await self._bus.tell(Fact("loop.stopped", stopped["at"], self._bus.site, body))
        return stopped

    async def proposals(self, loop: str, limit: int) -> list[tuple[Offer, Loop | None]]:
        """Return the newest proposals and whose they are."""
        found = await asyncio.to_thread(self._journal.offers, loop, limit)
        return await self._with_loops(found)

    async def _with_loops(self, found: Sequence[Offer]) -> list[tuple[Offer, Loop | None]]:
        known = {one.loop.id: one.loop for one in await asyncio.to_thread(self._store.all)}
        return [(one, known.get(one.loop)) for one in found]

    async def approve(self, number: str, who: str, reason: str) -> tuple[Offer, Loop | None]:
        """Say yes to a proposal that waits; with the last yes that it needs it is carried out."""
        offer = await asyncio.to_thread(self._journal.offer, number)
        kept = await asyncio.to_thread(self._store.get, offer.loop)
        needs = kept.loop.conditions.approvals
        offer = await asyncio.to_thread(
            self._journal.approve, number, who, needs, self._key, now_us()
        )
        body = {"proposal": number, "by": who, "reason": reason, "state": offer.state}
        await self._tell("proposal.approved", kept.loop, body)
        return (await self._with_loops([offer]))[0]

    async def reject(self, number: str, who: str, reason: str) -> tuple[Offer, Loop | None]:
        """Say no to a proposal that waits."""
        offer = await asyncio.to_thread(self._journal.offer, number)
        kept = await asyncio.to_thread(self._store.get, offer.loop)
        closed = await asyncio.to_thread(
            self._journal.close, offer, "waiting", "rejected", Ending.REFUSED,
            f"{who} said no", "approval", now_us(),
        )  # fmt: skip
        if not closed:
            raise Refused(f"this proposal does not wait for an answer: it is {offer.state}",
                          code="proposal.over", status=409)  # fmt: skip
        body = {"proposal": number, "by": who, "reason": reason}
        await self._tell("proposal.rejected", kept.loop, body)
        return (await self._with_loops([replace(offer, state="rejected")]))[0]

    async def moves(self, loop: str, limit: int, after: str) -> tuple[list[MoveMade], str | None]:
        """Return Commands, newest first, and where the list goes on."""
        found = await asyncio.to_thread(self._journal.moves, loop, limit, after)
        return found, found[-1].command.id if len(found) == limit else None

    async def move(self, number: str) -> MoveMade:
        """Return one Command; Refused (404) where there is none."""
        return await asyncio.to_thread(self._journal.get, number)

    async def why(self, number: str) -> Why:
        """Return why a move was made."""
        return await explain(self._journal, self._evidence, number)

    async def prove(self, number: str) -> bytes:
        """Return a file that proves offline what is said of a move; Refused where the ledger has
        not all of it."""
        why = await self.why(number)
        return await self._evidence.prove([one.id for one, _ in why.evidence])

    async def _tell(self, kind: str, loop: Loop, body: Mapping[str, Any]) -> None:
        told = {"id": loop.id, "name": loop.name, **body}
        await self._apply()
        await self._bus.tell(Fact(kind, now_us(), loop.machine, told))

    async def _apply(self) -> None:
        """Have the process `decide` look at the records now."""
        with suppress(Broken):  # it reads them when it comes up
            await self._bus.ask("decide", "changed", {}, _ASK_S)


def _unit(goal: str, unit: str) -> str:
    """Return a figure's unit: the objective's own, that times hours, or one of its own."""
    if unit == "*h":
        return goal.removesuffix("/h") if goal.endswith("/h") else f"{goal}.h".lstrip(".")
    return unit or goal
