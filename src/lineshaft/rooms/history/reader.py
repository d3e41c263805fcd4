"""The reader: answers about samples, exact to the last accepted one, in any process.

Every answer is one cut: the tail first, the catalogue after it, then the files that the catalogue
named; rows of the tail up to the catalogue's position are left out. Nothing here waits for the
writer, and the writer never waits for a reader; where a file was compacted away in between, a new
cut is taken. `as_of` is a full sequence number: the answer as it was when that was the newest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeVar

import numpy as np
from sqlalchemy import Engine

from lineshaft.core.errors import Broken, Refused
from lineshaft.core.quality import BAD
from lineshaft.rooms.history.engine.revisions import merge
from lineshaft.rooms.history.engine.rollup import LEVELS, Buckets
from lineshaft.rooms.history.engine.rows import Column, Rows, full_seq
from lineshaft.rooms.history.engine.trend import (
    aligned_columns,
    break_at_gaps,
    choose_points,
    held_through,
    pixel_columns,
)
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.shelf import Shelf, too_much
from lineshaft.rooms.history.store import Catalogue, FactStore
from lineshaft.rooms.history.tail import Tail, TailBlock
from lineshaft.traces import traced

__all__ = ["FOREVER", "Cut", "Gap", "Reader", "Series"]

FOREVER: Final = 1 << 62
_MAX_RAW: Final = 20_000_000
_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")
_LOOK_BACK: Final = 600_000_000
_STEP: Final = 8
_APART: Final = 12
_TRIES: Final = 5

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Cut:
    """One moment of the history: the blocks of the tail that no file holds, the files that can be
    read, the number of its newest block, and that up to which rows count (None: all)."""

    blocks: Sequence[TailBlock]
    files: Sequence[FileEntry]
    newest: int
    as_of: int | None


class Reader:
    """Reads a site's history: files from the shelf, the rest from the tail."""

    def __init__(self, tail: Tail, engine: Engine, stream: str, folder: Path) -> None:
        self._tail = tail
        self._catalogue = Catalogue(engine, stream)
        self._facts = FactStore(engine)
        self._shelf = Shelf(folder)

    @traced("history.raw")
    def raw(
        self, sids: Sequence[int], start: int, end: int, limit: int = _MAX_RAW, *,
        as_of: int | None = None, revisions: bool = False,
    ) -> Rows:  # fmt: skip
        """Return the rows of these signals with start <= ts < end, sorted by sid, ts and seq: the
        one that holds of each (sid, ts), or with `revisions` all that ever did.

        Raises Refused where that is more than `limit` rows.
        """
        self.check_kept(sids, start)

        def answer() -> Rows:
            cut = self.cut(start, end, as_of)
            rows = merge(self._rows(cut, cut.files, sids, start, end), all_revisions=revisions)
            if len(rows) > limit:
                raise too_much(limit)
            return rows

        return _again(answer)

    @traced("history.trend")
    def trend(
        self, sids: Sequence[int], start: int, end: int, pixels: int,
        sources: dict[int, str], *, as_of: int | None = None,
    ) -> tuple[list[Series], list[Gap]]:  # fmt: skip
        """Return the points that draw each signal in at most `pixels` columns, and the gaps.

        The first point is the value that held at `start`, at its own stamp; lines break at gaps of
        the signal's source (`sources`: sid to source). Where a column is wider than a roll-up the
        columns are multiples of it and begin at its bounds, so that roll-ups give the same points
        as raw rows do.
        """
        gaps = self.gaps(start, end)
        wide = (end - start) // pixels
        level = max((level for level in LEVELS if level <= wide), default=None)
        gone: dict[int, int] = {}
        for sid, (before, at) in self._catalogue.retired(sids).items():
            if before > start:
                if as_of is not None:  # roll-ups tell only of today
                    raise _retired(sid, before, at)
                gone[sid] = before
        if gone and level is None:
            level = LEVELS[0]
        if level is None:
            begins, limit = pixel_columns(start, end, pixels), 4 * pixels
        else:
            begins, limit = aligned_columns(start, end, max(-(-wide // level), 1) * level), 0

        def answer() -> list[Series]:
            cut = self.cut(None, end, as_of)
            before = self._held_at(cut, sids, start)
            series = []
            for sid, rows in zip(
                sids, self._drawn(cut, sids, start, end, level, gaps, gone), strict=True
            ):
                own = merge([before.take(before.sid == sid), rows])
                keep: Column = np.arange(len(own))
                if len(own) > limit:
                    valued = np.where(own.q >= BAD, np.nan, own.v)
                    keep = choose_points(own.ts, valued, begins)
                mine = [(g.start, g.end) for g in gaps if g.source == sources.get(sid)]
                keep = np.union1d(keep, held_through(own.ts, mine))
                points = break_at_gaps(own.ts[keep], own.v[keep], own.q[keep], mine)
                series.append(Series(sid, *points))
            return series

        return _again(answer), gaps

    def last(self, sids: Sequence[int], *, as_of: int | None = None) -> Rows:
        """Return the newest row of each signal that has any, by sid."""
        if as_of is None:
            return self._tail.newest_rows(sids)
        return self.held(sids, FOREVER, as_of=as_of)

    @traced("history.held")
    def held(self, sids: Sequence[int], at: int, *, as_of: int | None = None) -> Rows:
        """Return the newest row of each signal with a stamp at or before `at`, by sid, however old
        it is.

        Where the rows of that time are gone the roll-ups tell it, without a number; Refused where
        they cannot.
        """
        self.check_kept(sids, at + 1)
        wanted = sorted(set(sids))
        return _again(lambda: self._held_at(self.cut(None, at + 1, as_of), wanted, at + 1))

    def check_kept(self, sids: Sequence[int], start: int) -> None:
        """Raise Refused where rows of these signals from `start` on were retired."""
        for sid, (before, at) in self._catalogue.retired(sids).items():
            if before > start:
                raise _retired(sid, before, at)

    @traced("history.extent")
    def extent(self, sids: Sequence[int]) -> tuple[int | None, int | None]:
        """Return the first and last stamp at which any of these signals has a sample."""
        newest = self.last(sids)
        if not len(newest):
            return None, None
        return _again(lambda: self._first(sids)), int(newest.ts.max())

    def gaps(self, start: int, end: int) -> list[Gap]:
        """Return the declared gaps that touch [start, end)."""
        found = self._facts.find(kinds=["link.gap"], start=start, end=end, limit=5000)
        return [
            Gap(str(f.subject), int(f.body["from"]), int(f.body["to"]), str(f.body.get("cause")))
            for f in found
        ]

    def cut(
        self, start: int | None = None, end: int | None = None, as_of: int | None = None
    ) -> Cut:
        """Return the present moment, of the files those with rows in [start, end)."""
        blocks = self._tail.blocks()
        row, files = self._catalogue.files(start, end)
        stored = 0 if row is None else full_seq(row.last.epoch, row.last.position)
        newest = max([stored, *(block.seq for block in blocks[-1:])])
        held = [block for block in blocks if block.seq > stored]
        if as_of is not None:
            held = [block for block in held if block.seq <= as_of]
            files = [file for file in files if file.seq_min <= as_of]
        return Cut(held, [file for file in files if file.kind != "damaged"], newest, as_of)

    def _rows(
        self, cut: Cut, files: Sequence[FileEntry], sids: Sequence[int], start: int, end: int
    ) -> list[Rows]:
        """Return the rows of some of the cut's files and of its tail, in parts."""
        wanted = sorted(set(sids))
        near = [f for f in files if f.kind != "rolled" and f.ts_max >= start and f.ts_min < end]
        parts = self._shelf.rows(near, wanted, start, end, as_of=cut.as_of, limit=_MAX_RAW)
        return parts + [rows for held in cut.blocks for rows in held.rows(wanted, start, end)]

    def _held_at(self, cut: Cut, sids: Sequence[int], end: int) -> Rows:
        """Return each signal's newest row before `end`: from the newest values where it is the
        newest of all, else from the last minutes, else from the files, newest first."""
        best = Rows.empty()
        if cut.as_of is None:
            best = self._tail.newest_rows(sids)
            best = best.take((best.ts < end) & (best.seq <= cut.newest))
        missing, begin = _without(sids, best), max(end - _LOOK_BACK, 0)
        best = merge([best, *self._rows(cut, cut.files, missing, begin, end)]).last_of_each()
        missing = _without(missing, best)
        best = merge([best, *self._rows(cut, (), missing, 0, begin)]).last_of_each()
        older = [file for file in cut.files if file.ts_min < begin]
        older.sort(key=lambda file: file.ts_max, reverse=True)
        while older and missing:
            # What lies above all stamps of the files not read yet is the newest.
            missing = _without(missing, best.take(best.ts > older[0].ts_max))
            group, older = older[:_STEP], older[_STEP:]
            for file in group:
                best = merge([best, *self._newest_in(cut, file, missing, begin)]).last_of_each()
        return best

    def _newest_in(self, cut: Cut, file: FileEntry, sids: Sequence[int], end: int) -> list[Rows]:
        """Return rows of a file among which is each signal's newest before `end`; its roll-ups say
        where that is, and stand for it where the rows are gone."""
        since, rows_are_gone = 0, file.kind == "rolled"
        if any(self._is_rolled(file, sid, cut.as_of) for sid in sids):
            newest = self._shelf.buckets(file, LEVELS[-1]).newest(sids, end)
            if rows_are_gone and file.ts_max < end:
                points = newest.points()
                return [points.take(~np.isnan(points.v) | (points.q >= BAD))]  # else a text's
            sids = newest.columns["sid"].tolist()
            since = int(newest.stamps("first").min(initial=end))
        if rows_are_gone:
            return []
        return self._shelf.rows([file], sids, since, end, as_of=cut.as_of, limit=_MAX_RAW)

    def _drawn(
        self, cut: Cut, sids: Sequence[int], start: int, end: int, level: int | None,
        gaps: Sequence[Gap], gone: Mapping[int, int],
    ) -> list[Rows]:  # fmt: skip
        """Return for each signal rows that hold all points that a trend might choose."""
        if level is None:
            rows = merge(self._rows(cut, cut.files, sids, start, end))
            if len(rows) > _MAX_RAW:
                raise too_much(_MAX_RAW)
            spans = [[int(np.searchsorted(rows.sid, np.int32(s), side)) for side in _SIDES]
                     for s in sids]  # fmt: skip
            return [rows.slice(first, last) for first, last in spans]
        edges = np.array([at for gap in gaps for at in (gap.start, gap.end)], np.int64) // level
        return [
            self._from_rollups(cut, sid, start, end, level, edges, gone.get(sid, 0)) for sid in sids
        ]

    def _from_rollups(
        self, cut: Cut, sid: int, start: int, end: int, level: int, edges: Column, gone: int
    ) -> Rows:
        """Return the points of a signal's roll-ups in [start, end), and raw rows where roll-ups do
        not tell all: in buckets cut by the range or by a gap (`edges`), and in those that newer
        rows reach into. Before the stamp `gone` there are only roll-ups."""
        first, last = -(-start // level), end // level
        if start < gone:
            first, last = start // level, max(last, -(-min(end, gone) // level))
        rolled = [file for file in cut.files if self._is_rolled(file, sid, cut.as_of)]
        named = {file.path for file in rolled}
        plain = [file for file in cut.files if file.path not in named]
        parts = [self._shelf.buckets(file, level).of(sid, first, last) for file in rolled
                 if file.ts_max >= start and file.ts_min < end]  # fmt: skip
        buckets = Buckets.joined(parts) if parts else Buckets.empty(level)
        fresh = self._rows(cut, plain, [sid], start, end)
        touched = np.concatenate([np.unique(rows.ts // level) for rows in fresh] + [edges])
        numbers = buckets.columns["bucket"]
        stale = np.isin(numbers, touched) | buckets.crossed()
        stale |= np.isin(numbers, numbers[stale])
        stale &= buckets.start >= gone
        found = [*fresh, buckets.take(~stale).points()]
        again = np.unique(np.concatenate([numbers[stale], [first - 1, last]]))
        for low, high in _stretches(again):
            begin, stop = max(low * level, start), min((high + 1) * level, end)
            if begin < stop:
                found += self._shelf.rows(
                    [f for f in rolled
                     if f.kind != "rolled" and f.ts_max >= begin and f.ts_min < stop],
                    [sid], begin, stop, as_of=cut.as_of, limit=_MAX_RAW,
                )  # fmt: skip
        return merge(found)

    @staticmethod
    def _is_rolled(file: FileEntry, sid: int, as_of: int | None) -> bool:
        whole = as_of is None or file.seq_max <= as_of
        return bool(file.rollup_size) and whole and file.sid_min <= sid <= file.sid_max

    def _first(self, sids: Sequence[int]) -> int:
        cut, first = self.cut(), FOREVER
        for file in cut.files:  # ordered by their first stamp
            if file.ts_min >= first:
                break
            for rows in self._rows(Cut((), (), 0, None), [file], sids, 0, FOREVER):
                first = min(first, int(rows.ts.min()))
            if file.kind == "rolled":
                buckets = self._shelf.buckets(file, LEVELS[0])
                own = buckets.stamps("first")[np.isin(buckets.columns["sid"], sids)]
                first = min(first, int(own.min())) if len(own) else first
        for rows in self._rows(cut, (), sids, 0, FOREVER):
            first = min(first, int(rows.ts.min()))
        return first


def _retired(sid: int, before: int, at: int) -> Refused:
    """Return the refusal of an answer whose rows are gone."""
    last, day = (datetime.fromtimestamp(t / 1e6, UTC).isoformat() for t in (before, at))
    return Refused(
        f"the samples of signal {sid} before {last} were retired on {day}",
        hint="Ask for a later time, or for a trend: its roll-ups may still be there",
        code="history.retired", status=410,
    )  # fmt: skip


def _without(sids: Sequence[int], rows: Rows) -> list[int]:
    """Return those of these signals that have no row among `rows`, ascending."""
    return sorted(set(sids).difference(rows.sid.tolist()))


def _stretches(numbers: Column) -> list[tuple[int, int]]:
    """Return ascending numbers as stretches (first, last), joined where they lie near by."""
    if not len(numbers):
        return []
    apart = np.flatnonzero(np.diff(numbers) > _APART)
    firsts, lasts = np.append(0, apart + 1), np.append(apart, len(numbers) - 1)
    return list(zip(numbers[firsts].tolist(), numbers[lasts].tolist(), strict=True))


def _again(answer: Callable[[], T]) -> T:
    """Return the answer, from a new cut where a file of the old one was compacted away."""
    for _ in range(_TRIES - 1):
        try:
            return answer()
        except Broken as error:
            if error.code != "history.gone":
                raise
    return answer()
