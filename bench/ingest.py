"""`ingest`: publisher process → bus (fsynced) → catalogue committed and readable.

The figure is what the catalogue holds when the publisher stops, by the seconds since it began; what
is still on its way does not count. One trend query a second runs over HTTP beside it: the newest
hour of one signal, the console's default view. At the end all rows are counted and one signal is
compared with what was published.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench.figures import Figure, judge
from bench.ground import Ground, check_disk, clean_folder, fsync_limit, run_platform, say
from bench.publisher import SIGNALS, Walk

__all__ = ["run"]

_BYTES = 29.0  # a sample on the wire and in the stream
_HOUR_US = 3_600_000_000
_WEEK_US = 7 * 86_400_000_000


def run(seconds: float, runs: int, block: int = 10_000, *, compact: bool = False) -> list[Figure]:
    """Measure and return `samples_per_s`; with `compact` while files are merged and rolled up."""
    check_disk(14 + seconds * 0.03)
    rates, limits, trends = [], [], []
    for number in range(runs):
        seed = 20_261_123 + number
        with clean_folder() as folder:
            limit = fsync_limit(folder, int(block * _BYTES)) * block
            limits.append(limit)
            rate, trend_ms = _one(folder, seconds, block, seed, compact=compact)
            rates.append(rate)
            trends.extend(trend_ms)
            say(f"run {number + 1}/{runs}: {rate:,.0f} samples/s, fsync limit {limit:,.0f}, "
                f"seed {seed}")  # fmt: skip
    p50, p99 = np.percentile(trends, (50, 99)) if trends else (0, 0)
    name = "ingest" if block == 10_000 else f"ingest --block {block}"
    must, aim = (2_000_000, 5_000_000) if block == 10_000 else (1_000_000, 2_500_000)
    if compact:
        name, must, aim = f"{name} --compact", 1_500_000, 3_000_000
    note = f"trend beside it p50 {p50:.0f} ms p99 {p99:.0f} ms; {seconds:.0f} s a run"
    return [judge(name, "samples_per_s", rates, "1/s", must, aim, limits=limits, note=note)]


def _one(
    folder: Path, seconds: float, block: int, seed: int, *, compact: bool
) -> tuple[float, list[float]]:
    environ = {"BUS__MAX_GB": 60, "HISTORY__COMPACT_S": 5 if compact else 0}
    with run_platform(folder, ("bus", "history", "web"), **environ) as ground:
        ground.wait("system", lambda _: True)
        start = int(time.time() * 1e6) // 1_000_000 * 1_000_000 - _WEEK_US
        command = [sys.executable, "-m", "bench.publisher", str(folder), str(seconds)]
        publisher = subprocess.Popen(
            [*command, str(block), str(seed), str(start)], stdout=subprocess.PIPE, text=True
        )
        trends = []
        while publisher.poll() is None:
            began = time.monotonic()
            newest = ground.get("last?sid=77")["ts"] or [start]
            hour = f"from={newest[0] - _HOUR_US}&to={newest[0]}"
            ground.get(f"trend?sid=77&{hour}&px=1000")
            trends.append((time.monotonic() - began) * 1e3)
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))
        assert publisher.stdout is not None
        said = json.loads(publisher.stdout.read())
        kept = ground.get("system")["stream"]["stored_rows"]
        rate = kept / (time.time() - said["began"])
        samples = said["samples"]
        ground.wait("system", lambda s: s["stream"]["stored_rows"] >= samples, 300, pause_s=1)
        _verify(ground, samples, block, seed, start)
        return rate, trends


def _verify(ground: Ground, samples: int, block: int, seed: int, start: int) -> None:
    stored = ground.get("system")["stream"]["stored_rows"]
    if stored != samples:
        raise SystemExit(f"bench: {samples} samples were acknowledged, {stored} are kept")
    sid, count = 77, 300
    walk = Walk(seed, block, start)
    expected: list[float] = []
    while len(expected) < min(count, samples // SIGNALS):
        made = walk.next()
        at = np.flatnonzero(made.sid == sid)
        expected.extend(made.batch.column(2).to_numpy()[at].tolist())
    end = start + count * 1_000_000
    got = ground.get(f"raw?sid={sid}&from={start}&to={end}")["v"][: len(expected)]
    if got != expected:
        raise SystemExit("bench: the values read are not those published")
