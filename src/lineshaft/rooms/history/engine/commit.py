"""From blocks in arrival order to what one commit writes.

Per signal there is a high-water stamp. Rows above it go to *sequence* files, which are therefore
disjoint and never need a look at one another; all others go to *late* files, merged when read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import Column, Rows, gather, order_by_signal

__all__ = ["DAY_US", "Part", "arrange"]

DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one file to be: sorted by sid and stamp, all of one UTC `day` (days since 1970)."""

    kind: str
    day: int
    rows: Rows


def arrange(blocks: Sequence[tuple[int, SampleBlock]], last: LastValues) -> list[Part]:
    """Sort blocks into the parts of one commit and move `last` forward over them."""
    rows = gather(blocks)
    order = order_by_signal(rows.sid)
    rows = rows.take(order)
    late = _late(rows, last)
    if late is None:
        parts = [("sequence", rows)]
    else:
        behind = rows.take(late)
        behind = behind.take(np.lexsort((behind.seq, behind.ts, behind.sid)))
        parts = [("sequence", rows.take(~late)), ("late", behind)]
    for _, some in parts:  # a late row may correct the newest one
        last.update_rows(some)
    return [Part(kind, day, cut) for kind, some in parts for day, cut in _by_day(some)]


def _late(rows: Rows, last: LastValues) -> Column | None:
    """Return the mask of rows that do not lie above all before them of their signal, or None."""
    starts = np.flatnonzero(np.concatenate(([True], rows.sid[1:] != rows.sid[:-1])))
    before = np.empty(len(rows), np.int64)
    before[1:] = rows.ts[:-1]
    before[starts] = last.high_water(rows.sid[starts])
    behind = rows.ts <= before
    if not behind.any():
        return None
    # Only signals with a row behind its neighbour need the running maximum.
    ends = np.append(starts[1:], len(rows))
    affected = np.unique(np.searchsorted(starts, np.flatnonzero(behind), side="right") - 1)
    for first, end in zip(starts[affected].tolist(), ends[affected].tolist(), strict=True):
        stamps = rows.ts[first:end]
        highest = np.maximum.accumulate(np.concatenate((before[first : first + 1], stamps)))
        behind[first:end] = stamps <= highest[:-1]
    return behind


def _by_day(rows: Rows) -> Iterator[tuple[int, Rows]]:
    if not len(rows):
        return
    least, most = int(rows.ts.min()) // DAY_US, int(rows.ts.max()) // DAY_US
    if least == most:
        yield least, rows
        return
    days = rows.ts // DAY_US
    for day in np.unique(days).tolist():
        yield day, rows.take(days == day)
