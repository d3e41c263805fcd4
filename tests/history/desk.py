"""History without a bus: blocks go through the engine, the files and the catalogue by hand.

`Desk` does what the writer does between the stream and a commit, on a real disk and a real
database, so that a test decides which blocks lie in files and which in the tail. `Table` is the
answer that everything is held against: a dictionary (sid, ts) to the row with the highest number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lineshaft.core.samples import SampleBlock
from lineshaft.records import metadata, open_records
from lineshaft.rooms.history.compactor import Compactor
from lineshaft.rooms.history.engine.commit import arrange
from lineshaft.rooms.history.engine.compaction import choose
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import Rows, full_seq
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.model import Checkpoint
from lineshaft.rooms.history.reader import Reader
from lineshaft.rooms.history.store import Catalogue
from lineshaft.rooms.history.tail import TailBlock

DAY = 86_400_000_000
START = 19_700 * DAY
Row = tuple[int, int, float | None, str | None, int]
"""sid, ts, v, s, q"""
Listed = tuple[int, int, float | None, str | None, int, int]
"""sid, ts, v, s, q, seq"""


def block(
    rows: Sequence[Row], arrival: int = START + 400 * DAY, origin: str = "test"
) -> SampleBlock:
    """Make a block of rows; of several with one (sid, ts) the last stays."""
    sid, ts, v, s, q = zip(*rows, strict=True)
    values = [np.nan if value is None else value for value in v]
    texts = list(s) if any(text is not None for text in s) else None
    return SampleBlock.from_columns(
        list(sid), list(ts), values, list(q), s=texts, origin=origin, arrival=arrival
    )


def rows_of(block: SampleBlock) -> list[Row]:
    """Return what the block holds, row by row."""
    columns = (block.batch.column(i).to_pylist() for i in (0, 2, 3, 4))
    sid, v, s, q = columns
    return list(zip(sid, block.ts.tolist(), v, s, q, strict=True))


def listed(rows: Rows) -> list[Listed]:
    """Return rows as tuples (sid, ts, v, s, q, seq), null for NaN."""
    texts = [None] * len(rows) if rows.s is None else rows.s.to_pylist()
    values = [None if np.isnan(v) else v for v in rows.v.tolist()]
    columns = (rows.sid.tolist(), rows.ts.tolist(), values, texts)
    return list(zip(*columns, rows.q.tolist(), rows.seq.tolist(), strict=True))


def _said(v: float | None, s: str | None, q: int) -> tuple[str, str | None, int]:
    """Return what a row says, so that 0.0 and -0.0 differ as their bits do."""
    return repr(v), s, q


def unnumbered(rows: Sequence[Listed]) -> list[tuple[object, ...]]:
    """Return listed rows without their numbers: the newest values carry that of a repetition."""
    return [row[:5] for row in rows]


@dataclass
class Table:
    """Every revision of every (sid, ts), in the order of their numbers."""

    rows: dict[tuple[int, int], list[tuple[float | None, str | None, int, int]]] = field(
        default_factory=dict
    )

    def add(self, seq: int, block: SampleBlock) -> None:
        """Take in a block of number `seq`; numbers only rise. A row that repeats says nothing."""
        for sid, ts, v, s, q in rows_of(block):
            known = self.rows.setdefault((sid, ts), [])
            if not known or _said(*known[-1][:3]) != _said(v, s, q):
                known.append((v, s, q, seq))

    def raw(
        self, sids: Sequence[int], start: int, end: int, as_of: int = 1 << 62, *,
        revisions: bool = False,
    ) -> list[Listed]:  # fmt: skip
        """Return the rows of these signals with start <= ts < end, by sid and ts."""
        found: list[Listed] = []
        for (sid, ts), known in sorted(self.rows.items()):
            if sid in sids and start <= ts < end:
                then = [(sid, ts, *row) for row in known if row[3] <= as_of]
                found += then if revisions else then[-1:]
        return found

    def newest(
        self, sids: Sequence[int], before: int = 1 << 62, as_of: int = 1 << 62
    ) -> list[Listed]:
        """Return the last row of each signal below `before`, by sid."""
        found = {row[0]: row for row in self.raw(sids, 0, before, as_of)}
        return [found[sid] for sid in sorted(found)]


class HeldTail:
    """A tail that was told its blocks: what `Reader` asks of the one that follows the stream."""

    def __init__(self) -> None:
        self.last = LastValues()
        self.held: list[TailBlock] = []

    def blocks(self) -> list[TailBlock]:
        return list(self.held)

    def newest_rows(self, sids: Sequence[int]) -> Rows:
        return self.last.of(np.unique(np.array(sids, np.int32)))


class Desk:
    """A stream's files, catalogue, tail and reader, moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.engine = open_records(folder / "records.sqlite")
        metadata.create_all(self.engine)
        self.catalogue = Catalogue(self.engine, "DATA_t")
        self.folder = folder / "history"
        self.files = FileStore(self.folder, lambda _: None)
        self.table = Table()
        self.tail = HeldTail()
        self.reader = Reader(self.tail, self.engine, "DATA_t", self.folder)
        self.catalogue.take_lease("lease")
        self.catalogue.open_epoch("lease", "token", Checkpoint(1, 0, ""), 0)
        self.epoch, self.position = 1, 0
        self._kept = Checkpoint(1, 0, "")
        self._waiting: list[tuple[int, SampleBlock]] = []
        self._last = LastValues()

    def close(self) -> None:
        self.engine.dispose()

    def accept(self, block: SampleBlock) -> None:
        """Take a block as the stream would: the tail has it at once."""
        self.position += 1
        seq = full_seq(self.epoch, self.position)
        self.table.add(seq, block)
        self._waiting.append((seq, block))
        self.tail.held.append(TailBlock(seq, block))
        self.tail.last.update(block, seq)

    def commit(self) -> None:
        """Do what the writer does with the blocks that wait."""
        after = Checkpoint(self.epoch, self.position, f"id{self.position}")
        parts = arrange(self._waiting, self._last) if self._waiting else []
        entries = self.files.write(parts, "lease")
        touched = {number for part in parts for number in self._last.touched(part.rows.sid)}
        chunks = {number: self._last.chunk_rows(number).to_bytes() for number in touched}
        self.catalogue.commit("lease", self._kept, after, entries, chunks, 0)
        self._kept, self._waiting = after, []

    def prune(self) -> None:
        """Drop from the tail what the catalogue has, as it does once a second."""
        stored = full_seq(self._kept.epoch, self._kept.position)
        self.tail.held = [held for held in self.tail.held if held.seq > stored]

    def restart(self) -> None:
        """Start writer and tail from the catalogue, as after a crash."""
        _, chunks = self.catalogue.last_chunks()
        self._last, fresh = LastValues(), HeldTail()
        for content in chunks.values():
            self._last.update_rows(Rows.from_bytes(content))
            fresh.last.update_rows(Rows.from_bytes(content))
        for seq, held in self._waiting:
            fresh.held.append(TailBlock(seq, held))
            fresh.last.update(held, seq)
        self.tail = fresh
        self.reader = Reader(self.tail, self.engine, "DATA_t", self.folder)

    def compact(self) -> bool:
        """Do what the compactor does when nothing new has come for long; return whether any."""
        _, named = self.catalogue.files()
        settled = frozenset(file.path for file in named)
        job = choose(named, START // DAY + 1000, settled)
        if job is not None:
            compactor = Compactor(self.engine, "DATA_t", self.files, lease="lease")
            compactor.compact(job)
            for file in job.files:
                self.files.remove(file)
        return job is not None

    def new_epoch(self) -> None:
        """Go on in a new epoch, as after a stream was made anew."""
        self.commit()
        self.prune()
        self.epoch, self.position = self.epoch + 1, 0
        self._kept = Checkpoint(self.epoch, 0, "")
        self.catalogue.open_epoch("lease", f"token{self.epoch}", self._kept, 0)
