"""The keeper of twins: killed at any moment, it ends up knowing what an uninterrupted one knows."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineshaft.bus import Bus, Message
from lineshaft.bus.client import data_stream, decode_block, fact_stream
from lineshaft.core.samples import SampleBlock
from lineshaft.records import metadata, open_records
from lineshaft.rooms.twins.engine.runtime import Runtime
from lineshaft.rooms.twins.kinds import kind_of
from lineshaft.rooms.twins.model import Binding, Figure, Twin
from lineshaft.rooms.twins.snapshots import Position, Snapshots
from lineshaft.rooms.twins.store import TwinStore
from tests.crash.site import Child
from tests.support.nats import NatsServer, eventually
from tests.twins.keeper_child import run

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
FAR = START + 10**12
CLOCK = 90
PATIENCE_S = 150.0  # a child loads the engine first


def _twins() -> list[Twin]:
    lags = [
        Twin(f"lag{i}", f"lag {i}", "a/b/c/d/m", "lag",
             inputs={"drive": Binding(2 * i + 1)}, outputs={"level": Binding(2 * i + 2, 2.0, 1.0)},
             parameters={"dead_time": Figure(3.0 * i)}, clock=CLOCK if i == 2 else None,
             estimates={"level": 101 + i})
        for i in range(3)
    ]  # fmt: skip
    tanks = Twin("tanks", "tanks", "a/b/c/d/m", "four-tanks",
                 outputs={"level_1": Binding(7), "level_2": Binding(8)},
                 estimates={f"level_{i}": 109 + i for i in range(1, 5)})  # fmt: skip
    return [*lags, tanks]


def _block(number: int) -> SampleBlock:
    dice = np.random.default_rng(number)
    sid = np.array([*range(1, 9), CLOCK])
    value = np.append(dice.normal(5, 1, 8), 1 + number % 3)
    if number % 7 == 0:
        value[dice.integers(8)] = np.nan
    ts = START + number * SECOND + dice.integers(0, 100_000, 9)
    return SampleBlock.from_columns(sid, ts, value, np.zeros(9, int), origin="m", arrival=START
                                    + number * SECOND)  # fmt: skip


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    with NatsServer(tmp_path) as server:
        async with server.bus() as bus:
            await bus.ensure_streams(10**9)
            yield bus


def _store(folder: Path) -> TwinStore:
    engine = open_records(folder / "records.sqlite")
    metadata.create_all(engine)
    store = TwinStore(engine)
    store.add(_twins())
    return store


async def _stored(bus: Bus, stream: str = "") -> list[Message]:
    stream = stream or data_stream("t")
    state = await bus.streams.state(stream)
    found = [await bus.streams.message(stream, n) for n in range(state.first, state.last + 1)]
    return [message for message in found if message is not None]


def _rows(blocks: list[SampleBlock]) -> dict[tuple[int, int], float]:
    rows: dict[tuple[int, int], float] = {}
    for block in blocks:
        values = block.batch.column(2).to_numpy(zero_copy_only=False)
        rows.update(zip(zip(block.sid.tolist(), block.ts.tolist(), strict=True),
                        values.tolist(), strict=True))  # fmt: skip
    return rows


def same(one: Any, other: Any) -> bool:
    """Return whether two arrays are the same, bit by bit, NaN where NaN is."""
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


class _Watch:
    """How far the keeper has come."""

    def __init__(self) -> None:
        self.seq = -1

    @classmethod
    async def of(cls, bus: Bus) -> "_Watch":
        watch = cls()
        await bus.watch("twins", watch._heard)
        return watch

    def _heard(self, _: str, state: Mapping[str, Any]) -> None:
        self.seq = max(self.seq, state["seq"])

    async def end(self, bus: Bus, child: Child) -> None:
        """Return once the keeper has taken everything and left."""
        last = (await bus.streams.state(data_stream("t"))).last
        await eventually(lambda: self.seq >= last, PATIENCE_S)
        child.send(signal.SIGTERM)
        assert await child.ended() == 0


@pytest.mark.timeout(500)  # three starts of the engine, each with the patience of its own
async def test_killed_at_any_moment_it_knows_what_an_uninterrupted_one_knows(
    bus: Bus, tmp_path: Path
) -> None:
    await _kill(bus, tmp_path, 2)


@pytest.mark.long
async def test_killed_ten_times_it_knows_the_same(bus: Bus, tmp_path: Path) -> None:
    await _kill(bus, tmp_path, 10)


async def _kill(bus: Bus, folder: Path, times: int) -> None:
    _store(folder)
    watch, dice, over = await _Watch.of(bus), random.Random(times), asyncio.Event()
    child = Child(run, str(folder), 0.3)
    await eventually(lambda: watch.seq >= 0, PATIENCE_S)

    async def publish() -> int:
        number = 0
        while not over.is_set() or number < 50:
            await bus.publish(_block(number))
            await asyncio.sleep(dice.uniform(0, 0.05))
            number += 1
        return number

    publishing = asyncio.create_task(publish())
    for _ in range(times):
        goal = watch.seq + dice.randint(1, 60)
        await eventually(lambda least=goal: watch.seq >= least, PATIENCE_S)  # type: ignore[misc]
        child.kill()
        child = Child(run, str(folder), 0.3)
    over.set()
    count = await publishing
    await watch.end(bus, child)
    await _check(bus, folder, count)


async def _check(bus: Bus, folder: Path, count: int) -> None:
    whole = Runtime(kind_of)
    whole.set(_twins())
    expected = _rows([
        SampleBlock.from_columns(c.sid, c.ts, c.v, 0 * c.sid, origin="twin", arrival=FAR)
        for c, _ in map(whole.hear, map(_block, range(count)))
    ])  # fmt: skip
    messages = [m for m in await _stored(bus) if m.headers["Ls-Origin"] == "twin"]
    told = [decode_block(m.data, m.headers) for m in messages]
    assert _rows(told) == expected
    assert sum(map(len, told)) == len(expected), "an estimate was published twice"
    found = Snapshots(folder / "twins").newest()
    assert found is not None
    saved, mine = found[1], whole.save()
    assert saved.keys() == mine.keys()
    del saved["about"]  # the same twins in another order
    assert all(same(saved[name], mine[name]) for name in saved)


async def test_changed_twins_are_taken_over_while_it_runs(bus: Bus, tmp_path: Path) -> None:
    store, watch = _store(tmp_path), await _Watch.of(bus)
    child = Child(run, str(tmp_path), 30)
    await eventually(lambda: watch.seq >= 0, PATIENCE_S)
    await bus.publish(_block(1))
    await eventually(lambda: watch.seq > 0, PATIENCE_S)
    store.remove("tanks")
    store.add([replace(_twins()[0], id="odd", name="odd", behaviour="perpetuum-mobile")])
    await bus.ask("twins", "changed", {})
    await bus.publish(_block(2))
    await watch.end(bus, child)
    told = [decode_block(m.data, m.headers) for m in await _stored(bus)
            if m.headers["Ls-Origin"] == "twin"]  # fmt: skip
    assert 110 in told[0].sid
    assert 110 not in told[-1].sid
    assert 101 in told[-1].sid
    (fact,) = [json.loads(message.data) for message in await _stored(bus, fact_stream("t"))]
    assert (fact["kind"], fact["body"]["twin"]) == ("twin.failed", "odd")
    assert "perpetuum-mobile" in fact["body"]["message"]


def test_a_broken_snapshot_is_passed_over(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.write(Position("a", 1, "x"), {"v": np.arange(3)})
    snapshots.write(Position("a", 2, "y"), {"v": np.arange(4)})
    newest = max(tmp_path.glob("*.npz"))
    content = newest.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        newest.write_bytes(content[:length])
        found = snapshots.newest()
        assert found is not None
        assert found[0] == Position("a", 1, "x")
    newest.write_bytes(content)
    assert snapshots.newest()[0].seq == 2  # type: ignore[index]


def test_only_two_snapshots_stay(tmp_path: Path) -> None:
    for number in range(5):
        Snapshots(tmp_path).write(Position("a", number, ""), {"v": np.arange(3)})
    assert len(list(tmp_path.iterdir())) == 2
