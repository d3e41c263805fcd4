"""How long samples and roll-ups stay, by class of signal, and what has to go now.

A class is a prefix of paths; of several that fit the longest holds. Rows go by whole days; their
roll-ups stay until their own time is over. Where the disk has a budget, the oldest days of rows go
first, and never those of the last week.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lineshaft.rooms.history.engine.rows import Column
from lineshaft.rooms.history.model import FileEntry

__all__ = ["LEAST_DAYS", "Due", "Keep", "Rule", "budget_day", "due", "keep_of"]

LEAST_DAYS: Final = 7
_EVER: Final = np.int32(-(2**31))


@dataclass(frozen=True, slots=True)
class Rule:
    """A class of signals: days that rows and roll-ups stay; None keeps them for ever."""

    prefix: str
    raw_days: int | None
    rollup_days: int | None


@dataclass(frozen=True, slots=True)
class Keep:
    """For each of `sid` (ascending, shape `(n,)`) the first day whose rows and roll-ups stay."""

    sid: Column
    raw: Column
    rollup: Column


@dataclass(frozen=True, slots=True)
class Due:
    """A file whose rows, or those of some of its signals (`sids`), or whose roll-ups, must go."""

    file: FileEntry
    sids: Column
    whole: bool


def keep_of(rules: Sequence[Rule], paths: Mapping[int, str], today: int) -> Keep:
    """Return from which day on each signal's rows and roll-ups stay."""
    ordered = sorted(rules, key=lambda rule: len(rule.prefix), reverse=True)
    sids = sorted(paths)
    raw, rollup = np.full(len(sids), _EVER), np.full(len(sids), _EVER)
    for at, sid in enumerate(sids):
        path = paths[sid]
        rule = next((r for r in ordered if _fits(r.prefix, path)), None)
        if rule is not None:
            raw[at] = _EVER if rule.raw_days is None else today - rule.raw_days
            rollup[at] = _EVER if rule.rollup_days is None else today - rule.rollup_days
    return Keep(np.array(sids, np.int32), raw, np.minimum(raw, rollup))


def budget_day(files: Sequence[FileEntry], budget: int, today: int) -> int:
    """Return the first day whose rows stay, so that all files take at most `budget` bytes."""
    total = sum(file.size + file.rollup_size for file in files)
    by_day: dict[int, int] = {}
    for file in files:
        by_day[file.day] = by_day.get(file.day, 0) + file.size
    first = min(by_day, default=today)
    for day in sorted(by_day):
        if total <= budget or day > today - LEAST_DAYS:
            break
        total -= by_day[day]
        first = day + 1
    return first


def due(files: Sequence[FileEntry], keep: Keep) -> Due | None:
    """Return the file that must go first, or None. Only compacted files are touched: of those the
    roll-ups stand apart from the rows."""
    for file in sorted(files, key=lambda f: f.day):
        low, high = np.searchsorted(keep.sid, np.array([file.sid_min, file.sid_max + 1]))
        if not file.rollup_size or low == high:
            continue
        if file.kind == "rolled":
            if (keep.rollup[low:high] > file.day).all():
                return Due(file, keep.sid[low:high], True)
            continue
        gone = keep.raw[low:high] > file.day
        if gone.any():
            return Due(file, keep.sid[low:high][gone], bool(gone.all()))
    return None


def _fits(prefix: str, path: str) -> bool:
    return not prefix or path == prefix or path.startswith(prefix.rstrip("/") + "/")
