"""The publisher process of the ingest bench: random walks of 10,000 signals at 1 Hz, as blocks.

Prints one JSON line when all is acknowledged.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np
import uvloop

from lineshaft.bus import Bus, BusAccess
from lineshaft.core.samples import SampleBlock

SIGNALS = 10_000
_WINDOW = 64


class Walk:
    """Blocks of `size` samples: σ 0.1 a second rounded to 0.01, stamps with 1 ms jitter."""

    def __init__(self, seed: int, size: int, start: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size = size
        self._start = start
        self._sids = np.arange(1, SIGNALS + 1, dtype=np.int32)
        self._values = self._random.uniform(0, 100, SIGNALS)
        self._good = np.zeros(size, np.int32)
        self._number = 0

    def next(self) -> SampleBlock:
        """Return the next block."""
        per_second = SIGNALS // self._size
        second, part = divmod(self._number, per_second)
        if part == 0:
            self._values += self._random.standard_normal(SIGNALS) * 0.1
            self._rounded = np.round(self._values, 2)
            self._stamps = self._random.integers(0, 1000, SIGNALS)
            self._stamps += self._start + second * 1_000_000
        self._number += 1
        at = slice(part * self._size, (part + 1) * self._size)
        stamps = self._stamps[at]
        return SampleBlock.from_columns(
            self._sids[at], stamps, self._rounded[at], self._good,
            origin="bench", arrival=int(stamps[-1]),
        )  # fmt: skip


async def publish(folder: Path, seconds: float, size: int, seed: int, start: int) -> None:
    """Publish as fast as the bus acknowledges, for `seconds`."""
    access = BusAccess.read(folder / "run" / "bus-platform.json")
    bus = await Bus.connect(access, "demo", "bench")
    await bus.ensure_streams(int(60e9))
    walk = Walk(seed, size, start)
    free = asyncio.Semaphore(_WINDOW)
    delays: list[float] = []

    async def one(block: SampleBlock) -> None:
        began = time.monotonic()
        await bus.publish(block)
        delays.append(time.monotonic() - began)
        free.release()

    began, count = time.monotonic(), 0
    wall = time.time()
    async with asyncio.TaskGroup() as group:
        while time.monotonic() - began < seconds:
            await free.acquire()
            group.create_task(one(walk.next()))
            count += 1
    took = time.monotonic() - began
    p50, p99 = np.percentile(delays, (50, 99)).tolist()
    line = {"samples": count * size, "seconds": took, "began": wall, "p50": p50, "p99": p99}
    print(json.dumps(line), flush=True)
    await bus.close()


if __name__ == "__main__":
    folder, seconds, size, seed, start = sys.argv[1:6]
    uvloop.run(publish(Path(folder), float(seconds), int(size), int(seed), int(start)))
