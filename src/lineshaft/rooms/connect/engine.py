"""The thinking of the room `connect`: what is held until the bus has it, and what is missing.

Pure: times are arguments. `Buffer` answers which samples wait and which go into the next block;
what is missing after an interruption is the business of `continuity`.

Rules: a block holds rows in the order of their arrival, at most BLOCK_ROWS of them and never rows
whose arrivals lie more than BLOCK_SPAN_US apart (the block's arrival is that of its first row, and
stamps are judged by it); what a full buffer throws away is its oldest rows, and it says which.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lineshaft.core.quality import Reason, uncertain
from lineshaft.core.samples import Floats, Ints, SampleBlock

__all__ = ["BLOCK_ROWS", "BLOCK_SPAN_US", "Buffer", "Gap", "Mask", "Rows", "tamed"]

BLOCK_ROWS: Final = 10_000
BLOCK_SPAN_US: Final = 500_000
_TEXT_CHARS: Final = 500_000  # of one block; keeps it far below what the bus takes in one message
_AHEAD_US: Final = 60_000_000
_PAGE: Final = 4096

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Gap:
    """From … to (µs UTC): samples with stamps in between may be missing, because of `cause`."""

    start: int
    end: int
    cause: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples of one notification: columns `(n,)`; `s` only where a text is among them."""

    sid: Ints
    ts: Ints
    v: Floats
    q: Ints
    s: Sequence[str | None] | None
    arrival: int

    def __len__(self) -> int:
        return len(self.sid)

    def where(self, keep: Mask) -> "Rows":
        """Return the rows where `keep` holds."""
        texts = None if self.s is None else [t for t, k in zip(self.s, keep, strict=True) if k]
        return Rows(self.sid[keep], self.ts[keep], self.v[keep], self.q[keep], texts, self.arrival)


def tamed(rows: Rows) -> Rows:
    """Return the rows with stamps that can be: what lies before 1970 or more than 60 s ahead of
    its arrival takes the arrival, one µs apart so that none hides another, and becomes
    Uncertain/clock unless it is Bad."""
    wild = (rows.ts <= 0) | (rows.ts > rows.arrival + _AHEAD_US)
    count = int(wild.sum())
    if not count:
        return rows
    ts, q = rows.ts.copy(), rows.q.copy()
    ts[wild] = rows.arrival - count + 1 + np.arange(count)
    q[wild & (q < 512)] = uncertain(Reason.CLOCK)
    return Rows(rows.sid, ts, rows.v, q, rows.s, rows.arrival)


class _Page:
    """Columns of a fixed length, filled from the front."""

    __slots__ = ("arrival", "end", "q", "s", "sid", "start", "ts", "v")

    def __init__(self) -> None:
        self.sid = np.empty(_PAGE, np.int32)
        self.ts = np.empty(_PAGE, np.int64)
        self.v = np.empty(_PAGE, np.float64)
        self.q = np.empty(_PAGE, np.int32)
        self.arrival = np.empty(_PAGE, np.int64)
        self.s: list[str | None] | None = None
        self.start = self.end = 0

    def fill(self, rows: Rows, first: int) -> int:
        """Take rows from `first` on; return how many fitted."""
        count = min(_PAGE - self.end, len(rows) - first)
        into, of = slice(self.end, self.end + count), slice(first, first + count)
        self.sid[into], self.ts[into] = rows.sid[of], rows.ts[of]
        self.v[into], self.q[into] = rows.v[of], rows.q[of]
        self.arrival[into] = rows.arrival
        if rows.s is not None or self.s is not None:
            if self.s is None:
                self.s = [None] * self.end
            self.s.extend([None] * count if rows.s is None else rows.s[of])
        self.end += count
        return count


class Buffer:
    """Samples that wait for the bus, oldest first, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pages: deque[_Page] = deque()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Rows, cause: str = "buffer") -> Gap | None:
        """Take rows; return what had to go for them, if anything."""
        first = 0
        while first < len(rows):
            if not self._pages or self._pages[-1].end == _PAGE:
                self._pages.append(_Page())
            first += self._pages[-1].fill(rows, first)
        self._rows += len(rows)
        return self._drop(self._rows - self._limit, cause)

    def _drop(self, count: int, cause: str) -> Gap | None:
        low, high = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        left = count
        while left > 0:
            page = self._pages[0]
            some = min(left, page.end - page.start)
            lost = page.ts[page.start : page.start + some]
            low, high = min(low, int(lost.min())), max(high, int(lost.max()))
            self._release(some)
            left -= some
        return Gap(low, high, cause) if count > 0 else None

    def cut(self, origin: str) -> SampleBlock | None:
        """Take the oldest rows that make one block; None where nothing waits."""
        if not self._rows:
            return None
        parts: list[tuple[_Page, slice]] = []
        arrival = int(self._pages[0].arrival[self._pages[0].start])
        rows = chars = 0
        for page in self._pages:
            count = min(page.end - page.start, BLOCK_ROWS - rows)
            part = page.arrival[page.start : page.start + count]
            near = (part >= arrival - BLOCK_SPAN_US) & (part <= arrival + BLOCK_SPAN_US)
            whole = bool(near.all())
            count = count if whole else int(near.argmin())
            if page.s is not None:
                fitting, chars = _fitting(page.s, page.start, count, chars)
                whole, count = whole and fitting == count, fitting
            if count:
                parts.append((page, slice(page.start, page.start + count)))
            rows += count
            if not whole or rows == BLOCK_ROWS:
                break
        block = _block(parts, origin, arrival)
        for _, part_of in parts:
            self._release(part_of.stop - part_of.start)
        return block

    def _release(self, count: int) -> None:
        """Forget `count` rows of the oldest page."""
        page = self._pages[0]
        page.start += count
        self._rows -= count
        if page.start == page.end:
            self._pages.popleft()


def _fitting(texts: Sequence[str | None], start: int, count: int, chars: int) -> tuple[int, int]:
    """Return how many of `count` texts fit into a block that holds `chars`; one always does."""
    for index in range(count):
        chars += len(texts[start + index] or "")
        if chars > _TEXT_CHARS and (index or chars > len(texts[start + index] or "")):
            return index, chars
    return count, chars


def _block(parts: Sequence[tuple[_Page, slice]], origin: str, arrival: int) -> SampleBlock:
    texts: list[str | None] | None = None
    if any(page.s is not None for page, _ in parts):
        texts = []
        for page, part in parts:
            texts.extend([None] * (part.stop - part.start) if page.s is None else page.s[part])
    return SampleBlock.from_columns(
        np.concatenate([page.sid[part] for page, part in parts]),
        np.concatenate([page.ts[part] for page, part in parts]),
        np.concatenate([page.v[part] for page, part in parts]),
        np.concatenate([page.q[part] for page, part in parts]),
        s=texts if texts is not None and any(t is not None for t in texts) else None,
        origin=origin,
        arrival=arrival,
    )
