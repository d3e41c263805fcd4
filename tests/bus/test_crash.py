"""What the bus acknowledged is on disk, once: killed under load, and traced call by call."""

import asyncio
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.support.nats import NatsServer, eventually

from lineshaft.bus import Bus, Gone
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.core.samples import SampleBlock

DATA = data_stream("t")
T0 = 1_700_000_000_000_000


def _block(publisher: int, count: int) -> SampleBlock:
    """Make a block that says who sent it (sid) and its count (every value)."""
    rows = 200
    return SampleBlock.from_columns(
        np.full(rows, publisher), np.arange(rows) + T0 + count * rows, np.full(rows, float(count)),
        np.zeros(rows, np.int32), origin=f"o{publisher}", arrival=T0 * 2,
    )  # fmt: skip


async def _publish(bus: Bus, publisher: int, acked: dict[int, int], stop: asyncio.Event) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        acked[count] = await bus.publish(_block(publisher, count))


async def _stored(bus: Bus) -> dict[int, list[tuple[int, int]]]:
    """Read the whole stream: for each publisher its (count, sequence), in order."""
    last = (await bus.streams.state(DATA)).last
    found: dict[int, list[tuple[int, int]]] = {}
    async for item in bus.streams.follow(DATA, 0):
        assert not isinstance(item, Gone)
        block = decode_block(item.data, item.headers)
        publisher, count = int(block.sid[0]), int(block.batch.column(2)[0].as_py())
        found.setdefault(publisher, []).append((count, item.seq))
        if item.seq == last:
            break
    return found


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
async def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineshaft.bus.client._ACK_S", 0.5)
    chance = random.Random(kills)
    acked: dict[int, dict[int, int]] = {1: {}, 2: {}, 3: {}}
    with NatsServer(tmp_path) as server:
        async with server.bus() as bus:
            await bus.ensure_streams(900_000_000)
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for publisher, numbers in acked.items():
                    group.create_task(_publish(bus, publisher, numbers, stop))
                for _ in range(kills):
                    await asyncio.sleep(chance.uniform(0.05, 0.4))
                    before = sum(map(len, acked.values()))
                    server.kill()
                    await asyncio.to_thread(server.start)
                    more = before + len(acked)  # each round acknowledges something new
                    await eventually(lambda more=more: sum(map(len, acked.values())) > more)
                stop.set()
            stored = await _stored(bus)
    for publisher, numbers in acked.items():
        assert len(numbers) > kills
        assert [count for count, _ in stored[publisher]] == sorted(numbers)
        assert dict(stored[publisher]) == numbers


# --- power loss: a kill leaves the page cache alone, so the order of calls is looked at --------

_CALL = re.compile(r"^(\d+)\s+(\w+)\((\d+)(?:<([^>]*)>)?(.*)$")


def _calls(trace: Path) -> list[tuple[str, str, str]]:
    """Return (call, file, rest) of every call, in order.

    A call that another thread interrupts is printed in two lines: a write counts from its start, a
    sync from its end.
    """
    begun: dict[tuple[str, str], tuple[str, str]] = {}
    calls: list[tuple[str, str, str]] = []
    for line in trace.read_text("utf-8", "replace").splitlines():
        if resumed := re.match(r"^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$", line):
            thread, call, rest = resumed.groups()
            if (thread, call) in begun:
                file, head = begun.pop((thread, call))
                if "sync" in call:
                    calls.append((call, file, head + rest))
        elif found := _CALL.match(line):
            thread, call, _, file, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                begun[thread, call] = (file or "", rest)
                if "sync" in call:
                    continue
            calls.append((call, file or "", rest))
    return calls


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing: apt-get install strace")
async def test_the_disk_has_the_message_before_the_publisher_has_the_word(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    what = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,openat"
    wrap = ("strace", "-f", "-y", "-s", "300", "-o", str(trace), "-e", what)
    with NatsServer(tmp_path / "data", wrap=wrap) as server:
        async with server.bus() as bus:
            await bus.ensure_streams(1_000_000_000)
            for n in range(20):
                body = f"mark-{n:04}-".encode() * 10
                await bus._store("ls.t.data.o", body, {"Nats-Msg-Id": f"id-{n}"})
    calls = _calls(trace)
    synced_at_open = {
        match[1]
        for call, _, rest in calls
        if call == "openat" and "SYNC" in rest and (match := re.search(r"= \d+<([^>]*)>", rest))
    }
    for n in range(20):
        mark = f"mark-{n:04}-"
        written = [i for i, (call, file, rest) in enumerate(calls)
                   if "write" in call and file.endswith(".blk") and mark in rest]  # fmt: skip
        told = f'DATA_t\\",\\"seq\\":{n + 1}}}'
        answered = [i for i, (_, file, rest) in enumerate(calls)
                    if file.startswith("socket:") and told in rest]  # fmt: skip
        assert written, f"{mark} was never written"
        assert answered, f"{mark} was never acknowledged"
        file = calls[written[0]][1]
        between = calls[written[0] : answered[0]]
        synced = any("sync" in call and where == file for call, where, _ in between)
        assert written[0] < answered[0]
        assert synced or file in synced_at_open, f"{mark}: acknowledged before it was on disk"
