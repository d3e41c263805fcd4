"""The reader: answers about samples, exact to the last accepted one, in any process.

Every answer is one cut: the tail first, the catalogue after it, then the files that the catalogue
named; rows of the tail up to the catalogue's position are left out. Nothing here waits for the
writer, and the writer never waits for a reader.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import duckdb
import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.history.engine.rows import Column, Rows, full_seq
from lineshaft.rooms.history.engine.trend import break_at_gaps, choose_points, held_through, merge
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.store import Catalogue, FactStore
from lineshaft.rooms.history.tail import Tail, TailBlock

__all__ = ["Gap", "Reader", "Series"]

FOREVER: Final = 1 << 62
_MAX_RAW: Final = 20_000_000
_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")
_LOOK_BACK_FILES: Final = 2_000
_STEP: Final = 8
_QUERY = (
    "SELECT sid, ts, v, s, q, seq FROM read_parquet($files) "
    "WHERE list_contains($sids, sid) AND sid BETWEEN $low AND $high "
    "AND ts >= make_timestamptz($start::BIGINT) AND ts < make_timestamptz($end::BIGINT) "
    "LIMIT $most"
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a source could not deliver, as it declared."""

    source: str
    start: int
    end: int
    cause: str


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one signal's trend: `ts` µs, `v` NaN for null, `q`; shape `(n,)`."""

    sid: int
    ts: Column
    v: Column
    q: Column


class Reader:
    """Reads a site's history: files through DuckDB, the rest from the tail."""

    def __init__(self, tail: Tail, engine: Engine, stream: str, folder: Path) -> None:
        self._tail = tail
        self._catalogue = Catalogue(engine, stream)
        self._facts = FactStore(engine)
        self._folder = folder
        self._duck = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
        self._duck.execute("SET TimeZone='UTC'; SET parquet_metadata_cache=true")
        self._lock = threading.Lock()

    def raw(self, sids: Sequence[int], start: int, end: int, limit: int = _MAX_RAW) -> Rows:
        """Return the rows of these signals with start <= ts < end, sorted by sid and ts.

        Raises Refused where that is more than `limit` rows.
        """
        rows = merge(self._parts(sids, start, end))
        if len(rows) > limit:
            raise _too_much(limit)
        return rows

    def trend(
        self, sids: Sequence[int], start: int, end: int, pixels: int,
        sources: dict[int, str],
    ) -> tuple[list[Series], list[Gap]]:  # fmt: skip
        """Return the points that draw each signal in `pixels` columns, and the gaps in between.

        The first point is the value that held at `start`, at its own stamp; lines break at gaps of
        the signal's source (`sources`: sid to source).
        """
        gaps = self.gaps(start, end)
        rows = self.raw(sids, start, end)
        before = self._held_at(sids, start)
        series = []
        for sid in sids:
            first, last = (np.searchsorted(rows.sid, np.int32(sid), side) for side in _SIDES)
            own = merge([before.take(before.sid == sid), rows.slice(int(first), int(last))])
            keep = choose_points(own.ts, own.v, start, end, pixels)
            mine = [(g.start, g.end) for g in gaps if g.source == sources.get(sid)]
            keep = np.union1d(keep, held_through(own.ts, mine))
            points = break_at_gaps(own.ts[keep], own.v[keep], own.q[keep], mine)
            series.append(Series(sid, *points))
        return series, gaps

    def last(self, sids: Sequence[int]) -> Rows:
        """Return the newest row of each signal that has any, by sid."""
        return self._tail.newest_rows(sids)

    def extent(self, sids: Sequence[int]) -> tuple[int | None, int | None]:
        """Return the first and last stamp at which any of these signals has a sample."""
        newest = self.last(sids)
        if not len(newest):
            return None, None
        first = FOREVER
        files = self._files(sids, None, None)
        groups = deque(files[at : at + _STEP] for at in range(0, len(files), _STEP))
        while groups and groups[0][0].ts_min < first:  # ordered by their first stamp
            rows = self._read(groups.popleft(), sids, 0, FOREVER)
            first = min(first, int(rows.ts.min())) if len(rows) else first
        for part in self._tail_parts(self._tail.blocks(), sids, 0, FOREVER, 0):
            first = min(first, int(part.ts.min()))
        return first, int(newest.ts.max())

    def gaps(self, start: int, end: int) -> list[Gap]:
        """Return the declared gaps that touch [start, end)."""
        found = self._facts.find(kinds=["link.gap"], start=start, end=end, limit=5000)
        return [
            Gap(str(f.subject), int(f.body["from"]), int(f.body["to"]), str(f.body.get("cause")))
            for f in found
        ]

    def _parts(self, sids: Sequence[int], start: int, end: int) -> list[Rows]:
        blocks = self._tail.blocks()
        row, files = self._catalogue.files(start, end)
        stored = 0 if row is None else full_seq(row.last.epoch, row.last.position)
        kept = self._read(_about(files, sids), sids, start, end)
        return [kept, *self._tail_parts(blocks, sids, start, end, stored)]

    @staticmethod
    def _tail_parts(
        blocks: Sequence[TailBlock], sids: Sequence[int], start: int, end: int, stored: int
    ) -> list[Rows]:
        wanted = sorted(set(sids))
        held = (block for block in blocks if block.seq > stored)
        return [rows for block in held for rows in block.rows(wanted, start, end)]

    def _held_at(self, sids: Sequence[int], start: int) -> Rows:
        """Return each signal's newest row before `start`, searching files from the newest back."""
        newest = self.last(sids)
        best = newest.take(newest.ts < start)
        missing = newest.sid[newest.ts >= start].tolist()
        blocks = self._tail.blocks()
        best = _latest([best, *self._tail_parts(blocks, missing, 0, start, 0)])
        files = self._files(missing, None, start)
        files = sorted(files, key=lambda f: f.ts_max, reverse=True)[:_LOOK_BACK_FILES]
        while files and missing:
            # What lies above all stamps of the files not read yet is the newest.
            done = set(best.sid[best.ts > files[0].ts_max].tolist())
            missing = [sid for sid in missing if sid not in done]
            group, files = files[:_STEP], files[_STEP:]
            best = _latest([best, self._read(group, missing, 0, start)])
        return best

    def _files(self, sids: Sequence[int], start: int | None, end: int | None) -> list[FileEntry]:
        """Return the readable files that may hold rows of these signals, by their first stamp."""
        _, named = self._catalogue.files(start, end)
        return _about(named, sids)

    def _read(self, files: Sequence[FileEntry], sids: Sequence[int], start: int, end: int) -> Rows:
        if not files or not sids:
            return Rows.empty()
        with self._lock:
            cursor = self._duck.cursor()
        try:
            table: pa.Table = cursor.sql(
                _QUERY,
                params={
                    "files": [str(self._folder / entry.path) for entry in files],
                    "sids": list(sids), "low": min(sids), "high": max(sids),
                    "start": max(start, 0), "end": min(end, FOREVER), "most": _MAX_RAW + 1,
                },
            ).to_arrow_table()  # fmt: skip
        except duckdb.Error as error:
            raise Broken(
                f"a history file cannot be read: {str(error).splitlines()[0][:300]}",
                hint="Restart the platform: it checks every file and repairs what the bus holds",
                code="history.damaged", retryable=False,
            ) from error  # fmt: skip
        finally:
            cursor.close()
        if table.num_rows > _MAX_RAW:
            raise _too_much(_MAX_RAW)
        return Rows.from_table(table)


def _about(files: Sequence[FileEntry], sids: Sequence[int]) -> list[FileEntry]:
    if not sids:
        return []
    least, most = min(sids), max(sids)
    readable = (f for f in files if f.kind != "damaged")
    return [f for f in readable if f.sid_min <= most and f.sid_max >= least]


def _latest(parts: Sequence[Rows]) -> Rows:
    """Return the newest row of each signal."""
    rows = merge(parts)
    return rows.take(np.append(rows.sid[1:] != rows.sid[:-1], True)) if len(rows) else rows


def _too_much(limit: int) -> Refused:
    return Refused(
        f"more than {limit} samples lie in this range",
        hint="Ask for a shorter range or fewer signals",
        code="history.much",
    )
