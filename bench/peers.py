"""`peers`: the same samples and the same question beside InfluxDB 1 and VictoriaMetrics.

Each run asks one system after the other, each twice, on an empty folder:

- *live*: a sample a second of 10,000 signals, one second a block, as fast as it takes them; killed
  (SIGKILL) after the last acknowledgement and started again: what cannot be read is lost;
- *month*: 20 signals at 1 Hz for 30 days, 480 s of each a block, the shape that suits peers most.
  At rest, with all files compacted, signals chosen at random are drawn over all 30 days in 1,000
  columns, over one connection from this process; answers are held against all samples.

Samples a second: peers until the last acknowledgement, what they are sent being made before; ours
until the last sample is read back, from columns, so with their encoding as blocks.
`ratio_ingest` is that of the month, `ratio_live` stands beside it without a must.
"""

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import uvloop

from bench.figures import Figure, judge
from bench.ground import check_disk, clean_folder, run_platform, say
from bench.months import DAY_S, Signal
from bench.peer_servers import Influx, Victoria, bytes_on_disk, present_peers
from bench.query import same_trend
from lineshaft.bus import Bus, BusAccess
from lineshaft.core.samples import SampleBlock

__all__ = ["judge_all", "live", "month", "run"]

_SECOND = 1_000_000
_DAY = DAY_S * _SECOND
_DAYS, _FEW, _SPAN_S = 30, 20, 480
_MANY, _LIVE_S = 10_000, 2_000
_WINDOW, _REST_S = 64, 130
_SEED = 20_261_125
_UNITS = {"live_per_s": "1/s", "month_per_s": "1/s", "trend_ms": "ms", "trend_p99_ms": "ms",
          "bytes_per_sample": "B", "lost": ""}  # fmt: skip

Columns = tuple[np.ndarray, np.ndarray]


def live(start: int) -> Iterator[Columns]:
    """Give stamps (µs) and values of each second, shape `(10,000, 1)`: σ 0.1 a second rounded to
    0.01, jitter up to 9 ms in whole ms, as one of the peers keeps nothing finer."""
    dice = np.random.default_rng(_SEED)
    values = dice.uniform(0, 100, _MANY)
    for second in range(_LIVE_S):
        values += dice.standard_normal(_MANY) * 0.1
        ts = start + second * _SECOND + dice.integers(0, 10, _MANY) * 1000
        yield ts[:, np.newaxis], np.round(values, 2)[:, np.newaxis]


def month(start: int) -> Iterator[Columns]:
    """Give stamps (µs) and values of each 480 s, shape `(20, 480)`, of the same kind."""
    walks = [Signal(_SEED, sid, start) for sid in range(1, _FEW + 1)]
    for _ in range(_DAYS):
        ts, v = (np.stack(parts) for parts in zip(*(_day(walk) for walk in walks), strict=True))
        for at in range(0, DAY_S, _SPAN_S):
            yield ts[:, at : at + _SPAN_S], v[:, at : at + _SPAN_S]


def _day(walk: Signal) -> Columns:
    ts, v = walk.day()
    return ts - ts % 1000 + ts % 1000 // 100 * 1000, v


class Lineshaft:
    """This platform with the words of a peer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def name(cls) -> str:
        """Return its name with its version."""
        return f"Lineshaft {version('lineshaft')}"

    @staticmethod
    def prepare(ts: np.ndarray, v: np.ndarray) -> Columns:
        """Return the columns as they are: encoding them is counted."""
        return ts, v

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it, and end it afterwards."""
        settings = {"BUS__MAX_GB": 60, "HISTORY__MARGIN_GB": 0.5}
        with run_platform(self._folder, ("bus", "history", "web"), **settings) as ground:
            ground.wait("system", lambda _: True)
            self._ground, self._asker = ground, ground.asker()
            yield

    def send(self, blocks: Sequence[Columns]) -> float:
        """Publish all; return the seconds until the last is read back."""
        newest = int(blocks[-1][0][0, -1])
        began = uvloop.run(_publish(self._folder, blocks))
        self._ground.wait("last?sid=1", lambda last: newest in last["ts"])
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill all processes at once (SIGKILL)."""
        self._ground.kill()

    def settle(self) -> None:
        """Wait until all is in files and nothing was merged for a while: an earlier day is merged
        after one to two minutes of rest."""
        self._ground.wait("system", lambda system: not system["stream"]["lag_rows"], 120, 1)
        seen, since = set[Path](), time.monotonic()
        while time.monotonic() - since < _REST_S:
            time.sleep(1)
            if (now := set((self._folder / "history").rglob("*.*"))) != seen:
                seen, since = now, time.monotonic()

    def size(self) -> int:
        """Return the bytes of all files of samples and roll-ups."""
        return bytes_on_disk(self._folder / "history")

    def trend(self, sid: int, start: int, end: int) -> tuple[float, bytes]:
        """Return the ms and the answer: first, min, max and last of each column, each at its own
        time; columns are whole multiples of 5 minutes, so 960."""
        return self._asker.ask("trend", sid=sid, **{"from": start, "to": end, "px": 1000})

    @staticmethod
    def is_right(answer: bytes, ts: np.ndarray, v: np.ndarray) -> bool:
        """Return whether a trend's answer is what all samples of the signal give."""
        [one] = json.loads(answer)["series"]
        return same_trend(one, ts, v, _DAYS * _DAY)

    def count(self, start: int, end: int, signals: int) -> int:
        """Return how many samples can be read, by reading them."""
        found, step = 0, max(1, 1_000_000 // ((end - start) // _SECOND))
        for sid in range(1, signals + 1, step):
            where = {"from": start, "to": end, "format": "arrow"}
            sids = f"{sid}-{min(sid + step - 1, signals)}"
            _, content = self._asker.ask("raw", sid=sids, **where)
            found += pa.ipc.open_stream(content).read_all().num_rows
        return found


System = Lineshaft | Influx | Victoria


async def _publish(folder: Path, blocks: Sequence[Columns]) -> float:
    bus = await Bus.connect(BusAccess.read(folder / "run" / "bus-platform.json"), "demo", "peers")
    await bus.ensure_streams(int(60e9))
    free = asyncio.Semaphore(_WINDOW)
    signals, times = blocks[0][0].shape
    sids, good = np.repeat(np.arange(1, signals + 1), times), np.zeros(signals * times, np.int32)

    async def one(ts: np.ndarray, v: np.ndarray) -> None:
        columns = (sids, ts.ravel(), v.ravel(), good)
        await bus.publish(SampleBlock.from_columns(*columns, origin="peers", arrival=int(ts.max())))
        free.release()

    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for block in blocks:
            await free.acquire()
            group.create_task(one(*block))
    await bus.close()
    return began


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return the ratios, what was lost, and the figures of each system; `seconds` of
    questions to each system a run."""
    peers, skipped = present_peers()
    for line in skipped:
        print(line, file=sys.stderr)
    if not peers:
        print("bench: there is no peer to measure beside", file=sys.stderr)
        raise SystemExit(2)
    check_disk(10)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(runs):
        for system in (Lineshaft, *peers):
            name = system.name()
            say(f"run {number + 1}/{runs}: {name}")
            figures = found.setdefault(name, {})
            for key, value in (_live(system) | _month(system, seconds)).items():
                figures.setdefault(key, []).append(value)
    return judge_all(found)


def _live(system: type[System]) -> dict[str, float]:
    start = int(time.time()) // DAY_S * _DAY - _DAY
    rows = _MANY * _LIVE_S
    with clean_folder() as folder:
        one = system(folder / "data")
        with one.running():
            took = one.send(_prepared(one, live(start)))
            one.kill()
        with one.running():
            lost = rows - one.count(start, start + _LIVE_S * _SECOND, _MANY)
    say(f"  live: {rows / took:,.0f} samples/s; {lost:,} of {rows:,} lost by kill -9")
    return {"live_per_s": rows / took, "lost": lost}


def _month(system: type[System], seconds: float) -> dict[str, float]:
    end = int(time.time()) // DAY_S * _DAY
    start, rows = end - _DAYS * _DAY, _FEW * _DAYS * DAY_S
    with clean_folder() as folder:
        one = system(folder / "data")
        with one.running():
            took = one.send(_prepared(one, month(start)))
            say(f"  month: {rows / took:,.0f} samples/s")
            one.settle()
            if (there := one.count(start, end, _FEW)) != rows:
                raise SystemExit(f"bench: {rows} samples were sent, {there} can be read")
            times = _ask(one, start, end, seconds)
            p50, p99 = np.percentile(times, (50, 99)).tolist()
            figures = {"month_per_s": rows / took, "trend_ms": p50, "trend_p99_ms": p99,
                       "bytes_per_sample": one.size() / rows}  # fmt: skip
    say(f"  trend: p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(times)}; "
        f"{figures['bytes_per_sample']:.2f} B/sample")  # fmt: skip
    return figures


def _prepared(one: System, blocks: Iterator[Columns]) -> list[Any]:
    made = [one.prepare(ts, v) for ts, v in blocks]
    say(f"  {len(made):,} blocks are made; sending")
    return made


def _ask(one: System, start: int, end: int, seconds: float) -> list[float]:
    dice = random.Random(_SEED)
    for _ in range(3):
        sid = dice.randint(1, _FEW)
        walk = Signal(_SEED, sid, start)
        ts, v = (np.concatenate(c) for c in zip(*(_day(walk) for _ in range(_DAYS)), strict=True))
        if not one.is_right(one.trend(sid, start, end)[1], ts, v):
            raise SystemExit(f"bench: {one.name()}: a trend differs from the one over all samples")
    until, times = time.monotonic() + seconds, list[float]()
    while time.monotonic() < until:
        times.append(one.trend(dice.randint(1, _FEW), start, end)[0])
    return times


def judge_all(found: dict[str, dict[str, list[float]]]) -> list[Figure]:
    """Return all figures from those of each system by name, ours first, one a run."""
    ours, *peers = found.values()

    def best(key: str, choose: Callable[..., float]) -> list[float]:
        return [choose(of_run) for of_run in zip(*(peer[key] for peer in peers), strict=True)]

    def ratio(some: list[float], others: list[float]) -> list[float]:
        return [one / other for one, other in zip(some, others, strict=True)]

    month_ratio = ratio(ours["month_per_s"], best("month_per_s", max))
    live_ratio = ratio(ours["live_per_s"], best("live_per_s", max))
    trend_ratio = ratio(best("trend_ms", min), ours["trend_ms"])
    by = "by the best of " + ", ".join(list(found)[1:])
    judged = [
        judge("peers", "ratio_ingest", month_ratio, "", 1.5, 3, note=by),
        judge("peers", "ratio_trend", trend_ratio, "", 1, 3, note=by),
        judge("peers", "lost_after_kill", [max(ours["lost"])], "", 0, 0, lower=True),
        judge("peers", "ratio_live", live_ratio, "", 0, 0, note="no must"),
    ]
    return judged + [
        judge("peers", f"{key} of {name}", values, _UNITS[key], 0, 0)
        for name, figures in found.items()
        for key, values in figures.items()
    ]
