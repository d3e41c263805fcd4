"""`late`: samples that come late and twice: how fast they are kept, and with the right answer?

Of every block one row in five lies up to seven days back and one in twenty was sent before. The
figure is what the catalogue holds when the publisher stops, by the seconds since it began, with
compaction on; afterwards all rows of some signals are compared with what was published.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench.figures import Figure, judge
from bench.ground import Ground, check_disk, clean_folder, run_platform, say
from bench.publisher import SIGNALS, Late

__all__ = ["run"]

_CHECKED = (1, 77, 5_000, SIGNALS)


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `samples_per_s`."""
    check_disk(10 + seconds * 0.05)
    rates = []
    for number in range(runs):
        with clean_folder() as folder:
            seed = 20_261_124 + number
            rates.append(_one(folder, seconds, seed))
            say(f"run {number + 1}/{runs}: {rates[-1]:,.0f} samples/s, seed {seed}")
    note = f"20 % late, 5 % twice; {seconds:.0f} s a run"
    return [judge("late", "samples_per_s", rates, "1/s", 500_000, 1_500_000, note=note)]


def _one(folder: Path, seconds: float, seed: int) -> float:
    start = int(time.time()) // 86_400 * 86_400_000_000 - 86_400_000_000
    with run_platform(folder, ("bus", "history", "web"), BUS__MAX_GB=60) as ground:
        ground.wait("system", lambda _: True)
        command = [sys.executable, "-m", "bench.publisher", str(folder), str(seconds)]
        made = subprocess.run(
            [*command, "10000", str(seed), str(start), "inf", "late"],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        said = json.loads(made.stdout)
        kept = ground.get("system")["stream"]["stored_rows"]
        rate = kept / (time.time() - said["began"])
        ground.wait("system", lambda s: s["stream"]["stored_rows"] >= said["samples"], 300)
        _verify(ground, said["blocks"], seed, start)
    return float(rate)


def _verify(ground: Ground, blocks: int, seed: int, start: int) -> None:
    """Compare all rows of some signals with those published; the last sent of a stamp holds."""
    held: dict[int, dict[int, float]] = {sid: {} for sid in _CHECKED}
    walk = Late(seed, 10_000, start)
    for _ in range(blocks):
        block = walk.next()
        ts, v = block.ts, block.batch.column(2).to_numpy()
        for sid in _CHECKED:
            own = slice(*np.searchsorted(block.sid, np.array([sid, sid + 1], np.int32)))
            held[sid] |= dict(zip(ts[own].tolist(), v[own].tolist(), strict=True))
    for sid in _CHECKED:
        got = ground.get(f"raw?sid={sid}&from=0&to={start + 10 * 86_400_000_000}")
        if list(zip(got["ts"], got["v"], strict=True)) != sorted(held[sid].items()):
            raise SystemExit(f"bench: the rows of signal {sid} are not those published")
