"""A month of 1 Hz: random walks whose every value can be made again, and who puts them in.

`python -m bench.months FOLDER SIGNALS DAYS START SEED` publishes them in order of time, then one
value of each of MANY further signals, and prints one JSON line when all is acknowledged.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import uvloop

from lineshaft.bus import Bus, BusAccess
from lineshaft.core.samples import SampleBlock

__all__ = ["DAY_S", "FIRST_MANY", "MANY", "Signal"]

DAY_S = 86_400
MANY = 10_000
FIRST_MANY = 20_001  # beyond those that come in meanwhile
_SPAN_S = 200
_WINDOW = 64


class Signal:
    """One random walk at 1 Hz: σ 0.1 rounded to 0.01, stamps with 1 ms jitter."""

    def __init__(self, seed: int, sid: int, start: int) -> None:
        self._random = np.random.default_rng((seed, sid))
        self._value = self._random.uniform(0, 100)
        self._start = start

    def day(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the stamps (µs) and values of the next day."""
        walk = self._value + np.cumsum(self._random.standard_normal(DAY_S)) * 0.1
        stamps = self._start + np.arange(DAY_S) * 1_000_000 + self._random.integers(0, 1000, DAY_S)
        self._value = float(walk[-1])
        self._start += DAY_S * 1_000_000
        return stamps, np.round(walk, 2)


def _blocks(signals: int, days: int, start: int, seed: int) -> Iterator[SampleBlock]:
    walks = [Signal(seed, sid, start) for sid in range(1, signals + 1)]
    sids = np.repeat(np.arange(1, signals + 1, dtype=np.int32), _SPAN_S)
    good = np.zeros(len(sids), np.int32)
    for _ in range(days):
        made = [walk.day() for walk in walks]
        stamps = np.stack([ts for ts, _ in made]).reshape(signals, -1, _SPAN_S)
        values = np.stack([v for _, v in made]).reshape(signals, -1, _SPAN_S)
        for at in range(stamps.shape[1]):
            ts = stamps[:, at].ravel()
            yield SampleBlock.from_columns(sids, ts, values[:, at].ravel(), good,
                                           origin="months", arrival=int(ts.max()))  # fmt: skip


async def _publish(folder: Path, signals: int, days: int, start: int, seed: int) -> None:
    access = BusAccess.read(folder / "run" / "bus-platform.json")
    bus = await Bus.connect(access, "demo", "months")
    await bus.ensure_streams(int(60e9))
    free, began, rows = asyncio.Semaphore(_WINDOW), time.time(), 0

    async def one(block: SampleBlock) -> None:
        await bus.publish(block)
        free.release()

    async with asyncio.TaskGroup() as group:
        for block in _blocks(signals, days, start, seed):
            await free.acquire()
            group.create_task(one(block))
            rows += len(block)
    now = start + days * DAY_S * 1_000_000
    sids = np.arange(FIRST_MANY, FIRST_MANY + MANY)
    last = SampleBlock.from_columns(
        sids, np.full(MANY, now), sids / 8, np.zeros(MANY, np.int32), origin="many", arrival=now
    )
    await bus.publish(last)
    print(json.dumps({"rows": rows + MANY, "began": began}), flush=True)
    await bus.close()


if __name__ == "__main__":
    _folder, *_numbers = sys.argv[1:6]
    uvloop.run(_publish(Path(_folder), *map(int, _numbers)))
