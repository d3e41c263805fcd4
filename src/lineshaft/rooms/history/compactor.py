"""The compactor: merges small and overlapping files, one job after the other, beside the writer.

Rules: a job reads files that the catalogue names, writes new ones, and takes their place in one
transaction that holds only if every file it replaces is still named and the lease is the writer's;
so two compactors cannot double or lose a row. What was replaced stays on disk a while for readers
that took their cut before. Memory is bounded: a job goes through the signals range by range.
"""

import asyncio
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import Engine

from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken
from lineshaft.rooms.history.engine.commit import DAY_US, Part
from lineshaft.rooms.history.engine.compaction import RUN_LABEL, Job, choose, cuts
from lineshaft.rooms.history.engine.revisions import merge
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.files import FileStore, Step
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.store import Catalogue

__all__ = ["Compactor"]

_SLICE_ROWS = 32_000_000
_LEAST_FREE = 500_000_000


class Compactor:
    """Compacts one stream's files under the writer's lease."""

    def __init__(
        self, engine: Engine, stream: str, files: FileStore, *, lease: str,
        settle_s: float = 60.0, grace_s: float = 60.0, told: Step = lambda _: None,
    ) -> None:  # fmt: skip
        """`settle_s`: how long files must have been there before they count as settled; `grace_s`:
        how long replaced files stay."""
        self._settle_s, self._grace_s, self._told = settle_s, grace_s, told
        self._catalogue = Catalogue(engine, stream)
        self._files = files
        self._lease = lease
        self._seen: tuple[float, frozenset[str]] = (monotonic_s(), frozenset())
        self._settled: frozenset[str] = frozenset()
        self._replaced: list[tuple[float, FileEntry]] = []
        self._too_large: set[str] = set()
        #: Set from outside when the process ends: a job under way gives up at its next range.
        self.ended = threading.Event()
        self.merged_rows = 0
        self.error = ""

    async def step(self) -> bool:
        """Do the one most useful merge; return whether there was any. Raises Broken where another
        writer has taken over; what may heal is kept in `error`."""
        try:
            busy = await asyncio.to_thread(self._step_once)
            self.error = ""
        except Broken as error:
            if not error.retryable:
                raise
            busy, self.error = False, str(error)
        return busy

    def _step_once(self) -> bool:
        now = monotonic_s()
        self._remove_old(now)
        _, named = self._catalogue.files()
        self._look(now, named)
        possible = [file for file in named if file.path not in self._too_large]
        job = choose(possible, now_us() // DAY_US, self._settled)
        if job is None:
            return False
        need = 2 * sum(file.size + file.rollup_size for file in job.files) + _LEAST_FREE
        if shutil.disk_usage(self._files.folder).free < need:
            raise Broken(f"compaction needs {need // 1_000_000} MB of free disk",
                         hint="Free disk space; samples are kept meanwhile",
                         code="history.disk")  # fmt: skip
        self.compact(job)
        return True

    def compact(self, job: Job) -> None:
        """Merge the files of one job. Raises Broken where the catalogue has changed meanwhile."""
        label = uuid.uuid4().hex[:RUN_LABEL]
        made: list[FileEntry] = []
        try:
            for number, rows in enumerate(self._merged(job)):
                kind = "sequence" if job.absorbs or job.files[0].kind == "sequence" else "late"
                part = Part(kind, job.day, rows)
                made += self._files.write([part], f"{label}{number}", compact=kind == "sequence")
            self._catalogue.swap(self._lease, [file.path for file in job.files], made)
        except BaseException:
            for entry in made:
                self._files.remove(entry)
            raise
        self._told("swapped")
        now = monotonic_s()
        self._replaced += [(now, file) for file in job.files]
        self.merged_rows += sum(entry.rows for entry in made)

    def _merged(self, job: Job) -> Iterator[Rows]:
        """Yield the merged rows of the job's files, range by range of signals."""
        files = [_Input(self._files.folder / entry.path) for entry in job.files]
        bounds = cuts([group for file in files for group in file.groups])
        for low, high in zip(bounds, [*bounds[1:], 1 << 31], strict=True):
            if sum(file.count(low, high) for file in files) > _SLICE_ROWS:
                self._too_large |= {entry.path for entry in job.files}
                raise Broken(f"the rows of signal {low} on day {job.day} do not fit into memory",
                             code="history.large")  # fmt: skip
            if self.ended.is_set():
                raise Broken("the process ends", code="history.ended")
            rows = merge([file.read(low, high) for file in files], all_revisions=True)
            if len(rows):
                yield rows

    def _look(self, now: float, named: Sequence[FileEntry]) -> None:
        """Remember which files were there a while ago already."""
        at, seen = self._seen
        if now - at >= self._settle_s:
            there = frozenset(file.path for file in named)
            self._seen, self._settled = (now, there), there & seen

    def _remove_old(self, now: float) -> None:
        while self._replaced and now - self._replaced[0][0] >= self._grace_s:
            self._files.remove(self._replaced.pop(0)[1])


class _Input:
    """One file to be merged, read by ranges of signals."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (OSError, ValueError) as error:
            raise Broken(f"a file to be compacted cannot be read: {path.name}: {error}",
                         hint="Restart the platform: it repairs what the bus holds",
                         code="history.damaged") from error  # fmt: skip
        metadata = self._file.metadata
        found = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        ranges = [group.column(0).statistics for group in found]
        self._spans = [(s.min, s.max, g.num_rows) for s, g in zip(ranges, found, strict=True)]

    @property
    def groups(self) -> list[tuple[int, int]]:
        """The first signal and the rows of each row group."""
        return [(low, rows) for low, _, rows in self._spans]

    def count(self, low: int, high: int) -> int:
        """Return how many rows at most lie in low <= sid < high."""
        return sum(rows for least, most, rows in self._spans if least < high and most >= low)

    def read(self, low: int, high: int) -> Rows:
        """Return the rows with low <= sid < high."""
        groups = [i for i, (least, most, _) in enumerate(self._spans)
                  if least < high and most >= low]  # fmt: skip
        if not groups:
            return Rows.empty()
        rows = Rows.from_table(self._file.read_row_groups(groups))
        bounds = np.array([low, high - 1], np.int32)
        return rows.slice(
            int(rows.sid.searchsorted(bounds[0])), int(rows.sid.searchsorted(bounds[1], "right"))
        )
