"""Exactly one Outcome and at most one write, whatever dies, comes late or is delivered twice.

The chain runs in a loop whose time jumps. Every step that it takes outside itself (journal, scene,
machine) is a gate at which the process may die, before or after the step; what it asked of the
machine goes on without it, as a write on its way does: carried out at once, late, or never. Then a
next life begins, recovers, and may be given the same Commands again.
"""

import asyncio
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.rooms.decide.actuate import Plan, Turns, guarded, recover
from lineshaft.rooms.decide.engine.guards import Envelope, Move, Scene
from lineshaft.rooms.decide.engine.guards_people import Expiry, Replay, Stop
from lineshaft.rooms.decide.engine.guards_plant import Bounds, Unchanged
from lineshaft.rooms.decide.engine.journal import GRACE_US, Book, Entry, Stage, settle
from lineshaft.rooms.decide.engine.ladder import Mode

START = 1_800_000_000_000_000
SIDS = (1, 2)
LIFE_US = 4_000_000


class Killed(BaseException):
    """The process died here."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """Waits for nobody: its time jumps to the next thing to do."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class World:
    """What outlives the process: the disk (`book`), the machine, the writes on their way."""

    def __init__(self, seed: int) -> None:
        self.random, self.book = Random(seed), Book()
        self.value = dict.fromkeys(SIDS, 10.0)
        self.sent: list[str] = []  # ids of Commands that were handed to the machine
        self.written: list[tuple[str, float]] = []  # and that it carried out
        self.told: dict[str, set[Outcome]] = {}
        self.is_dead, self.deaths_left = False, self.random.randrange(4)

    def now_us(self) -> int:
        return START + round(asyncio.get_running_loop().time() * 1e6)

    async def gate(self) -> None:
        """Take a moment; die here, perhaps."""
        await asyncio.sleep(self.random.choice([0, 0, 0.001, 0.3]))
        if not self.is_dead and self.deaths_left and self.random.random() < 0.15:
            self.is_dead, self.deaths_left = True, self.deaths_left - 1
        if self.is_dead:
            raise Killed

    def carry_out(self, command: Command) -> None:
        """What the process connect and the machine do, whoever lives: never after the expiry and
        the time limit of a request."""
        if self.now_us() < command.expires + GRACE_US - 1_000_000:
            self.value[command.sid] = command.value
            self.written.append((command.id, self.value[command.sid]))


class Life:
    """One life of the process: a Journal and an Actuator whose every step is a gate."""

    def __init__(self, world: World) -> None:
        self._world, self._book = world, world.book

    async def open(self, command: Command) -> tuple[Entry, bool]:
        await self._world.gate()
        found = self._book.open(command)
        await self._world.gate()
        return found

    async def send(self, command: str, at: int) -> bool:
        await self._world.gate()
        mine = self._book.send(command, at)
        await self._world.gate()
        return mine

    async def end(self, outcome: Outcome) -> Outcome:
        await self._world.gate()
        if self._world.random.random() < 0.1:
            raise OSError("the disk is full")
        stands = self._book.end(outcome)
        await self._world.gate()
        return stands

    async def pending(self) -> Sequence[Entry]:
        await self._world.gate()
        return self._book.pending()

    async def moves(self, sid: int) -> Sequence[Move]:
        await self._world.gate()
        return self._book.moves(sid)

    async def write(self, command: Command) -> Outcome:
        world, loop = self._world, asyncio.get_running_loop()
        assert command.id not in world.sent, "sent twice"
        assert world.book.entries[command.id].stage is Stage.SENT, "sent before it was written down"
        world.sent.append(command.id)
        story = world.random.choice(["obeys", "obeys", "refuses", "late", "never", "clamps"])
        if story == "late":
            loop.call_later(world.random.uniform(0, 9), world.carry_out, command)
        elif story == "obeys":
            world.carry_out(command)
        elif story == "clamps":
            world.value[command.sid] = 0.5 * command.value
        await world.gate()
        ending = {"obeys": Ending.DONE, "clamps": Ending.DONE, "refuses": Ending.REFUSED}
        if story == "obeys" and world.random.random() < 0.3:
            story = "the answer is lost"
        return Outcome(command.id, ending.get(story, Ending.FAILED), world.now_us(), story)

    async def read(self, sid: int) -> float | None:
        await self._world.gate()
        if self._world.random.random() < 0.1:
            raise ConnectionError("no link")
        return None if self._world.random.random() < 0.1 else self._world.value[sid]


def plan_of(world: World) -> Plan:
    life = Life(world)
    envelopes = {sid: Envelope(sid, 0.0, 100.0, rate=1e9) for sid in SIDS}

    async def scenes(_: Command) -> Scene:
        await world.gate()
        if world.random.random() < 0.05:
            raise RuntimeError("the samples cannot be read")
        return Scene(mode=Mode.AUTONOMOUS, stopped=world.random.random() < 0.05, abnormal=())

    guards = (Stop(), Replay(), Expiry(), Bounds(envelopes), Unchanged(envelopes))
    return Plan(life, guards, envelopes, scenes, life, Turns(), world.now_us, read_back_s=0.5)


async def deliver(world: World, commands: Sequence[Command]) -> None:
    """Live one life: recover, take Commands (some of them twice), until done or dead."""
    plan = plan_of(world)

    async def one(command: Command) -> None:
        await asyncio.sleep(world.random.choice([0, 0, 0.1, 6]))
        outcome = await guarded(plan).write(command)
        world.told.setdefault(command.id, set()).add(outcome)

    async def life() -> None:
        before = list(world.sent)
        await recover(plan)
        assert world.sent == before, "a recovery sends nothing"
        given = [command for command in commands for _ in range(world.random.choice([1, 1, 2]))]
        await asyncio.gather(*(one(command) for command in given))

    world.is_dead = False
    tasks = [asyncio.ensure_future(life())]
    try:
        await tasks[0]
    except Killed:
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


async def story(seed: int) -> World:
    world = World(seed)
    commands = [
        Command(f"c{n}", world.random.choice(SIDS), world.random.choice([20.0, 30.0, 101.0]),
                START + 1, START + LIFE_US, "loop", before=world.random.choice([10.0, 20.0]))
        for n in range(1, 4)
    ]  # fmt: skip
    while True:
        dying = world.deaths_left
        await deliver(world, commands)
        if not world.is_dead and dying == world.deaths_left:
            break
    await asyncio.sleep(60)  # what was on its way has arrived or never will
    return world


def check(world: World) -> None:
    entries = world.book.entries
    assert set(entries) == {"c1", "c2", "c3"}
    assert len(world.sent) == len(set(world.sent))
    for number, entry in entries.items():
        outcome = entry.outcome
        assert outcome is not None, "every Command ends"
        assert world.told[number] == {outcome}, "and everybody is told the same end"
        carried_out = [value for name, value in world.written if name == number]
        assert len(carried_out) <= 1
        if outcome.ending is Ending.DONE:
            assert number in world.sent and outcome.read_back == entry.command.value
        if outcome.ending in (Ending.REFUSED, Ending.EXPIRED):
            assert not carried_out
        if outcome.ending is Ending.FAILED and entry.sent_at is None:
            assert number not in world.sent and "nothing was written" in outcome.reason
        assert entry.command.value != 101.0 or number not in world.sent, "inside its envelope"
    assert all(0 <= value <= 100 for value in world.value.values())


def run(seed: int) -> None:
    loop = JumpingLoop()
    try:
        check(loop.run_until_complete(story(seed)))
    finally:
        loop.close()


@settings(max_examples=80)
@given(st.integers(0, 1 << 32))
def test_every_command_ends_once_whatever_happens(seed: int) -> None:
    run(seed)


@pytest.mark.long
@settings(max_examples=5000)
@given(st.integers(0, 1 << 32))
def test_every_command_ends_once_over_many_stories(seed: int) -> None:
    run(seed)


def test_the_book_takes_each_step_once() -> None:
    book = Book()
    mine = Command("a", 1, 5.0, 10, 20, "loop", before=4.0)
    assert book.open(mine)[1] and not book.open(mine)[1]
    assert book.send("a", 11) and not book.send("a", 12) and not book.send("b", 12)
    first = book.end(Outcome("a", Ending.DONE, 13))
    assert book.end(Outcome("a", Ending.FAILED, 14)) == first and not book.send("a", 15)
    assert book.moves(1) == [Move("a", 11, 4.0, 5.0)] and book.moves(2) == []
    book.open(Command("b", 1, 6.0, 10, 20, "loop"))
    book.send("b", 16)
    book.end(Outcome("b", Ending.REFUSED, 17))
    assert len(book.moves(1)) == 1, "what the machine refused is no move"
    with pytest.raises(KeyError):
        book.end(Outcome("unknown", Ending.DONE, 1))


@pytest.mark.parametrize(
    ("sent", "in_force", "now", "ending"),
    [(False, 5.0, 15, Ending.FAILED), (False, 5.0, 20, Ending.EXPIRED),
     (True, 5.0, 15, Ending.DONE), (True, 5.1, 15, None), (True, None, 20, None),
     (True, 4.0, 24, None),
     (True, 4.0, 25, Ending.FAILED), (True, None, 25, Ending.FAILED), (True, 5.0, 99, Ending.DONE),
     (True, math.nan, 99, Ending.FAILED)],
)  # fmt: skip
def test_what_was_left_is_ended_by_what_is_in_force(
    sent: bool, in_force: float | None, now: int, ending: Any
) -> None:
    entry = Entry(Command("a", 1, 5.0, 10, 20, "loop"), Stage.SENT if sent else Stage.DECIDED, 11)
    outcome = settle(entry, in_force, 0.01, now, grace=5)
    assert (outcome and outcome.ending) == ending
