"""The crash proof: a plant counts, processes die, and every count is stored once or declared.

`Proof` remembers when it hurt the platform; `check` reads everything back and judges:

- the counter's rows rise strictly in stamp and in value (none twice, none out of order);
- where counts are missing between two stored ones, declared gaps cover all the time between them;
- what was declared is no longer than what was measured and a second an outage, and lies there;
- what was stored before the first blow is answered as it was, row by row;
- everything accepted reaches the catalogue, all processes run, no loss was told.
"""

import itertools
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from lineshaft.bus.client import data_stream
from lineshaft.clock import now_us
from lineshaft.processes import TABLE
from lineshaft.records import open_records
from lineshaft.rooms.history.store import Catalogue
from tests.end_to_end.platform import Platform, until

__all__ = ["NAMES", "Proof", "stop_for", "stored_rows"]

NAMES = tuple(process.name for process in TABLE)
SECOND = 1_000_000
Span = tuple[int, int]


@dataclass(frozen=True)
class Blow:
    """What was done to the platform, and when (µs UTC)."""

    what: str
    at: int


@dataclass(frozen=True)
class Hole:
    """Counts that are missing between two stored ones."""

    span: Span
    missing: int


class Proof:
    """A platform under attack. `seed` makes the moments; it is printed."""

    def __init__(self, platform: Platform) -> None:
        self.seed = int(os.environ.get("LINESHAFT_TEST_SEED") or time.time_ns() % 1_000_000)
        print(f"seed {self.seed} (LINESHAFT_TEST_SEED={self.seed} repeats the moments)")
        self.random = random.Random(self.seed)
        self.platform = platform
        self.blows: list[Blow] = []
        signals = platform.signals()
        self.sids = {path: signal["sid"] for path, signal in signals.items()}
        self.counter = next(sid for path, sid in self.sids.items() if path.endswith("/counter"))
        self.set_points = self._last("-sp")
        self._early_end = now_us()
        self._early = self._early_rows()

    def kill(self, name: str) -> None:
        """`kill -9` one process now."""
        pid = until(f"{name} runs", lambda: self.platform.family().get(name))
        self.note(f"kill {name}")
        os.kill(pid, signal.SIGKILL)
        until(f"{name} runs again", lambda: self.platform.family().get(name, pid) != pid)

    def note(self, what: str) -> None:
        """Remember a blow that comes now."""
        self.blows.append(Blow(what, now_us()))

    def wait_a_moment(self, longest_s: float) -> None:
        """Let a random time go by, so that the blow falls anywhere in the platform's work."""
        time.sleep(self.random.uniform(0, longest_s))

    def wait_live(self) -> None:
        """Return once everything runs and a count made after this call can be read."""
        platform, now = self.platform, now_us()
        until("all processes run", lambda: set(platform.family()) == set(NAMES))
        until("a new count is live", lambda: self.newest() > now)

    def newest(self) -> int:
        """Return the stamp of the newest count."""
        return int(self.platform.get("last", sid=self.counter)["ts"][0])

    def check(self) -> None:
        """Judge everything since the beginning."""
        platform = self.platform
        self._check_all_stored()
        rows = platform.get("raw", sid=self.counter, **{"from": 0})
        ts, counts = rows["ts"], [int(v) for v in rows["v"]]
        assert all(q < 256 for q in rows["q"])
        assert all(a < b for a, b in itertools.pairwise(ts)), "a stamp twice or out of order"
        assert all(a < b for a, b in itertools.pairwise(counts)), "a count twice"
        gaps = [(f["body"]["from"], f["body"]["to"]) for f in platform.facts("link.gap")]
        outages = self._outages(ts)
        holes = [
            Hole((ts[i], ts[i + 1]), counts[i + 1] - counts[i] - 1)
            for i in range(len(ts) - 1) if counts[i + 1] - counts[i] > 1
        ]  # fmt: skip
        self._tell(len(counts), holes, gaps, outages)
        for hole in holes:
            assert _covers(gaps, hole.span), f"{hole} is neither stored nor declared"
        self._check_declared(gaps, outages)
        self._check_nothing_else_changed()

    def _check_declared(self, gaps: Sequence[Span], outages: Sequence[Span]) -> None:
        """A bus, a writer or a web process that dies interrupts no source: their blows give no
        room for gaps, so only outages that a gap touches count."""
        strange = [gap for gap in gaps if not any(_touch(gap, outage) for outage in outages)]
        assert strange == [], "gaps were declared where nothing happened"
        real = [outage for outage in outages if any(_touch(gap, outage) for gap in gaps)]
        declared, allowed = _length(_union(gaps)), _length(real) + len(real) * SECOND
        assert declared <= allowed, f"{declared / 1e6} s declared, {allowed / 1e6} s allowed"

    def _check_all_stored(self) -> None:
        accepted = self.platform.get("system")["stream"]["last_seq"]
        until(
            "everything accepted is in the catalogue",
            lambda: self.platform.get("system")["stream"]["stored_seq"] >= accepted,
        )

    def _check_nothing_else_changed(self) -> None:
        platform = self.platform
        # Rows that were on their way when the first look was taken may have joined them.
        assert self._early <= self._early_rows(), "rows stored before the first blow changed"
        assert self._last("-sp") == self.set_points
        states = {p["name"]: p["state"] for p in platform.get("system")["processes"]}
        assert states == dict.fromkeys(NAMES, "running")
        assert platform.get("system")["notices"] == []
        assert platform.facts("history.lost", "history.quarantined", "history.damaged",
                              "stream.replaced") == []  # fmt: skip
        ids = [fact["id"] for fact in platform.facts()]
        assert len(ids) == len(set(ids))

    def _outages(self, ts: Sequence[int]) -> list[Span]:
        """Return from each blow to the first count after it, joined where they touch."""
        spans = [(b.at, next((t for t in ts if t > b.at), ts[-1])) for b in self.blows]
        return _union(spans)

    def _early_rows(self) -> set[tuple[Any, ...]]:
        sids = ",".join(map(str, self.sids.values()))
        rows = self.platform.get("raw", sid=sids, to=self._early_end)
        return set(zip(*(rows[name] for name in ("sid", "ts", "v", "s", "q", "seq")), strict=True))

    def _last(self, suffix: str) -> dict[str, tuple[float, int]]:
        wanted = {sid: path for path, sid in self.sids.items() if path.endswith(suffix)}
        rows = self.platform.get("last", sid=",".join(map(str, wanted)))
        return {
            wanted[sid]: (v, q) for sid, v, q in zip(rows["sid"], rows["v"], rows["q"], strict=True)
        }

    def _tell(
        self, stored: int, holes: Sequence[Hole], gaps: Sequence[Span], outages: Sequence[Span]
    ) -> None:
        """Print what there was, in the order of time, in seconds since the first."""
        lines = [(blow.at, blow.what) for blow in self.blows]
        lines += [(a, f"gap of {(b - a) / 1e6:.3f} s declared") for a, b in gaps]
        lines += [(a, f"outage of {(b - a) / 1e6:.3f} s") for a, b in outages]
        lines += [(h.span[0], f"hole of {h.missing} counts, {_length([h.span]) / 1e6:.3f} s")
                  for h in holes]  # fmt: skip
        print(f"{stored} counts stored, {sum(hole.missing for hole in holes)} missing")
        for at, what in sorted(lines):
            print(f"{(at - self._early_end) / 1e6:9.3f}  {what}")


def stored_rows(folder: Path) -> tuple[int, int]:
    """Return how many rows lie in all history files of a data folder that count (what compaction
    replaced stays a minute), and how many of them are of one (sid, ts). Call it while nothing runs.
    """
    engine = open_records(folder / "records.sqlite")
    _, named = Catalogue(engine, data_stream("demo")).files()
    engine.dispose()
    files = [folder / "history" / entry.path for entry in named]
    table = ds.dataset(files, format="parquet").to_table(columns=["sid", "ts"])
    once = table.group_by(["sid", "ts"]).aggregate([]).num_rows
    return table.num_rows, table.num_rows - once


def stop_for(pid: int, seconds: float) -> None:
    """Stop a process by SIGSTOP for some seconds; it does go on, whatever happens."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def _union(spans: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _length(spans: Sequence[Span]) -> int:
    return sum(end - start for start, end in spans)


def _touch(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _covers(spans: Sequence[Span], hole: Span) -> bool:
    return any(start <= hole[0] and hole[1] <= end for start, end in _union(spans))
