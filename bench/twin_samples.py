"""The publisher process of the twins bench: every output about once a second, with jitter.

Arguments: data folder, seconds, samples a second, seconds of plant time to begin after. Prints one
JSON line when all is acknowledged.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np
import uvloop

from bench.twins import OUTPUTS
from lineshaft.bus import Bus, BusAccess
from lineshaft.core.samples import SampleBlock

_BLOCK = 10_000
_WINDOW = 16


async def publish(folder: Path, seconds: float, rate: float, start_s: float) -> None:
    """Publish for `seconds` at `rate` samples a second."""
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "demo", "bench")
    free, random = asyncio.Semaphore(_WINDOW), np.random.default_rng(7)
    # Machine time runs as samples come: a second has passed when each output had its sample.
    start = int(time.time() - 86_400 + start_s) * 1_000_000
    count = 0

    async def one(block: SampleBlock) -> None:
        await bus.publish(block)
        free.release()

    began, wall = time.monotonic(), time.time()
    async with asyncio.TaskGroup() as group:
        while time.monotonic() - began < seconds:
            await free.acquire()
            await asyncio.sleep(max(0.0, count / rate - (time.monotonic() - began)))
            second, first = divmod(count, OUTPUTS)
            sid = np.arange(first, min(first + _BLOCK, OUTPUTS)) + 1
            size = len(sid)
            stamps = start + second * 1_000_000 + random.integers(0, 100_000, size)
            values = 10 + random.normal(0, 0.2, size)
            block = SampleBlock.from_columns(
                sid, stamps, values, np.zeros(size, np.int32), origin="bench",
                arrival=int(stamps.max()),
            )  # fmt: skip
            group.create_task(one(block))
            count += size
    print(json.dumps({"samples": count, "began": wall}), flush=True)
    await bus.close()


if __name__ == "__main__":
    folder, *numbers = sys.argv[1:]
    uvloop.run(publish(Path(folder), *map(float, numbers)))
