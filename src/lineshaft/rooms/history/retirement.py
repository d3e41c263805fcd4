"""Retirement: rows whose time is over go, by whole days; their roll-ups stay as long as they may.

Rules: what goes is written down in the same transaction (`retired`: per signal the stamp before
which no row is kept, and when that was done), so that an answer that would need it says so instead
of being another number. Files leave the disk a while after their names, for readers under way.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import Engine

from lineshaft.clock import monotonic_s, now_us
from lineshaft.rooms.history.engine.commit import DAY_US, Part
from lineshaft.rooms.history.engine.compaction import RUN_LABEL
from lineshaft.rooms.history.engine.retention import Due, Keep, budget_day, due, keep_of
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.store import Catalogue

__all__ = ["Retirement"]

_LOOK_S = 600.0


class Retirement:
    """Retires what the rules and the disk budget say; `paths` gives every signal's path."""

    def __init__(
        self, engine: Engine, stream: str, files: FileStore, paths: Callable[[], Mapping[int, str]],
        *, lease: str, budget_bytes: float = 0.0, grace_s: float = 60.0,
    ) -> None:  # fmt: skip
        self._catalogue = Catalogue(engine, stream)
        self._files = files
        self._paths = paths
        self._lease = lease
        self._budget = int(budget_bytes)
        self._grace_s = grace_s
        self._leaving: list[tuple[float, FileEntry, bool]] = []
        self._looked = -_LOOK_S

    def step(self) -> None:
        """Retire all that is due, once in ten minutes. Blocks."""
        self.sweep()
        now = monotonic_s()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        rules = self._catalogue.rules()
        if rules or self._budget:
            self.retire_all(now_us() // DAY_US)

    def sweep(self) -> None:
        """Delete the files whose time of grace is over."""
        while self._leaving and monotonic_s() - self._leaving[0][0] >= self._grace_s:
            _, entry, whole = self._leaving.pop(0)
            (self._files.remove if whole else self._files.remove_rows)(entry)

    def retire_all(self, today: int) -> None:
        """Retire everything that is due on a day (since 1970)."""
        keep = keep_of(self._catalogue.rules(), self._paths(), today)
        if self._budget:
            _, named = self._catalogue.files()
            keep = replace(keep, raw=np.maximum(keep.raw, budget_day(named, self._budget, today)))
        while True:
            _, named = self._catalogue.files()
            found = due(named, keep)
            if found is None:
                return
            self._retire(found, keep)

    def _retire(self, gone: Due, keep: Keep) -> None:
        entry, now = gone.file, monotonic_s()
        if entry.kind == "rolled":
            self._catalogue.swap(self._lease, [entry.path], [])
            self._leaving.append((now, entry, True))
            return
        at = keep.raw[np.searchsorted(keep.sid, gone.sids)].astype(np.int64) * DAY_US
        before = dict(zip(gone.sids.tolist(), at.tolist(), strict=True))
        if gone.whole:
            rolled = replace(entry, kind="rolled", size=0)
            self._catalogue.swap(self._lease, [entry.path], [rolled], before, now_us())
            self._leaving.append((now, entry, False))
            return
        rows = Rows.from_table(pq.read_table(self._files.folder / entry.path))
        goes = np.isin(rows.sid, gone.sids)
        label = uuid.uuid4().hex[:RUN_LABEL]
        stays = Part(entry.kind, entry.day, rows.take(~goes))
        made = self._files.write([stays], label, compact=True) if len(stays.rows) else []
        if goes.any():
            left = Part(entry.kind, entry.day, rows.take(goes))
            made.append(self._files.write_rolled(left, f"{label}x"))
        self._catalogue.swap(self._lease, [entry.path], made, before, now_us())
        self._leaving.append((now, entry, True))
