"""The publisher process of the ingest bench: random walks of 10,000 signals at 1 Hz, as blocks.

Prints one JSON line when all is acknowledged. Further arguments: the most samples a
second, and `late` for samples that come late and twice.
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


class Late:
    """Blocks of `size` samples: 80 % in time, of which some again, and 20 % up to 7 days back."""

    def __init__(self, seed: int, size: int, start: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size, self._start = size, start
        self._good = np.zeros(size, np.int32)
        self._before: SampleBlock | None = None
        self._number = 0

    def next(self) -> SampleBlock:
        """Return the next block; of rows with one (sid, ts) the last sent holds."""
        dice, size = self._random, self._size
        sids = dice.integers(1, SIGNALS + 1, size).astype(np.int32)
        stamps = self._start + self._number * 1_000_000 + dice.integers(0, 1_000_000, size)
        late = dice.random(size) < 0.2
        stamps[late] -= dice.integers(1_000_000, 7 * 86_400_000_000, int(late.sum()))
        values = np.round(dice.uniform(0, 100, size), 2)
        if self._before is not None:
            again = size // 20
            rows = dice.choice(len(self._before), again, replace=False)
            sids[:again], stamps[:again] = self._before.sid[rows], self._before.ts[rows]
            values[:again] = self._before.batch.column(2).to_numpy()[rows]
        self._number += 1
        self._before = SampleBlock.from_columns(
            sids, stamps, values, self._good, origin="late",
            arrival=self._start + self._number * 1_000_000,
        )  # fmt: skip
        return self._before


async def publish(
    folder: Path, seconds: float, size: int, seed: int, start: int, most: float = np.inf,
    kind: str = "walk",
) -> None:  # fmt: skip
    """Publish for `seconds`, as fast as the bus acknowledges or `most` samples a second."""
    access = BusAccess.read(folder / "run" / "bus-platform.json")
    bus = await Bus.connect(access, "demo", "bench")
    await bus.ensure_streams(int(60e9))
    walk = Late(seed, size, start) if kind == "late" else Walk(seed, size, start)
    free = asyncio.Semaphore(_WINDOW)
    delays: list[float] = []

    rows = 0

    async def one(block: SampleBlock) -> None:
        nonlocal rows
        began = time.monotonic()
        await bus.publish(block)
        rows += len(block)
        delays.append(time.monotonic() - began)
        free.release()

    began, count = time.monotonic(), 0
    wall = time.time()
    async with asyncio.TaskGroup() as group:
        while time.monotonic() - began < seconds:
            await free.acquire()
            ahead = count * size / most - (time.monotonic() - began)
            if ahead > 0:
                await asyncio.sleep(ahead)
            group.create_task(one(walk.next()))
            count += 1
    took = time.monotonic() - began
    p50, p99 = np.percentile(delays, (50, 99)).tolist()
    line = {"samples": rows, "blocks": count, "seconds": took, "began": wall}
    line |= {"p50": p50, "p99": p99}
    print(json.dumps(line), flush=True)
    await bus.close()


if __name__ == "__main__":
    folder, seconds, size, seed, start, *more = sys.argv[1:]
    numbers = (int(size), int(seed), int(start), *map(float, more[:1]))
    uvloop.run(publish(Path(folder), float(seconds), *numbers, *more[1:]))
