"""`guards`: thousands of unsafe Commands against the whole chain, and as many safe ones.

Each Command goes the real way (turn, journal, scene, guards, write, read-back) to a machine in
memory that counts what reaches it. `unsafe_executed` is how many unsafe ones did; beside Commands
alone there are races (two Commands decided on the same past) and second deliveries (the same one
again, also after a restart). `safe_executed` is the share of safe ones that were done,
`safe_altered` how many left another value at the machine than they asked for. `guards_idle` counts
guards whose removal lets no unsafe Command through: they would be there for nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bench.figures import Figure, judge
from bench.ground import say
from bench.guard_cases import UNSAFE, Case, Cases
from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.rooms.decide.actuate import Plan, Turns, guarded, recover
from lineshaft.rooms.decide.engine.guards import Move, Scene
from lineshaft.rooms.decide.engine.guards import judge as judged
from lineshaft.rooms.decide.engine.journal import Book, Entry

__all__ = ["idle_guards", "run", "try_safe", "try_unsafe"]

_SAFE = 10_000
_UNSAFE = 600  # of each kind, beside races and second deliveries
_REMOVED = 40  # of each kind, for each guard that is taken out


class _Machine:
    """One value, and how often it was written."""

    def __init__(self, value: float | None) -> None:
        self.value, self.writes = value, 0

    async def write(self, command: Command) -> Outcome:
        await asyncio.sleep(0)
        self.writes += 1
        self.value = command.value
        return Outcome(command.id, Ending.DONE, command.at)

    async def read(self, sid: int) -> float | None:
        await asyncio.sleep(0)
        return self.value


class _Journal:
    """The engine's Book behind the port that a store has."""

    def __init__(self, moves: Sequence[Move], sid: int) -> None:
        self._book = Book()
        for move in moves:
            past = Command(move.command, sid, move.value, move.at, move.at + 1, "past", move.before)
            self._book.open(past)
            self._book.send(move.command, move.at)
            self._book.end(Outcome(move.command, Ending.DONE, move.at))

    async def open(self, command: Command) -> tuple[Entry, bool]:
        await asyncio.sleep(0)
        return self._book.open(command)

    async def send(self, command: str, at: int) -> bool:
        return self._book.send(command, at)

    async def end(self, outcome: Outcome) -> Outcome:
        return self._book.end(outcome)

    async def pending(self) -> Sequence[Entry]:
        return self._book.pending()

    async def moves(self, sid: int) -> Sequence[Move]:
        return self._book.moves(sid)


def _plan(case: Case) -> tuple[Plan, _Machine]:
    machine = _Machine(case.scene.in_force)
    journal = _Journal(case.scene.moves, case.command.sid)

    async def scenes(_: Command) -> Scene:
        await asyncio.sleep(0)
        return case.scene

    envelopes = {case.envelope.sid: case.envelope}
    plan = Plan(
        machine, case.guards, envelopes, scenes, journal, Turns(), lambda: case.scene.now,
        read_back_s=0.0,
    )  # fmt: skip
    return plan, machine


async def try_unsafe(case: Case) -> int:
    """Return how many unsafe writes reached the machine."""
    plan, machine = _plan(case)
    if case.kind == "replayed":  # another Command had this id
        await plan.journal.open(replace(case.command, value=case.command.value + 1))
        await plan.journal.end(Outcome(case.command.id, Ending.FAILED, case.scene.now))
    outcome = await guarded(plan).write(case.command)
    named = outcome.guard == UNSAFE[case.kind][0] or case.kind in ("limit", "not listed")
    assert machine.writes or named, f"{case.kind} was refused by '{outcome.guard}'"
    return machine.writes


async def try_again(case: Case) -> int:
    """Deliver a safe Command twice at once, and again after a restart; return the writes too many
    and the Outcomes too many."""
    plan, machine = _plan(case)
    both = await asyncio.gather(*(guarded(plan).write(case.command) for _ in range(2)))
    await recover(plan)
    later = await guarded(replace(plan, turns=Turns())).write(case.command)
    return machine.writes - 1 + len({*both, later}) - 1


async def try_race(case: Case) -> int:
    """Let two Commands that were decided on the same past race; return the writes too many."""
    assert case.scene.in_force is not None
    away = 0.5 * (case.command.value + case.scene.in_force)
    if abs(away - case.command.value) <= 2 * case.envelope.tolerance:
        return 0  # too near: the second would find what it was decided on
    if abs(away - case.scene.in_force) <= 2 * case.envelope.tolerance:
        return 0
    guards = tuple(guard for guard in case.guards if guard.name != "approval")
    plan, machine = _plan(replace(case, guards=guards))
    other = replace(case.command, id=f"{case.command.id}-other", value=away)
    chain = guarded(plan)
    await asyncio.gather(chain.write(case.command), chain.write(other))
    return machine.writes - 1


async def try_safe(case: Case) -> tuple[bool, bool]:
    """Return whether a safe Command was done, and whether the machine has another value."""
    plan, machine = _plan(case)
    outcome = await guarded(plan).write(case.command)
    done = outcome.ending is Ending.DONE
    return done, machine.writes > 0 and machine.value != case.command.value


def idle_guards(cases: Cases, each: int) -> list[str]:
    """Return the guards that can be removed without letting any of the unsafe Commands pass."""
    through: Counter[str] = Counter()
    for kind, (guard, _) in UNSAFE.items():
        for _ in range(each):
            case = cases.unsafe(kind)
            rest = [one for one in case.guards if one.name != guard]
            through[guard] += all(v.passed for v in judged(rest, case.command, case.scene))
    names = {guard.name for guard in cases.safe().guards}
    return sorted(names - {name for name, count in through.items() if count})


async def _measure(cases: Cases) -> tuple[Counter[str], int, int]:
    executed: Counter[str] = Counter()
    done = altered = 0
    for kind in UNSAFE:
        for _ in range(_UNSAFE):
            executed[kind] += await try_unsafe(cases.unsafe(kind))
    for number in range(_SAFE):
        case = cases.safe()
        was_done, was_altered = await try_safe(case)
        done, altered = done + was_done, altered + was_altered
        if number % 10 == 0:
            executed["delivered again"] += await try_again(case)
            executed["concurrent"] += await try_race(case)
    return executed, done, altered


def run(seconds: float, runs: int) -> list[Figure]:
    """Try everything once and return `unsafe_executed`, `safe_executed`, `safe_altered`."""
    began, cases = time.perf_counter(), Cases(2026)
    executed, done, altered = asyncio.run(_measure(cases))
    tried = len(UNSAFE) * _UNSAFE + 2 * _SAFE // 10
    took = time.perf_counter() - began
    say(f"{tried} unsafe and {_SAFE} safe Commands in {took:.0f} s; unsafe ones that passed: "
        f"{ {kind: count for kind, count in executed.items() if count} or 'none'}")  # fmt: skip
    idle = idle_guards(cases, _REMOVED)
    say(f"guards that may be missing unnoticed: {', '.join(idle) or 'none'}")
    passed = float(sum(executed.values()))
    return [
        judge("guards", "unsafe_executed", [passed], "commands", 0, 0, lower=True,
              note=f"of {tried}"),
        judge("guards", "safe_executed", [done / _SAFE], "share", 0.999, 1.0, note=f"of {_SAFE}"),
        judge("guards", "safe_altered", [float(altered)], "commands", 0, 0, lower=True),
        judge("guards", "guards_idle", [float(len(idle))], "guards", 0, 0, lower=True),
    ]  # fmt: skip
