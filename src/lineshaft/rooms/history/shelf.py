"""The shelf: history's files as a reader sees them.

Files never change, so what was learned of one (its footer, its mapped roll-ups) stays true; the
newest few hundred are kept. A file may be gone when it is opened: it was compacted after the
catalogue was read. That is told as `history.gone`; the reader takes a new cut then.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.history.engine.revisions import until
from lineshaft.rooms.history.engine.rollup import LEVELS, Buckets
from lineshaft.rooms.history.engine.rows import Column, Rows
from lineshaft.rooms.history.files import rollup_path
from lineshaft.rooms.history.model import FileEntry

__all__ = ["Shelf", "too_much"]

_FOOTERS: Final = 1024
_MAPPED: Final = 512
_FEW: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Footer:
    """What a file's footer says of its row groups, columns of shape `(groups,)`."""

    metadata: pq.FileMetaData
    sid_min: Column
    sid_max: Column
    ts_min: Column
    ts_max: Column
    rows: Column


class Shelf:
    """Reads the files of one stream; callable in any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._footers: OrderedDict[str, _Footer] = OrderedDict()
        self._rollups: OrderedDict[str, dict[int, Buckets]] = OrderedDict()

    def rows(
        self, entries: Sequence[FileEntry], sids: Sequence[int], start: int, end: int, *,
        as_of: int | None = None, limit: int,
    ) -> list[Rows]:  # fmt: skip
        """Return the rows of these signals (ascending) in [start, end), a part a file that has
        any, each sorted by sid and ts.

        Raises Refused where they are more than `limit`, Broken `history.gone` where a file is not
        there any more and `history.damaged` where it cannot be read.
        """
        found: list[Rows] = []
        total = 0
        for entry in entries:
            if not sids or sids[-1] < entry.sid_min or sids[0] > entry.sid_max:
                continue
            rows = until(self._read(entry, np.asarray(sids, np.int32), start, end, limit), as_of)
            total += len(rows)
            if total > limit:
                raise too_much(limit)
            if len(rows):
                found.append(rows)
        return found

    def buckets(self, entry: FileEntry, level: int) -> Buckets:
        """Return the roll-ups of a file on one level, mapped, not read; errors as `rows`."""
        return self._kept(self._rollups, _MAPPED, entry, self._map)[level]

    def _read(self, entry: FileEntry, sids: Column, start: int, end: int, limit: int) -> Rows:
        footer = self._kept(self._footers, _FOOTERS, entry, self._look)
        hit = (footer.ts_max >= start) & (footer.ts_min < end)
        # Some wanted signal lies between the first and the last of the group.
        first = np.searchsorted(sids, footer.sid_min)
        hit &= np.append(sids, np.int32(2**31 - 1))[first] <= footer.sid_max
        groups = np.flatnonzero(hit)
        if not len(groups):
            return Rows.empty()
        if int(footer.rows[groups].sum()) > 4 * limit + 1_000_000:
            raise too_much(limit)

        def read() -> pa.Table:
            file = pq.ParquetFile(
                self._folder / entry.path, metadata=footer.metadata, memory_map=True
            )
            with file:
                return file.read_row_groups(groups.tolist())

        return _chosen(Rows.from_table(_told(entry, read)), sids, start, end)

    def _look(self, entry: FileEntry) -> _Footer:
        metadata = pq.read_metadata(self._folder / entry.path)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        sid = [group.column(0).statistics for group in groups]
        ts = [group.column(1).statistics for group in groups]
        return _Footer(
            metadata,
            np.array([s.min for s in sid], np.int32),
            np.array([s.max for s in sid], np.int32),
            np.array([_microseconds(t.min) for t in ts], np.int64),
            np.array([_microseconds(t.max) for t in ts], np.int64),
            np.array([group.num_rows for group in groups], np.int64),
        )

    def _map(self, entry: FileEntry) -> dict[int, Buckets]:
        with pa.memory_map(str(self._folder / rollup_path(entry.path))) as source:
            file = pa.ipc.open_file(source)
            batches = [file.get_batch(i) for i in range(file.num_record_batches)]
        return {
            level: Buckets(level, dict(zip(b.schema.names, map(_numpy, b.columns), strict=True)))
            for level, b in zip(LEVELS, batches, strict=True)
        }

    def _kept(
        self, kept: "OrderedDict[str, T]", most: int, entry: FileEntry,
        make: Callable[[FileEntry], T],
    ) -> T:  # fmt: skip
        with self._lock:
            if entry.path in kept:
                kept.move_to_end(entry.path)
                return kept[entry.path]
        made = _told(entry, lambda: make(entry))
        with self._lock:
            kept[entry.path] = made
            while len(kept) > most:
                kept.popitem(last=False)
        return made


def _told(entry: FileEntry, read: Callable[[], T]) -> T:
    """Return what `read` returns; put what goes wrong into words."""
    try:
        return read()
    except FileNotFoundError as error:
        raise Broken(f"the history file {entry.path} is not there any more",
                     hint="Try again", code="history.gone") from error  # fmt: skip
    except (OSError, pa.ArrowException, ValueError) as error:
        raise Broken(
            f"a history file cannot be read: {entry.path}: {str(error).splitlines()[0][:300]}",
            hint="Restart the platform: it checks every file and repairs what the bus holds",
            code="history.damaged", retryable=False,
        ) from error  # fmt: skip


def _chosen(rows: Rows, sids: Column, start: int, end: int) -> Rows:
    if len(sids) <= _FEW:
        firsts, lasts = (rows.sid.searchsorted(sids, side) for side in ("left", "right"))
        spans: list[tuple[int, int]] = []
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            if first < last:
                low, high = _between(rows.ts, first, last, start, end)
                if spans and spans[-1][1] == low:  # neighbours, whole: one stretch, no copy
                    low = spans.pop()[0]
                spans.append((low, high))
        return Rows.concat([rows.slice(low, high) for low, high in spans if low < high])
    mask = (rows.ts >= start) & (rows.ts < end)
    if len(sids) < int(rows.sid[-1]) - int(rows.sid[0]) + 1:
        mask &= np.isin(rows.sid, sids)
    return rows if mask.all() else rows.take(mask)


def _between(ts: Column, first: int, last: int, start: int, end: int) -> tuple[int, int]:
    own = ts[first:last]
    low, high = (int(own.searchsorted(np.int64(at))) for at in (start, end))
    return first + low, first + high


def _numpy(column: pa.Array) -> Column:
    found: Column = column.to_numpy()
    return found


def _microseconds(stamp: datetime) -> int:
    return (stamp - _EPOCH) // _MICROSECOND


def too_much(limit: int) -> Refused:
    """Return the refusal of an answer that would be too large."""
    return Refused(
        f"more than {limit} samples lie in this range",
        hint="Ask for a shorter range or fewer signals",
        code="history.much",
    )
