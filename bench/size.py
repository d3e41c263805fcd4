"""`size`: how many bytes of disk a compacted sample takes, its roll-ups and footers included.

The data are those of `ingest`. Printed beside: the least that any coder could take for them, by
the entropy of the jitter of stamps and of the steps of the values.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench.figures import Figure, judge
from bench.ground import Ground, check_disk, clean_folder, run_platform, say
from bench.publisher import SIGNALS, Walk

__all__ = ["run"]

_WEEK_US = 7 * 86_400_000_000


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `bytes_per_sample`."""
    check_disk(14 + seconds * 0.2)
    found, floor = [], _floor()
    for number in range(runs):
        with clean_folder() as folder:
            found.append(_one(folder, seconds, 20_261_124 + number))
            say(f"run {number + 1}/{runs}: {found[-1]:.2f} B/sample, entropy floor {floor:.2f}")
    return [judge("size", "bytes_per_sample", found, "B", 4.5, 3.5, limits=[floor], lower=True)]


def _one(folder: Path, seconds: float, seed: int) -> float:
    start = int(time.time()) // 86_400 * 86_400_000_000 - _WEEK_US
    with run_platform(folder, ("bus", "history", "web"), BUS__MAX_GB=60) as ground:
        ground.wait("system", lambda _: True)
        command = [sys.executable, "-m", "bench.publisher", str(folder), str(seconds), "10000"]
        subprocess.run([*command, str(seed), str(start)], stdout=subprocess.DEVNULL, check=True)
        _wait(folder, ground)
        rows = ground.get("system")["stream"]["stored_rows"]
    whole = [f for f in (folder / "history").glob("*/*") if f.suffix in {".parquet", ".rollup"}]
    return sum(file.stat().st_size for file in whole) / rows


def _wait(folder: Path, ground: Ground) -> None:
    """Wait until every file is compacted and those it replaced are gone."""

    def settled(state: dict[str, dict[str, int]]) -> bool:
        files = {file.stem: file for file in (folder / "history").glob("*/*.parquet")}
        whole = all(file.with_suffix(".rollup").exists() for file in files.values())
        return whole and state["stream"]["lag_rows"] == 0

    ground.wait("system", settled, 1200, pause_s=5)


def _floor() -> float:
    walk = Walk(1, SIGNALS, 0)
    values = np.stack([walk.next().batch.column(2).to_numpy() for _ in range(300)])
    steps = np.round(np.diff(values, axis=0) * 100).astype(np.int64)
    return (np.log2(1000) + _entropy(steps)) / 8


def _entropy(numbers: np.ndarray) -> float:
    share = np.unique(numbers, return_counts=True)[1] / numbers.size
    return float(-(share * np.log2(share)).sum())
