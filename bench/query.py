"""`query`: what a question costs over HTTP while samples come in, and whether the answer is right.

50 signals at 1 Hz for 30 days (130 M samples) are put in and compacted; then, while 100,000
samples a second come in, four kinds of questions are asked in turn about signals chosen at random,
over one connection from this process, and answers are held against the numbers made again.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.figures import Figure, judge
from bench.ground import Asker, Ground, check_disk, clean_folder, run_platform, say
from bench.months import DAY_S, FIRST_MANY, MANY, Signal

__all__ = ["run", "same_trend"]

_SIGNALS, _DAYS, _SEED = 50, 30, 20_261_124
_SECOND = 1_000_000
_DAY = DAY_S * _SECOND
_RULES = {  # figure: must, aim in ms
    "trend_ms": (25, 10), "raw_ms": (25, 10), "last_ms": (10, 4), "grid_ms": (250, 100),
}  # fmt: skip


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return the four figures; `seconds` of questions a run on one set of data."""
    check_disk(12)
    with clean_folder() as folder:
        settings = {"BUS__MAX_GB": 60, "HISTORY__MARGIN_GB": 0.5}
        with run_platform(folder, ("bus", "history", "web"), **settings) as ground:
            ground.wait("system", lambda _: True)
            start = int(time.time()) // DAY_S * _DAY - _DAYS * _DAY
            _fill(folder, ground, start)
            return _measure(folder, ground, start, seconds, runs)


def _fill(folder: Path, ground: Ground, start: int) -> None:
    command = [sys.executable, "-m", "bench.months", str(folder)]
    numbers = [str(n) for n in (_SIGNALS, _DAYS, start, _SEED)]
    began = time.monotonic()
    made = subprocess.run([*command, *numbers], stdout=subprocess.PIPE, text=True, check=True)
    rows = json.loads(made.stdout)["rows"]
    ground.wait("system", lambda s: s["stream"]["stored_rows"] >= rows, 300, pause_s=1)
    say(f"{rows:,} samples kept after {time.monotonic() - began:.0f} s; waiting for compaction")

    def settled(_: object) -> bool:
        found = list((folder / "history").glob("*/*.parquet"))
        whole = [f for f in found if f.with_suffix(".rollup").exists()]
        return len(found) - len(whole) <= 1 and len(found) < 5 * _DAYS  # one is of today

    ground.wait("system", settled, 900, pause_s=2)
    say(f"compacted after {time.monotonic() - began:.0f} s")


class _Questions:
    """The four questions, each with its check."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._end = start + _DAYS * _DAY
        self._dice = random.Random(_SEED)
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def rows(self, sid: int) -> tuple[np.ndarray, np.ndarray]:
        """Return all stamps and values of a signal, made again."""
        if sid not in self._known:
            walk = Signal(_SEED, sid, self._start)
            days = [walk.day() for _ in range(_DAYS)]
            self._known = {sid: (np.concatenate([d[0] for d in days]),
                                 np.concatenate([d[1] for d in days]))}  # fmt: skip
        return self._known[sid]

    def trend_ms(self, asker: Asker, check: bool) -> float:
        sid = self._dice.randint(1, _SIGNALS)
        where = {"from": self._start, "to": self._end, "px": 1000}
        took, content = asker.ask("trend", sid=sid, **where)
        if check:
            [one] = json.loads(content)["series"]
            ts, v = self.rows(sid)
            same = same_trend(one, ts, v, self._end - self._start)
            _must(same, "a trend differs from the one over all samples")
        return took

    def raw_ms(self, asker: Asker, check: bool) -> float:
        sid, day = self._dice.randint(1, _SIGNALS), self._dice.randrange(_DAYS)
        begin = self._start + day * _DAY
        where = {"from": begin, "to": begin + _DAY, "format": "arrow"}
        took, content = asker.ask("raw", sid=sid, **where)
        if check:
            table = pa.ipc.open_stream(content).read_all()
            cut = slice(day * DAY_S, (day + 1) * DAY_S)
            ts, v = self.rows(sid)
            same = (table.column("ts").to_numpy().astype(np.int64) == ts[cut]).all()
            _must(same and (table.column("v").to_numpy() == v[cut]).all(), "raw rows differ")
        return took

    def last_ms(self, asker: Asker, check: bool) -> float:
        first, final = FIRST_MANY, FIRST_MANY + MANY - 1
        took, content = asker.ask("last", sid=f"{first}-{final}", format="arrow")
        if check:
            v = pa.ipc.open_stream(content).read_all().column("v").to_numpy()
            _must((v == np.arange(first, final + 1) / 8).all(), "last values differ")
        return took

    def grid_ms(self, asker: Asker, check: bool) -> float:
        begin = self._start + self._dice.randrange(1, _DAYS) * _DAY
        where = {"from": begin, "to": begin + _DAY, "step": "1m", "how": "mean", "format": "arrow"}
        took, content = asker.ask("grid", sid=f"1-{_SIGNALS}", **where)
        if check:
            sid = self._dice.randint(1, _SIGNALS)
            table = pa.ipc.open_stream(content).read_all()
            ts, v = self.rows(sid)
            own = (ts >= begin) & (ts < begin + _DAY)
            minute = (ts[own] - begin) // (60 * _SECOND)
            mean = np.bincount(minute, v[own]) / np.bincount(minute)
            got = table.column(str(sid)).to_numpy()
            _must(np.allclose(got, mean, rtol=1e-12, atol=1e-9), "a grid differs")
        return took


def same_trend(one: dict[str, list[float]], ts: np.ndarray, v: np.ndarray, span: int) -> bool:
    """Return whether a trend's series over `span` µs is what all samples give in 1,000 columns."""
    step = -(-span // 1000 // 300_000_000) * 300_000_000
    first = np.flatnonzero(np.append(True, np.diff(ts // step) > 0))
    stamps, values = np.array(one["ts"]), np.array(one["v"])
    begins = np.flatnonzero(np.append(True, np.diff(stamps // step) > 0))
    return bool(
        len(begins) == len(first)
        and (np.minimum.reduceat(values, begins) == np.minimum.reduceat(v, first)).all()
        and (np.maximum.reduceat(values, begins) == np.maximum.reduceat(v, first)).all()
        and (values[begins] == v[first]).all()
        and np.isin(stamps, ts).all()
    )


def _must(holds: bool, wrong: str) -> None:
    if not holds:
        raise SystemExit(f"bench: {wrong}")


def _measure(folder: Path, ground: Ground, start: int, seconds: float, runs: int) -> list[Figure]:
    questions, asker = _Questions(start), ground.asker()
    for name in _RULES:  # the first of each is checked, and warms the way
        for _ in range(5):
            getattr(questions, name)(asker, check=True)
    command = [sys.executable, "-m", "bench.publisher", str(folder), str(seconds * runs + 5)]
    now = int(time.time()) * _SECOND
    feed = [*command, "10000", "1", str(now), "100000"]
    publisher = subprocess.Popen(feed, stdout=subprocess.DEVNULL)
    p50: dict[str, list[float]] = {name: [] for name in _RULES}
    worst: dict[str, list[float]] = {name: [] for name in _RULES}
    try:
        for number in range(runs):
            times: dict[str, list[float]] = {name: [] for name in _RULES}
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for name in _RULES:
                    times[name].append(getattr(questions, name)(asker, check=False))
            for name in _RULES:
                p50[name].append(float(np.median(times[name])))
                worst[name].append(float(np.percentile(times[name], 99)))
            counts = len(times["trend_ms"])
            say(f"run {number + 1}/{runs}: {counts} questions of each kind; p50 "
                + ", ".join(f"{n} {p50[n][-1]:.1f}" for n in _RULES))  # fmt: skip
    finally:
        publisher.terminate()
        publisher.wait()
    for name in _RULES:
        getattr(questions, name)(asker, check=True)
    return [
        judge("query", name, p50[name], "ms", *rule, lower=True,
              note=f"p99 {np.median(worst[name]):.0f} ms; 100,000 samples/s beside it")
        for name, rule in _RULES.items()
    ]  # fmt: skip
