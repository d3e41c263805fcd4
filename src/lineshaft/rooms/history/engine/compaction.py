"""Which files to merge next: small ones into larger ones, late ones into those they overlap.

A *run* is what one commit or one compaction wrote for one day: files apart by signal. Runs are
merged within their day when `WIDTH` neighbours in time are of a size (O'Neil et al., "The
Log-Structured Merge-Tree", 1996, in its size-tiered form), so that a row is rewritten about
log8(rows of a day / rows of a commit) times. Late files are merged with the files of their day
whose range of time they touch, and with no other: the result is again apart from all the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lineshaft.rooms.history.model import FileEntry

__all__ = ["MOST_ROWS", "RUN_LABEL", "WIDTH", "Job", "choose", "cuts"]

WIDTH: Final = 8
MOST_ROWS: Final = 2_000_000
RUN_LABEL: Final = 16
_FULL: Final = 64 * MOST_ROWS
_LATE_SHARE: Final = 64


@dataclass(frozen=True, slots=True)
class Job:
    """Files of one day to be merged; `absorbs` says that late ones are among them."""

    day: int
    files: tuple[FileEntry, ...]
    absorbs: bool


def choose(
    files: Sequence[FileEntry], today: int, settled: frozenset[str] = frozenset()
) -> Job | None:
    """Return the most useful merge, or None where nothing is worth one.

    `today` is the present day. `settled` names the files that were there a while ago: where nothing
    new came to an earlier day, all of it is merged, and what came late is put in its place.
    """
    days: dict[int, list[FileEntry]] = {}
    for file in files:
        if file.kind in {"sequence", "late"}:
            days.setdefault(file.day, []).append(file)
    latest = sorted(days.items(), reverse=True)
    jobs = [_tier(day, some, day < today and _calm(some, settled)) for day, some in latest]
    jobs += [_absorb(day, some, settled) for day, some in latest]
    found = [job for job in jobs if job is not None]
    return min(found, key=lambda job: sum(f.rows for f in job.files), default=None)


def cuts(groups: Sequence[tuple[int, int]], most: int = MOST_ROWS) -> list[int]:
    """Return the signals at which to cut a merge into files of about `most` rows.

    `groups` are (first signal, rows) of the row groups of all inputs; the first cut is the first
    signal. A signal is never cut in two.
    """
    found: list[int] = []
    held = most
    for sid, rows in sorted(groups):
        if held >= most and (not found or sid > found[-1]):
            found.append(sid)
            held = 0
        held += rows
    return found


def _runs(files: Sequence[FileEntry]) -> list[list[FileEntry]]:
    """Return the runs among sequence files, by time."""
    runs: dict[str, list[FileEntry]] = {}
    for file in files:
        runs.setdefault(_run(file), []).append(file)
    return sorted(runs.values(), key=lambda run: min((f.ts_min, f.ts_max) for f in run))


def _run(file: FileEntry) -> str:
    """Return what the files of one run share: the label of the compaction that wrote them."""
    label = file.path.removesuffix(".parquet").rpartition("-")[2]
    return label[:RUN_LABEL] if file.rollup_size else file.path


def _calm(files: Sequence[FileEntry], settled: frozenset[str]) -> bool:
    return all(file.path in settled for file in files)


def _tier(day: int, files: Sequence[FileEntry], over: bool) -> Job | None:
    runs = _runs([file for file in files if file.kind == "sequence"])
    rows = [sum(file.rows for file in run) for run in runs]
    # A day that one commit brought whole has nothing to be merged with, but needs roll-ups too.
    lacking = any(not file.rollup_size for run in runs for file in run)
    if over and sum(rows) <= _FULL and (len(runs) > 1 or lacking):
        return _job(day, runs)
    for size in sorted({count.bit_length() // 3 for count in rows}):
        stretch: list[list[FileEntry]] = []
        for run, count in zip(runs, rows, strict=True):
            if count.bit_length() // 3 > size or count >= _FULL:
                stretch = []
                continue
            stretch.append(run)
            if len(stretch) == WIDTH:
                return _job(day, stretch)
    return None


def _job(day: int, runs: Sequence[Sequence[FileEntry]]) -> Job:
    return Job(day, tuple(file for run in runs for file in run), False)


def _absorb(day: int, files: Sequence[FileEntry], settled: frozenset[str]) -> Job | None:
    late = [file for file in files if file.kind == "late"]
    if not late:
        return None
    first, last = min(f.ts_min for f in late), max(f.ts_max for f in late)
    low, high = min(f.sid_min for f in late), max(f.sid_max for f in late)
    others = [
        f for f in files
        if f.kind == "sequence" and f.ts_max >= first and f.ts_min <= last
        and f.sid_max >= low and f.sid_min <= high
    ]  # fmt: skip
    share: Mapping[str, int] = {"late": sum(f.rows for f in late) * _LATE_SHARE,
                                "all": sum(f.rows for f in others)}  # fmt: skip
    if share["late"] >= share["all"] and (_calm(late, settled) or len(late) >= WIDTH):
        return Job(day, (*late, *others), True)
    if len(late) >= 4 * WIDTH:  # too little for so large a day: at least fewer files
        return Job(day, tuple(late), False)
    return None
