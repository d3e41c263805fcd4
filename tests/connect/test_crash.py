"""Killing what can be killed: every count is stored once or lies in a declared gap."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.connect.conftest import (
    HERE,
    House,
    ServerProcess,
    open_bus,
    open_house,
    prove_counts,
    until,
)
from tests.connect.proxy import FaultProxy
from tests.connect.test_link import connected
from tests.support.nats import NatsServer


class ConnectProcess:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "connect_process.py"), str(self.folder)]
        )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


async def run_with_kills(
    nats: NatsServer, counting: ServerProcess, folder: Path, kills: int, seed: int
) -> None:
    dice = random.Random(seed)
    async with open_bus(nats) as bus:
        house = House(folder, bus)
        process = ConnectProcess(folder)
        process.start()
        outage = 0.0
        try:
            await until(house.answers, 20, "connect answers")
            await house.add(counting.endpoint)
            for _ in range(kills):
                await _grows(house)
                await asyncio.sleep(dice.random() * 0.5)
                began = time.time()
                process.kill()
                if dice.random() < 0.3:
                    await asyncio.sleep(dice.random() * 2)
                process.start()
                await _grows(house)
                outage += time.time() - began
        finally:
            process.kill()
        counts = await prove_counts(house, counting.log)
    assert {cause for _, _, cause in counts.gaps} <= {"process"}
    assert len(counts.gaps) <= kills
    assert counts.declared_s <= outage + kills
    print(f"kills {kills}, stored {len(counts.stored)}, missing {len(counts.missing)}, "
          f"declared {counts.declared_s:.2f} s, outages {outage:.2f} s")  # fmt: skip


async def _grows(house: House) -> None:
    async def last() -> int:
        return (await house.bus.streams.state("DATA_demo")).last

    before = await last()

    async def more() -> bool:
        return await last() > before + 3

    await until(more, 20, "blocks arrive")


@pytest.mark.long
async def test_kill_the_connector(
    nats: NatsServer, counting: ServerProcess, tmp_path: Path
) -> None:
    await run_with_kills(nats, counting, tmp_path, 2, seed=1)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_kill_the_connector_many_times(
    nats: NatsServer, counting: ServerProcess, tmp_path: Path
) -> None:
    await run_with_kills(nats, counting, tmp_path, 20, seed=2)


async def test_kill_the_bus(nats: NatsServer, counting: ServerProcess, tmp_path: Path) -> None:
    async with open_house(nats, tmp_path) as house:
        source = await house.add(counting.endpoint)
        await connected(house, source)
        for _ in range(3):
            await until(lambda: house.service._running[source].runner.waiting == 0)
            nats.kill()
            await until(lambda: house.service._running[source].runner.waiting > 5)
            nats.start()
        await until(lambda: house.service._running[source].runner.waiting == 0)
        before = house.state(source).samples
        await until(lambda: house.state(source).samples > before + 3)
        counts = await prove_counts(house, counting.log)
        assert not counts.missing and not counts.gaps, "what was buffered is not a gap"


async def test_a_buffer_that_runs_over_says_what_it_lost(
    nats: NatsServer, hurrying: ServerProcess, tmp_path: Path
) -> None:
    async with open_house(nats, tmp_path, buffer_samples=40) as house:
        source = await house.add(hurrying.endpoint)
        await connected(house, source)
        await until(lambda: house.service._running[source].runner.waiting == 0)
        nats.kill()
        before = house.state(source).samples
        await until(lambda: house.state(source).samples > before + 120)
        nats.start()
        await until(lambda: house.service._running[source].runner.waiting == 0)
        counts = await prove_counts(house, hurrying.log)
    assert counts.missing
    assert {cause for _, _, cause in counts.gaps} == {"buffer"}


async def test_a_full_stream_is_waited_for_and_declared(
    nats: NatsServer, hurrying: ServerProcess, tmp_path: Path
) -> None:
    async with open_house(nats, tmp_path, max_bytes=60_000, buffer_samples=60) as house:
        source = await house.add(hurrying.endpoint)
        await connected(house, source)
        runner = house.service._running[source].runner
        assert runner is not None
        await until(lambda: runner._courier._dropped is not None, 20, "the stream is full")
        rows_before = await house.samples("counter")
        state = await house.bus.streams.state("DATA_demo")
        await house.bus.streams.purge("DATA_demo", before=state.last)
        await until(lambda: house.facts("link.gap"), 10, "the gap is declared")
        gap = (await house.facts("link.gap"))[0]
        assert gap.body["cause"] == "stream_full"
        assert gap.body["from"] >= rows_before[-1][0]


async def test_a_slow_link_loses_nothing(
    nats: NatsServer, counting: ServerProcess, tmp_path: Path
) -> None:
    async with open_house(nats, tmp_path) as house, FaultProxy(counting.port) as proxy:
        source = await house.add(f"opc.tcp://127.0.0.1:{proxy.port}")
        await connected(house, source)
        proxy.delay_s = 0.6
        before = house.state(source).samples
        await until(lambda: house.state(source).samples > before + 30)
        proxy.delay_s = 0.0
        before = house.state(source).samples
        await until(lambda: house.state(source).samples > before + 5)
        counts = await prove_counts(house, counting.log)
    assert not counts.missing and not counts.gaps
