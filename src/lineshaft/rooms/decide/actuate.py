"""The way of a Command to a machine: turn, journal, scene, guards, write, read-back, Outcome.

    guarded(…) = Recorded ─▶ Guarded(stop) ─▶ … ─▶ Guarded(what-if) ─▶ Confirmed ─▶ BusActuator

Rules: each is an Actuator round the next; of one signal one Command is under way at a time, so no
two of them are judged by the same past; the journal knows of a step before it is taken; a Command
is sent once; where anything fails, nothing more is written and the Outcome says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Final

from lineshaft.bus import Bus
from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.ports import Actuator
from lineshaft.rooms.decide.engine.guards import (
    Envelope,
    Guard,
    Scene,
    Verdict,
    judge,
    revert_id,
)
from lineshaft.rooms.decide.engine.guards_people import Expiry
from lineshaft.rooms.decide.engine.journal import GRACE_US, Entry, Journal, Stage, settle

__all__ = [
    "BusActuator", "Guarded", "Plan", "Turns", "guarded", "recover", "revert_of",
]  # fmt: skip

Scenes = Callable[[Command], Awaitable[Scene]]
"""Asked once for each Command, when it is its turn; `now`, `seen`, `in_force`, `moves` are filled
in by the chain."""
Clock = Callable[[], int]

_ASK_S: Final = 8.0
_LOOK_S: Final = (0.0, 0.01, 0.03, 0.1)  # pauses before the first looks at a value, then the last
_AGAIN_S: Final = (0.05, 0.2, 1.0)


class Turns:
    """One Command of a signal at a time; shared by all chains of a process."""

    def __init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}

    def of(self, sid: int) -> asyncio.Lock:
        """Return the lock of a signal."""
        return self._locks.setdefault(sid, asyncio.Lock())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a chain stands on: the `machine` at its end, its guards in order, the envelopes of the
    signals it may write, who makes Scenes, the journal, the turns, the clock (wall µs).

    `read_back_s` is how long a machine may take to show a value that it accepted, `grace_us` how
    long after its expiry a write without an answer may still arrive; `judged` hears each Command
    with its Scene and every guard's verdict (for the page that explains a move).
    """

    machine: Actuator
    guards: Sequence[Guard]
    envelopes: Mapping[int, Envelope]
    scenes: Scenes
    journal: Journal
    turns: Turns
    now_us: Clock
    read_back_s: float = 2.0
    grace_us: int = GRACE_US
    judged: Callable[[Command, Scene, tuple[Verdict, ...]], None] = lambda *_: None

    def tolerance(self, sid: int) -> float:
        """Return up to which difference a value read back is the one written."""
        envelope = self.envelopes.get(sid)
        return 0.0 if envelope is None else envelope.tolerance


def guarded(plan: Plan) -> Actuator:
    """Return the whole chain as one Actuator. Its `write` ends in exactly one Outcome a Command:
    the same Command again gets the same Outcome, also after a restart; another one with its id is
    refused. A Command may be in the journal already, as decided; `recover` first."""
    look = _Look()
    chain: Actuator = _Confirmed(plan)
    for guard in reversed(plan.guards):
        chain = Guarded(chain, guard, look.at, plan.now_us)
    return _Recorded(chain, plan, look)


class _Look:
    """The Scenes of the Commands that are under way, by id."""

    def __init__(self) -> None:
        self.scenes: dict[str, Scene] = {}

    def at(self, command: Command) -> Scene:
        """Return the Scene that a Command is judged by; raises KeyError outside its turn."""
        return self.scenes[command.id]


class Guarded:
    """One guard as an Actuator round another one."""

    def __init__(
        self, inner: Actuator, guard: Guard, look: Callable[[Command], Scene], now_us: Clock
    ) -> None:
        self._inner, self._guard, self._look, self._now_us = inner, guard, look, now_us

    async def write(self, command: Command) -> Outcome:
        """Pass the Command on, or refuse it with the guard's name."""
        (verdict,) = judge([self._guard], command, self._look(command))
        if verdict.passed:
            return await self._inner.write(command)
        late = isinstance(self._guard, Expiry) and self._look(command).now >= command.expires
        ending = Ending.EXPIRED if late else Ending.REFUSED
        return Outcome(command.id, ending, self._now_us(), verdict.reason, verdict.guard)

    async def read(self, sid: int) -> float | None:
        """Return what is in force."""
        return await self._inner.read(sid)


class _Recorded:
    """The outermost: turn, journal, Scene; what comes back is written down as the Outcome."""

    def __init__(self, inner: Actuator, plan: Plan, look: _Look) -> None:
        self._inner, self._plan, self._look = inner, plan, look

    async def write(self, command: Command) -> Outcome:
        """Return the one Outcome of this Command."""
        plan = self._plan
        async with plan.turns.of(command.sid):
            try:
                entry, fresh = await plan.journal.open(command)
            except Exception as error:
                return _unrecorded(command, error, plan.now_us())
            same = fresh or entry.command == command
            if same and not fresh and entry.stage is not Stage.DECIDED:
                return await _ended(await _settled(entry, plan), plan)
            outcome = await self._judged(command, seen=not same)
            return await _ended(outcome, plan) if same else outcome

    async def _judged(self, command: Command, *, seen: bool) -> Outcome:
        plan = self._plan
        try:
            scene, in_force, moves = await asyncio.gather(
                plan.scenes(command), self.read(command.sid), plan.journal.moves(command.sid)
            )
            scene = replace(
                scene, now=plan.now_us(), seen=seen, in_force=in_force, moves=tuple(moves)
            )
            plan.judged(command, scene, judge(plan.guards, command, scene))
        except Exception as error:
            why = f"what is known could not be gathered: {type(error).__name__}: {error}"[:300]
            return Outcome(command.id, Ending.REFUSED, plan.now_us(), why, "scene")
        self._look.scenes[command.id] = scene
        try:
            return await self._inner.write(command)
        finally:
            del self._look.scenes[command.id]

    async def read(self, sid: int) -> float | None:
        """Return what is in force."""
        return await self._inner.read(sid)


class _Confirmed:
    """The innermost: sends once, and believes only what it reads back."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def write(self, command: Command) -> Outcome:
        """Send the Command, read it back, return how it ended."""
        plan, now = self._plan, self._plan.now_us()
        if now >= command.expires:
            return Outcome(command.id, Ending.EXPIRED, now, "it expired before it was sent")
        try:
            mine = await plan.journal.send(command.id, now)
        except Exception as error:
            return _unrecorded(command, error, plan.now_us())
        if not mine:
            return Outcome(command.id, Ending.REFUSED, now, "it was sent before", "replay")
        answer = await plan.machine.write(command)
        if answer.ending in (Ending.REFUSED, Ending.EXPIRED):
            return answer  # certainly not in force
        if answer.ending is Ending.DONE:
            return await self._read_back(command)
        return await _settled(Entry(command, Stage.SENT, now), plan, answer.reason)

    async def _read_back(self, command: Command) -> Outcome:
        """Look at the machine until it shows the value, or its time is over."""
        plan, found = self._plan, None
        end = plan.now_us() + int(plan.read_back_s * 1e6)
        for pause in _pauses(_LOOK_S):
            await asyncio.sleep(pause)
            found = await self.read(command.sid)
            now = plan.now_us()
            if found is not None and abs(found - command.value) <= plan.tolerance(command.sid):
                return Outcome(command.id, Ending.DONE, now, read_back=found)
            if now >= end:
                break
        shown = "cannot be read back" if found is None else f"reads back as {found:g}"
        why = f"the machine accepted {command.value:g}, but it {shown}"
        return Outcome(command.id, Ending.FAILED, plan.now_us(), why, read_back=found)

    async def read(self, sid: int) -> float | None:
        """Return what is in force, None where it cannot be read."""
        with suppress(Exception):
            return await self._plan.machine.read(sid)
        return None


async def _settled(entry: Entry, plan: Plan, why: str = "") -> Outcome:
    """Return how a Command ended that was sent and not answered, however long that takes to tell:
    until GRACE_US after its expiry."""
    look = _Confirmed(plan)
    for pause in _pauses(_AGAIN_S):
        sent = entry.stage is Stage.SENT
        found = await look.read(entry.command.sid) if sent else None
        close = plan.tolerance(entry.command.sid)
        outcome = settle(entry, found, close, plan.now_us(), grace=plan.grace_us)
        if outcome is not None:
            return replace(outcome, reason=f"{outcome.reason} ({why})") if why else outcome
        await asyncio.sleep(pause)
    raise AssertionError("pauses never end")


async def _ended(outcome: Outcome, plan: Plan) -> Outcome:
    """Write the Outcome down, however often that has to be tried: while it is not written nothing
    else is done with this signal. Return the Outcome that stands."""
    for pause in _pauses(_AGAIN_S):
        with suppress(Exception):
            return await plan.journal.end(outcome)
        await asyncio.sleep(pause)
    raise AssertionError("pauses never end")


def _unrecorded(command: Command, error: Exception, now: int) -> Outcome:
    why = f"it cannot be written down, so it is not sent: {type(error).__name__}: {error}"[:300]
    return Outcome(command.id, Ending.REFUSED, now, why, "journal")


def _pauses(first: Sequence[float]) -> Iterator[float]:
    """Yield these pauses, then the last of them for ever."""
    yield from first
    yield from repeat(first[-1])


async def recover(plan: Plan) -> list[Outcome]:
    """End every Command that was left without an Outcome, by what the machines have in force;
    nothing is sent. Call it at every start, before the first new Command."""

    async def one(left: Entry) -> Outcome:
        async with plan.turns.of(left.command.sid):
            entry, _ = await plan.journal.open(left.command)
            return await _ended(await _settled(entry, plan), plan)

    return list(await asyncio.gather(*(one(entry) for entry in await plan.journal.pending())))


def revert_of(command: Command, at: int, expires: int, in_force: float | None = None) -> Command:
    """Return the Command that takes this one back: to what was in force before it. `in_force` is
    what the machine shows now, where it did not come to show the value (its Outcome's read-back).
    Raises Refused where it is not known what was before."""
    if command.before is None:
        raise Refused(
            f"what was in force before '{command.id}' is not known", code="command.revert"
        )
    return Command(
        revert_id(command.id), command.sid, command.before, at, expires, command.origin,
        before=command.value if in_force is None else in_force, cause=command.cause,
    )  # fmt: skip


class BusActuator:
    """The machines behind the process `connect`, asked over the bus."""

    def __init__(self, bus: Bus, now_us: Clock) -> None:
        self._bus, self._now_us = bus, now_us

    async def write(self, command: Command) -> Outcome:
        """Ask for the write once: done means accepted, refused that nothing changed for certain,
        failed that nobody knows."""
        asked = {"id": command.id, "sid": command.sid, "value": command.value,
                 "expires": command.expires}  # fmt: skip
        try:
            answer: Mapping[str, Any] = await self._bus.ask("connect", "write", asked, _ASK_S)
            ending, reason = _ENDINGS[answer["result"]], str(answer["reason"])
        except Exception as error:
            spoken = error.message if isinstance(error, LineshaftError) else repr(error)
            ending, reason = Ending.FAILED, f"no answer from the process connect: {spoken}"[:300]
        guard = "machine" if ending is Ending.REFUSED else ""
        return Outcome(command.id, ending, self._now_us(), reason, guard)

    async def read(self, sid: int) -> float | None:
        """Return what the machine has now; None where it cannot be read."""
        try:
            answer = await self._bus.ask("connect", "read", {"sid": sid}, _ASK_S)
        except LineshaftError:
            return None
        value = answer["value"]
        return None if value is None else float(value)


_ENDINGS: Final = {"accepted": Ending.DONE, "refused": Ending.REFUSED, "expired": Ending.EXPIRED,
                   "unknown": Ending.FAILED}  # fmt: skip
