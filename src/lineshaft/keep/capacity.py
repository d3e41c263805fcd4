"""What this machine can take, stated before it is reached.

Rules: a figure was measured or is unknown, never guessed, and says how it was found. The disk and
the writer's work are measured once for a data folder, in at most two seconds, on files of its own
that are deleted again; the result stays in `probe.json` with its date. Everything else is looked at
while the platform runs. Estimates hold for full blocks of random values.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from lineshaft.bus.client import decode_block
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.samples import SampleBlock
from lineshaft.private import write_private
from lineshaft.rooms.history.engine.commit import arrange
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import full_seq
from lineshaft.rooms.history.files import FileStore

__all__ = ["Line", "Load", "Probe", "capacity", "lines_of", "measure", "sentence", "syncs"]

_ROWS: Final = 10_000  # a connector's fullest block
_BLOCKS: Final = 20
_LEG_S: Final = 0.3
_PIECE: Final = bytes(4_000_000)
_MOST_BYTES: Final = 64_000_000
_BUSY: Final = 0.2  # below, a process' fixed work hides what a sample costs
_FILE: Final = "probe.json"

Found = Literal["probe", "observed", "system", "settings", "unknown"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured at `at` (µs UTC): seconds to sync 4 kB (median), bytes written a second in
    a row, samples a second through the writer's work, bytes that a sample takes on the bus and in
    its first file together."""

    at: int
    sync_s: float
    bytes_per_s: float
    writer_per_s: float
    sample_bytes: float

    @classmethod
    def kept(cls, folder: Path) -> "Probe | None":
        """Return what was measured last for this data folder, or None."""
        try:
            return cls(**json.loads((folder / _FILE).read_text()))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Load:
    """What the platform does now. `writer`: samples written lately and the seconds that took;
    `cores`: processor cores in use by process; `held`: what is used and the most there can be."""

    samples_per_s: float = 0.0
    writer: tuple[float, float] = (0.0, 0.0)
    cores: Mapping[str, float] = field(default_factory=dict)
    machine_cores: int = 1
    held: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    signals: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One limit: `now` of at most `limit` (None: unknown). `samples` is how many samples a second
    it lets through, where that can be said."""

    name: str
    unit: Literal["samples", "cores", "bytes", "count"]
    now: float
    limit: float | None
    found: Found
    samples: float | None = None

    @property
    def share(self) -> float | None:
        """Return how much of the limit is used, 1 being all of it."""
        return self.now / self.limit if self.limit else None


def lines_of(load: Load, probe: Probe | None) -> list[Line]:
    """Return all limits, those of samples first, in the order of a sample's way."""

    def of_samples(name: str, limit: float | None, found: Found = "probe") -> Line:
        how: Found = "unknown" if limit is None else found
        return Line(name, "samples", load.samples_per_s, limit, how, limit)

    rows, busy_s = load.writer
    if busy_s and rows >= _ROWS * _BLOCKS:
        writer = of_samples("writer", rows / busy_s, "observed")
    else:
        writer = of_samples("writer", probe.writer_per_s if probe else None)
    connect = load.cores.get("connect", 0.0)
    let = load.samples_per_s / connect if connect >= _BUSY else None
    return [
        of_samples("sync", _ROWS / probe.sync_s if probe else None),
        of_samples("write", probe.bytes_per_s / probe.sample_bytes if probe else None),
        writer,
        Line("connect", "cores", connect, 1.0, "observed", let or None),
        Line("cpu", "cores", sum(load.cores.values()), load.machine_cores, "system"),
        *(Line(name, "count" if name in ("files", "threads") else "bytes", *pair,
               "settings" if name in ("stream", "facts") else "system")
          for name, pair in load.held.items()),
        Line("signals", "count", load.signals, None, "unknown"),
    ]  # fmt: skip


def capacity(lines: Sequence[Line]) -> Line | None:
    """Return the limit that gives out first as more samples come, or None where none is known."""
    known = [line for line in lines if line.samples]
    return min(known, key=lambda line: line.samples or 0.0, default=None)


_WORDS: Final = {
    "sync": "the disk's sync rate", "write": "the disk's speed of writing",
    "writer": "the writer of history", "connect": "the process of the connectors",
}  # fmt: skip


def sentence(lines: Sequence[Line]) -> str:
    """Return in one sentence what the machine can take and what gives out first."""
    first = capacity(lines)
    if first is None or not first.samples:
        return "what this machine can take is not measured yet"
    now, about = lines[0].now, float(f"{first.samples:.2g}")
    return (f"this machine can take about {about:,.0f} samples/s (estimated); now {now:,.0f}/s "
            f"({now / first.samples:.1%}); {_WORDS[first.name]} gives out first")  # fmt: skip


def measure(folder: Path) -> Probe:
    """Measure disk and writer below a data folder, keep the result there and return it."""
    (folder / "run").mkdir(exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder / "run", prefix="probe-") as name:
        scratch = Path(name)
        sync_s = sorted(syncs(scratch / "sync"))
        found = Probe(now_us(), sync_s[len(sync_s) // 2], _written(scratch), *_worked(scratch))
    write_private(folder / _FILE, json.dumps(asdict(found)))
    return found


def syncs(place: Path) -> list[float]:
    """Return how many seconds each of some syncs of 4 kB to a new file took."""
    took: list[float] = []
    end = monotonic_s() + _LEG_S
    with place.open("wb") as file:
        while len(took) < 9 or (monotonic_s() < end and len(took) < 200):
            file.write(_PIECE[:4096])
            file.flush()
            began = monotonic_s()
            os.fsync(file.fileno())
            took.append(monotonic_s() - began)
    return took


def _written(scratch: Path) -> float:
    began, size = monotonic_s(), 0
    with (scratch / "write").open("wb") as file:
        while size < _MOST_BYTES and monotonic_s() - began < _LEG_S:
            size += file.write(_PIECE)
        file.flush()
        os.fsync(file.fileno())
    return size / (monotonic_s() - began)


def _worked(scratch: Path) -> tuple[float, float]:
    """Do what the writer does; return samples a second (the best turn: the first warms up) and
    bytes a sample."""
    store, dice = FileStore(scratch / "history", lambda _: None), np.random.default_rng(1)
    base = 10**15  # µs
    sid, ticks = np.repeat(np.arange(1, 101), _ROWS // 100), np.tile(np.arange(_ROWS // 100), 100)
    blocks = [
        SampleBlock.from_columns(
            sid, base + (ticks + number * 100) * 100_000, dice.normal(size=_ROWS),
            np.zeros(_ROWS, int), origin="probe", arrival=2 * base,
        ).encode() for number in range(_BLOCKS)
    ]  # fmt: skip
    headers = {"Ls-Origin": "probe", "Ls-Arrival": str(2 * base)}
    best, size, end = 0.0, 0, monotonic_s() + _LEG_S
    for turn in range(20):
        began = monotonic_s()
        held = [(full_seq(1, n + 1), decode_block(one, headers)) for n, one in enumerate(blocks)]
        entries = store.write(arrange(held, LastValues()), str(turn))
        best = max(best, _ROWS * _BLOCKS / (monotonic_s() - began))
        size = sum(entry.size for entry in entries)
        if turn and monotonic_s() > end:
            break
    return best, (sum(map(len, blocks)) + size) / (_ROWS * _BLOCKS)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
