"""What this machine can take, stated before it is reached.

Rules: a figure was measured or is unknown, never guessed, and says how it was found. What disk,
bus, writer and processor do with samples is measured once for a data folder (`probe.py`); the
result stays in `probe.json` with its date. Everything else is looked at while the platform runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from lineshaft.private import write_private

__all__ = ["BLOCK_ROWS", "Line", "Load", "Probe", "capacity", "lines_of", "sentence"]

BLOCK_ROWS: Final = 10_000  # of a connector's fullest block
_TELLING: Final = 200_000  # samples that the writer must have written lately, to tell its speed
_BUSY: Final = 0.2  # below, a process' fixed work hides what a sample costs
_FILE: Final = "probe.json"

Found = Literal["probe", "observed", "system", "settings", "unknown"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured at `at` (µs UTC): seconds to have a full block on disk (mean), samples a
    second that the bus accepted and the writer wrote, and the CPU seconds of a sample on its whole
    way: published, read by two, written, compacted."""

    at: int
    sync_s: float
    bus_per_s: float
    writer_per_s: float
    cpu_s: float

    def keep(self, folder: Path) -> None:
        """Keep it in the data folder."""
        write_private(folder / _FILE, json.dumps(asdict(self)))

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
    rate, (rows, busy_s) = load.samples_per_s, load.writer
    connect, cores = load.cores.get("connect", 0.0), load.machine_cores
    how: Found = "probe" if probe else "unknown"
    seen = rows / busy_s if busy_s and rows >= _TELLING else None
    sync = BLOCK_ROWS / probe.sync_s if probe else None
    bus = probe.bus_per_s if probe else None
    writer = seen or (probe.writer_per_s if probe else None)
    let = rate / connect if connect >= _BUSY else None
    return [
        Line("connect", "cores", connect, 1.0, "observed", let or None),
        Line("sync", "samples", rate, sync, how, sync),
        Line("bus", "samples", rate, bus, how, bus),
        Line("writer", "samples", rate, writer, "observed" if seen else how, writer),
        Line("cpu", "cores", sum(load.cores.values()), cores, "system",
             cores / probe.cpu_s if probe else None),
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
    "connect": "the process of the connectors", "sync": "the disk's sync rate", "bus": "the bus",
    "writer": "the writer of history", "cpu": "the processor",
}  # fmt: skip


def sentence(lines: Sequence[Line], now: float) -> str:
    """Return in one sentence what the machine can take and what gives out first."""
    first = capacity(lines)
    if first is None or not first.samples:
        return "what this machine can take is not measured yet"
    about = float(f"{first.samples:.2g}")
    return (f"this machine can take about {about:,.0f} samples/s (estimated); now {now:,.0f}/s "
            f"({now / first.samples:.1%}); {_WORDS[first.name]} gives out first")  # fmt: skip
