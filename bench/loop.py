"""`loop`: from a sample that comes in to a guarded write that the machine shows.

The real processes bus, plant (Williams-Otto) and connect; a real OPC UA server, encrypted, under
remote control. This process does what the process decide does with a rule: it follows the site's
stream, and for a sample of the plant's counter moves a set-point through all guards and the
journal on disk. The clock starts when the sample reached connect (its block's arrival) and ends
when the Outcome *done* is on disk, so it holds: bus, decision, guards, three journal steps, reading
what is in force, the write, the read-back. The machine's own publishing interval (100 ms) comes
before it; `from_machine_p99_ms`, from the machine's stamp, has it in.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.figures import Figure, judge
from bench.ground import Ground, clean_folder, fsync_limit, run_platform, say
from lineshaft.bus import Bus, BusAccess
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.bus.streams import Message
from lineshaft.clock import now_us
from lineshaft.core.commands import Command, Ending
from lineshaft.core.signals import Kind, Signal
from lineshaft.records import open_records
from lineshaft.rooms.decide.actuate import BusActuator, Plan, Turns, guarded
from lineshaft.rooms.decide.engine.guards import Envelope, Guard, Reading, Scene
from lineshaft.rooms.decide.engine.guards_people import Approvals, Expiry, ModeGuard, Replay, Stop
from lineshaft.rooms.decide.engine.guards_plant import (
    AllowList,
    Bounds,
    Comparison,
    Dwell,
    Inputs,
    Interlock,
    Interlocks,
    Monitor,
    Moves,
    Rate,
    Unchanged,
    WhatIf,
)
from lineshaft.rooms.decide.engine.ladder import Mode
from lineshaft.rooms.decide.heart import Heart, Held
from lineshaft.rooms.decide.journal import CommandBook
from lineshaft.rooms.plant.store import SignalStore

__all__ = ["run"]

_EVERY = 3  # counts of 100 ms
_TAKE_OVER_S = 120.0


@dataclass(slots=True)
class _Times:
    """Milliseconds of each write that was done; what else they ended in."""

    since_arrival: list[float] = field(default_factory=list)
    since_stamp: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Rule:
    """Moves `handle` a little up and down, one move for every third count."""

    bus: Bus
    plan: Plan
    count: Signal
    handle: Signal
    readings: dict[int, Reading]
    times: _Times = field(default_factory=_Times)
    number: int = 0

    async def take(self, message: Message) -> None:
        """Take a block of the stream; act where the counter is in it."""
        block = decode_block(message.data, message.headers)
        columns = zip(block.sid.tolist(), block.ts.tolist(), block.batch.column(2).to_pylist(),
                      block.batch.column(3).to_pylist(), strict=True)  # fmt: skip
        for sid, ts, v, s in columns:
            if sid == self.handle.sid:
                continue  # what was read back last is newer than what the stream still brings
            self.readings[sid] = Reading(np.nan if v is None else v, 0, ts, now_us(), s)
        mine = self.readings.get(self.count.sid)
        counted = self.count.sid in block.sid
        if mine is None or not counted or int(mine.v) % _EVERY:
            return
        await self._act(block.arrival, mine.ts)

    async def _act(self, arrival: int, stamp: int) -> None:
        low, high = self.handle.low or 0.0, self.handle.high or 0.0
        before = self.readings[self.handle.sid].v
        step = 0.001 * (high - low)
        self.number += 1
        value = before + (step if self.number % 2 else -step)
        at = now_us()
        command = Command(f"bench-{at}", self.handle.sid, value, at, at + 10_000_000, "bench",
                          before=before)  # fmt: skip
        outcome = await guarded(self.plan).write(command)
        ended = now_us()
        if outcome.ending is not Ending.DONE:
            self.times.failed.append(f"{outcome.guard} {outcome.reason}")
            return
        self.readings[self.handle.sid] = Reading(value, 0, ended, ended)
        self.times.since_arrival.append((ended - arrival) / 1e3)
        self.times.since_stamp.append((ended - stamp) / 1e3)


def _guards(handle: Signal, count: Signal, state: Signal) -> tuple[tuple[Guard, ...], Envelope]:
    low, high = handle.low or 0.0, handle.high or 0.0
    envelope = Envelope(handle.sid, low, high, rate=1e6 * (high - low), moves_per_h=1e6)
    one = {handle.sid: envelope}
    remote = Interlock("the plant obeys", ((Comparison(state.sid, "==", "remote"),),))
    guards = (
        Stop(), ModeGuard(), AllowList("bench", frozenset(one)), Replay(), Expiry(),
        Approvals(b"bench"), Bounds(one), Unchanged(one), Rate(one), Moves(one), Dwell(one),
        Interlocks((remote,)), Inputs((count.sid,), 5.0), Monitor(), WhatIf(()),
    )  # fmt: skip
    return guards, envelope


async def _measure(ground: Ground, seconds: float) -> _Times:
    access = BusAccess.read(ground.folder / "run" / "bus-platform.json")
    engine = open_records(ground.folder / "records.sqlite")
    bus = await Bus.connect(access, "demo", "bench")
    beating: asyncio.Task[None] | None = None
    try:
        signals = await _signals(SignalStore(engine, now_us))
        heart = Heart(bus)
        heart.hold("bench", Held(signals["heartbeat"].sid, signals["remote"].sid))
        beating = asyncio.create_task(heart.run())
        readings: dict[int, Reading] = {}
        guards, envelope = _guards(signals["handle"], signals["counter"], signals["state"])

        async def scenes(_: Command) -> Scene:
            return Scene(mode=Mode.AUTONOMOUS, stopped=False, abnormal=(), readings=dict(readings))

        book = CommandBook(engine, lambda: None)
        plan = Plan(BusActuator(bus, now_us), guards, {envelope.sid: envelope}, scenes, book,
                    Turns(), now_us, judged=book.judged)  # fmt: skip
        await _taken_over(bus, signals["state"].sid)
        for name in ("handle", "state"):
            now = await bus.ask("connect", "read", {"sid": signals[name].sid})
            readings[signals[name].sid] = Reading(
                np.nan if now["value"] is None else now["value"], 0, 0, now_us(), now["text"]
            )
        rule = _Rule(bus, plan, signals["counter"], signals["handle"], readings)
        await _follow(bus, rule, seconds)
        return rule.times
    finally:
        if beating is not None:
            beating.cancel()
        await bus.close()


async def _signals(directory: SignalStore) -> dict[str, Signal]:
    """Wait until the plant is listed; return the signals that are needed, by what they are."""
    async with asyncio.timeout(_TAKE_OVER_S):
        while True:
            found = {one.signal.path: one.signal for one in await asyncio.to_thread(directory.list)}
            ends = {path.rpartition("/")[2]: signal for path, signal in found.items()}
            handles = [
                one for path, one in sorted(found.items())
                if path.endswith("-sp") and one.writable and one.kind is Kind.FLOAT
            ]  # fmt: skip
            if "counter" in ends and handles:
                control = next(p for p in found if p.endswith("control/state"))
                return {"heartbeat": ends["heartbeat"], "remote": ends["remote"],
                        "counter": ends["counter"], "state": found[control],
                        "handle": handles[0]}  # fmt: skip
            await asyncio.sleep(0.5)


async def _taken_over(bus: Bus, state: int) -> None:
    async with asyncio.timeout(_TAKE_OVER_S):
        text: Any = None
        while text != "remote":
            await asyncio.sleep(0.2)
            try:
                text = (await bus.ask("connect", "read", {"sid": state}))["text"]
            except Exception:  # not connected yet
                text = None


async def _follow(bus: Bus, rule: _Rule, seconds: float) -> None:
    name = data_stream(bus.site)
    last = (await bus.streams.state(name)).last
    end = now_us() + int(seconds * 1e6)
    async with aclosing(bus.streams.follow(name, last)) as messages:
        async for message in messages:
            if now_us() > end:
                return
            if isinstance(message, Message):
                await rule.take(message)


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `p99_ms`, `p50_ms` and `from_machine_p99_ms`."""
    p99s, p50s, machine, limits = [], [], [], []
    for number in range(runs):
        with clean_folder() as folder:
            syncs = fsync_limit(folder, 4096, 1.0)
            names = ("bus", "plant", "connect")
            with run_platform(folder, names, PLANT__KIND="williams-otto") as ground:
                times = asyncio.run(_measure(ground, seconds))
        if times.failed or not times.since_arrival:
            raise SystemExit(f"bench: {len(times.failed)} writes were not done: {times.failed[:3]}")
        p50, p99 = np.percentile(times.since_arrival, (50, 99)).tolist()
        p50s.append(p50)
        p99s.append(p99)
        machine.append(float(np.percentile(times.since_stamp, 99)))
        limits.append(1e3 * 6 / syncs)
        say(f"run {number + 1}/{runs}: p50 {p50:.0f} ms, p99 {p99:.0f} ms of "
            f"{len(times.since_arrival)} writes; from the machine's stamp p99 {machine[-1]:.0f} "
            f"ms; {syncs:.0f} syncs of the disk a second")  # fmt: skip
    return [
        judge("loop", "p99_ms", p99s, "ms", 150, 60, limits=limits, lower=True),
        judge("loop", "p50_ms", p50s, "ms", 75, 30, lower=True),
        judge("loop", "from_machine_p99_ms", machine, "ms", 300, 200, lower=True),
    ]
