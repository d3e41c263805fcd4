"""The newest sample of every signal: high-water mark of the writer, last values of the reader.

Signals are grouped in chunks of 65,536 ids (the range an edge leases), each a few dense arrays, so
that a block updates thousands of signals with a handful of array operations.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.engine.rows import Column, Rows

__all__ = ["CHUNK", "LastValues"]

CHUNK: Final = 1 << 16
_NEVER: Final = np.iinfo(np.int64).min


class _Chunk:
    """Dense columns of one range of signals; `ts` is _NEVER where nothing is known."""

    def __init__(self) -> None:
        self.ts = np.full(CHUNK, _NEVER, np.int64)
        self.v = np.full(CHUNK, np.nan)
        self.q = np.zeros(CHUNK, np.int32)
        self.seq = np.zeros(CHUNK, np.int64)
        self.text: dict[int, str] = {}

    def put_texts(self, sid: Column, rows: Column, texts: list[str | None] | None) -> None:
        """Keep the texts of these rows; a row without one clears its signal's."""
        for row in rows.tolist():
            position, text = int(sid[row]) & (CHUNK - 1), None if texts is None else texts[row]
            if text is None:
                self.text.pop(position, None)
            else:
                self.text[position] = text


class LastValues:
    """Newest sample by signal. Not thread-safe: one owner updates and reads it."""

    def __init__(self) -> None:
        self._chunks: dict[int, _Chunk] = {}

    def high_water(self, sid: Column) -> Column:
        """Return the newest stamp of each signal, shape `(n,)`; int64's least where none."""
        found = np.full(len(sid), _NEVER, np.int64)
        for number, first, end in _spans(sid):
            if number in self._chunks:
                found[first:end] = self._chunks[number].ts[sid[first:end] & (CHUNK - 1)]
        return found

    def update(self, block: SampleBlock, seq: int) -> None:
        """Take in a block: per signal its newest row, where that is newer than what is known."""
        sid, ts = block.sid, block.ts
        v = block.batch.column(2).to_numpy(zero_copy_only=False)
        q = block.batch.column(4).to_numpy()
        s = block.batch.column(3)
        last_of_signal = sid[1:] != sid[:-1]
        if not last_of_signal.all():
            ends = np.append(np.flatnonzero(last_of_signal), len(sid) - 1)
            sid, ts, v, q, s = sid[ends], ts[ends], v[ends], q[ends], s.take(pa.array(ends))
        texts = None if s.null_count == len(s) else s.to_pylist()
        self._put(sid, ts, v, q, np.full(len(sid), seq, np.int64), texts)

    def update_rows(self, rows: Rows) -> None:
        """Take in rows sorted by sid and stamp."""
        if not len(rows):
            return
        last = rows.last_of_each()
        texts = None if last.s is None else last.s.to_pylist()
        self._put(last.sid, last.ts, last.v, last.q, last.seq, texts)

    def _put(
        self, sid: Column, ts: Column, v: Column, q: Column, seq: Column,
        texts: list[str | None] | None,
    ) -> None:  # fmt: skip
        for number, first, end in _spans(sid):
            chunk = self._chunks.get(number) or self._chunks.setdefault(number, _Chunk())
            at = _places(sid[first:end])
            span = slice(first, end)
            newer = ts[span] >= chunk.ts[at]
            if newer.all():
                chunk.ts[at], chunk.v[at] = ts[span], v[span]
                chunk.q[at], chunk.seq[at] = q[span], seq[span]
            else:
                some, where = (sid[span] & (CHUNK - 1))[newer], np.flatnonzero(newer) + first
                chunk.ts[some], chunk.v[some] = ts[where], v[where]
                chunk.q[some], chunk.seq[some] = q[where], seq[where]
            if texts is not None or chunk.text:
                rows = np.flatnonzero(newer) + first
                chunk.put_texts(sid, rows, texts)

    def of(self, sid: Column) -> Rows:
        """Return the newest rows of the signals that have any; `sid` ascending, shape `(n,)`."""
        return Rows.concat([self._rows(n, sid[i:j] & (CHUNK - 1)) for n, i, j in _spans(sid)])

    def changed(self, sid: Column, after: int) -> Rows:
        """Return the newest rows among `sid` that came with a number above `after`."""
        rows = self.of(sid)
        return rows.take(rows.seq > after)

    def _rows(self, number: int, at: Column) -> Rows:
        chunk = self._chunks.get(number)
        if chunk is None:
            return Rows.empty()
        at = at[chunk.ts[at] != _NEVER]
        texts = None
        if chunk.text:
            texts = pa.array([chunk.text.get(i) for i in at.tolist()], pa.utf8())
        sid = (at + number * CHUNK).astype(np.int32)
        return Rows(sid, chunk.ts[at], chunk.v[at], chunk.q[at], chunk.seq[at], texts)

    def chunk_rows(self, number: int) -> Rows:
        """Return all newest rows of one chunk, for keeping."""
        return self._rows(number, np.arange(CHUNK, dtype=np.int32))

    def touched(self, sid: Column) -> Iterator[int]:
        """Return the numbers of the chunks that ascending `sid` fall into."""
        return (number for number, _, _ in _spans(sid))

    def numbers(self) -> Iterable[int]:
        """Return the numbers of all chunks."""
        return self._chunks.keys()

    def copy(self) -> "LastValues":
        """Return an independent copy, for trying out an update that may be refused."""
        twin = LastValues()
        for number, chunk in self._chunks.items():
            fresh = twin._chunks[number] = _Chunk.__new__(_Chunk)
            fresh.ts, fresh.v = chunk.ts.copy(), chunk.v.copy()
            fresh.q, fresh.seq = chunk.q.copy(), chunk.seq.copy()
            fresh.text = dict(chunk.text)
        return twin


def _places(sid: Column) -> Column | slice:
    """Return where ascending ids of one chunk stand: a slice where they are consecutive."""
    first, last = int(sid[0]), int(sid[-1])
    if last - first + 1 == len(sid):
        return slice(first & (CHUNK - 1), (last & (CHUNK - 1)) + 1)
    return sid & (CHUNK - 1)


def _spans(sid: Column) -> Iterator[tuple[int, int, int]]:
    """Yield (chunk number, first, end) of ascending signal ids."""
    first = 0
    while first < len(sid):
        number, end = int(sid[first]) // CHUNK, len(sid)
        if int(sid[-1]) // CHUNK != number:
            end = int(sid.searchsorted(np.int32(number * CHUNK + CHUNK - 1), "right"))
        yield number, first, end
        first = end
