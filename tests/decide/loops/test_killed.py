"""Loops over real OPC UA, their process killed between decide, write and verify.

The machine is a real server; the loop is a rule that moves a variable up while the temperature is
high and back when it is not, in steps that its rate allows.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from lineshaft.core.commands import Ending
from lineshaft.core.facts import Fact
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.decide.journal import CommandBook, Journal, MoveMade
from lineshaft.rooms.decide.model import (
    FIGURES,
    SOURCE,
    Conditions,
    Goal,
    Loop,
    LoopHandle,
    LoopLimit,
)
from lineshaft.rooms.decide.store import LoopStore
from tests.connect.conftest import House, ServerProcess, until
from tests.connect.test_write import open_for_writing
from tests.crash.site import Child
from tests.decide.loops.runner_child import run

PERIOD_H = 0.3 / 3600
STEP = 2.0
LONG_S = 150.0


@pytest.fixture(scope="module")
def machine() -> Iterator[ServerProcess]:
    server = ServerProcess(typed=["Double"]).start()
    yield server
    server.stop()


class Looped:
    """A house with a loop, and the process that runs it."""

    def __init__(self, house: House, machine: ServerProcess) -> None:
        self.house, self.machine = house, machine
        self.store, self.journal = LoopStore(house.engine), Journal(house.engine)
        self.handle = house.sid("as-double")
        self.child: Child | None = None

    def add(self, mode: str, limits: Sequence[LoopLimit] = (), **other: Any) -> Loop:
        house = self.house
        goal, moving = house.sid("temperature"), house.sid("counter")
        rule = {"name": "up", "when": {"signal": "cost", "above": 25.0},
                "move": {"handle": str(self.handle), "to": 100.0}}  # fmt: skip
        own = house.directory.register([
            Signal(0, f"lineshaft/demo/a/b/loop/{name}", name, Kind.FLOAT, source=SOURCE)
            for name in FIGURES
        ])  # fmt: skip
        loop = Loop(
            "loop", "Rule", "lineshaft/demo/a/b/loop", Goal("t", "minimise", "", goal),
            (LoopHandle(self.handle, 0.0, 100.0, STEP / PERIOD_H, 0.0, 1e6),), limits,
            inputs=(moving,),
            period_h=PERIOD_H, settle_h=1.0, method="rules", settings={"rules": [rule]},
            conditions=Conditions(**other), signals={s.name: s.sid for s in own},
        )  # fmt: skip
        self.store.add(loop, mode, 1)
        return loop

    def start(self) -> None:
        self.child = Child(run, str(self.house.folder))

    def heat(self, hot: bool) -> None:
        value = 30.0 if hot else 20.0
        self.machine.do("write", name="Temperature", value=value, kind="Double")

    def moves(self) -> list[MoveMade]:
        return self.journal.moves("loop", 1000)[::-1]

    def done(self) -> int:
        ended = [one.outcome for one in self.moves() if one.outcome is not None]
        return sum(one.ending is Ending.DONE for one in ended)

    def written(self) -> list[float]:
        """What the server took for the handle, in order."""
        return [float(v) for name, v in self.machine.do("taken") if name == "As Double"]


@pytest.fixture
async def looped(house: House, machine: ServerProcess) -> AsyncIterator[Looped]:
    source = await house.add(machine.endpoint)
    await open_for_writing(house, source)
    machine.do("write", name="As Double", value=0.0, kind="Double")
    made = Looped(house, machine)
    made.heat(False)
    yield made
    if made.child is not None:
        made.child.kill()


async def _moved(looped: Looped, more: int) -> None:
    count = looped.done()
    await until(lambda: looped.done() >= count + more, LONG_S, f"{more} more moves")


async def test_killed_it_sends_nothing_again_and_every_command_ends_once(looped: Looped) -> None:
    await _killed(looped, 1)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_killed_five_times_the_same_holds(looped: Looped) -> None:
    await _killed(looped, 5)


async def _killed(looped: Looped, times: int) -> None:
    dice, before = random.Random(times), len(looped.written())
    looped.add("autonomous")
    looped.start()
    for turn in range(times):
        looped.heat(turn % 2 == 0)
        await _moved(looped, 3)
        await asyncio.sleep(dice.uniform(0, 0.3))
        assert looped.child is not None
        looped.child.kill()
        looped.start()
    looped.heat(times % 2 == 0)
    await _moved(looped, 3)
    looped.store.stop(2, "ann", "the end of a test")
    await until(lambda: all(one.outcome for one in looped.moves()), LONG_S, "all have ended")
    moves, written = looped.moves(), looped.written()[before:]
    sent = [one for one in moves if one.sent is not None]
    assert Counter(written) <= Counter(one.command.value for one in sent)
    assert {one.command.value for one in moves if one.outcome and one.outcome.ending is Ending.DONE
            } <= set(written)  # fmt: skip
    path = [0.0, *written]
    assert all(abs(b - a) <= STEP * 1.01 for a, b in itertools.pairwise(path))
    assert all(0.0 <= value <= 100.0 for value in written)
    await _told_once(looped, moves)


async def _told_once(looped: Looped, moves: list[MoveMade]) -> None:
    """Every Outcome is told, once, and as what it was."""
    book = CommandBook(looped.house.engine, lambda: None)
    await until(lambda: not book.untold(), LONG_S, "every Outcome is told")
    facts = [one for one in await looped.house.facts("command.") if one.kind != "command.decided"]
    told = Counter(str(one.body["id"]) for one in facts)
    assert told == Counter(one.command.id for one in moves)
    kinds = {str(one.body["id"]): one.kind for one in facts}
    for one in moves:
        assert one.outcome is not None
        assert kinds[one.command.id] == f"command.{one.outcome.ending.value}"


@pytest.mark.long
async def test_a_machine_that_lies_on_read_back_takes_the_loop_one_step_down(
    looped: Looped,
) -> None:
    looped.add("autonomous")
    looped.start()
    looped.heat(True)
    await _moved(looped, 2)
    looped.machine.do("mood", swallow=True)
    await until(lambda: looped.store.get("loop").mode != "autonomous", LONG_S, "it is demoted")
    looped.machine.do("mood")
    assert looped.store.get("loop").mode == "supervised"
    facts: list[Fact] = await until(
        lambda: looped.house.facts("loop.demoted"), LONG_S, "it is told"
    )
    assert (facts[0].body["from"], facts[0].body["to"]) == ("autonomous", "supervised")
    failed = [one for one in looped.moves() if one.outcome and one.outcome.ending is Ending.FAILED]
    assert failed


@pytest.mark.long
async def test_in_shadow_and_advisory_nothing_is_written(looped: Looped) -> None:
    before = looped.written()
    looped.add("shadow")
    looped.start()
    looped.heat(True)

    def offered(state: str) -> bool:
        return bool(looped.journal.offers("loop", 1, (state,)))

    await until(lambda: offered("shadow"), LONG_S, "it has proposed")
    looped.store.move("loop", "shadow", "advisory", 2)
    await until(lambda: offered("advice"), LONG_S, "it advises")
    assert looped.written() == before and looped.moves() == []
