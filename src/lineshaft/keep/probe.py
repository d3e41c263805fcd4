"""Measuring this machine: the way of samples, once, with the platform's own bus and writer.

Rules: some two seconds in a process of its own (`python -m lineshaft.keep.probe DATA_FOLDER`), on
files below the data folder that are deleted again; blocks are full and their values random, so
that a plant's own load is, if anything, lighter.
"""

import asyncio
import os
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from lineshaft.bus import Bus, Message
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.samples import SampleBlock
from lineshaft.keep.capacity import BLOCK_ROWS, Probe
from lineshaft.keep.ground import serve_bus
from lineshaft.plan import Plan
from lineshaft.rooms.history.engine.commit import arrange
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import full_seq
from lineshaft.rooms.history.files import FileStore
from lineshaft.settings import Settings

__all__ = ["measure", "syncs"]

_LEG_S: Final = 0.25
_BLOCK_BYTES: Final = 285_000  # of a full block on the bus
_LEAST: Final = 20  # blocks
_MOST: Final = 200
_AT_ONCE: Final = 4
_BASE: Final = 10**15  # µs


async def measure(folder: Path, settings: Settings) -> Probe:
    """Measure, keep the result in the data folder and return it."""
    (folder / "run").mkdir(exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder / "run", prefix="probe-") as name:
        scratch = Path(name)
        took = syncs(scratch / "sync", _BLOCK_BYTES)
        async with serve_bus(scratch, settings) as bus:
            await bus.ensure_streams(10**9)
            warm = await _publish(bus, 0, 1)
            before, began = _spent(), monotonic_s()
            count = await _publish(bus, warm, _MOST)
            bus_per_s = count * BLOCK_ROWS / (monotonic_s() - began)
            published = _spent()
            messages = await _read(bus, warm, count)
            spent = published - before + 2 * (_spent() - published)  # history reads, and the doors
        rows = min(count, _LEAST) * BLOCK_ROWS
        writer_per_s, work_s = _write(scratch, messages[:_LEAST])
    found = Probe(
        now_us(), sum(took) / len(took), bus_per_s, writer_per_s,
        spent / (count * BLOCK_ROWS) + work_s / rows,
    )  # fmt: skip
    found.keep(folder)
    return found


def syncs(place: Path, size: int = 4096) -> list[float]:
    """Return how many seconds it took each time to append `size` bytes to a new file and have them
    on disk."""
    took: list[float] = []
    end, piece = monotonic_s() + _LEG_S, bytes(size)
    with place.open("wb") as file:
        while len(took) < 9 or (monotonic_s() < end and len(took) < _MOST):
            began = monotonic_s()
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            took.append(monotonic_s() - began)
    return took


def _spent() -> float:
    """Return the seconds of CPU that we and the bus server have spent."""
    us = psutil.Process()
    return float(sum(sum(one.cpu_times()[:2]) for one in (us, *us.children())))


async def _publish(bus: Bus, first: int, most: int) -> int:
    """Have the bus accept blocks for a while, numbered from `first`; return how many."""
    dice, end = np.random.default_rng(1), monotonic_s() + _LEG_S
    ticks = BLOCK_ROWS // 100
    sid, at = np.repeat(np.arange(1, 101), ticks), np.tile(np.arange(ticks), 100)
    values, zeros = dice.normal(size=BLOCK_ROWS), np.zeros(BLOCK_ROWS, int)
    count = 0
    while count < min(_LEAST, most) or (monotonic_s() < end and count < most):
        blocks = [
            SampleBlock.from_columns(sid, _BASE + (at + ticks * number) * 100_000, values, zeros,
                                     origin="probe", arrival=2 * _BASE)
            for number in range(first + count, first + count + _AT_ONCE)
        ]  # fmt: skip
        await asyncio.gather(*(bus.publish(block) for block in blocks))
        count += len(blocks)
    return count


async def _read(bus: Bus, after: int, count: int) -> list[Message]:
    found: list[Message] = []
    async with aclosing(bus.streams.follow(data_stream(bus.site), after)) as items:
        async for item in items:
            if isinstance(item, Message):
                decode_block(item.data, item.headers)
                found.append(item)
            if len(found) == count:
                break
    return found


def _write(scratch: Path, messages: list[Message]) -> tuple[float, float]:
    """Do with messages what the writer does, and what the compactor does later; return the rows a
    second that the first takes (the best turn: the first warms up), and the CPU seconds of both."""
    store, best, spent = FileStore(scratch / "history", lambda _: None), 0.0, 0.0
    end = monotonic_s() + _LEG_S
    for turn in range(20):
        before, began = _spent(), monotonic_s()
        held = [(full_seq(1, one.seq), decode_block(one.data, one.headers)) for one in messages]
        parts = arrange(held, LastValues())
        store.write(parts, str(turn))
        best = max(best, len(messages) * BLOCK_ROWS / (monotonic_s() - began))
        store.write(parts, f"{turn}c", compact=True)
        spent = _spent() - before
        if turn and monotonic_s() > end:
            break
    return best, spent


if __name__ == "__main__":
    asyncio.run(measure(Path(sys.argv[1]), Plan.read(Path(sys.argv[1])).settings))
