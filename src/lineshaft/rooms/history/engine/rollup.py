"""Roll-ups: what a stretch of one signal looked like, so that months need no raw rows.

A file's roll-ups stand on the levels of LEVELS, buckets aligned to 1970 UTC. Each row is made of
the rows of *one file* in one bucket; a bucket that spans two files has two rows, which follow one
another in time and are joined when read. First, last, least and greatest value keep their true
stamps, so that a trend drawn from roll-ups equals the one drawn from all rows (Jugel et al., "M4: A
Visualization-Oriented Time Series Data Aggregation", VLDB 2014). The area is that of the stepped
line (OPC UA Part 13, 5.4.2.4: time-weighted with stepped interpolation) between the first and the
last row. Bad rows and nulls have no value: they end what held before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from lineshaft.core.quality import BAD
from lineshaft.rooms.history.engine.rows import Column, Rows
from lineshaft.rooms.history.engine.trend import extreme_at

__all__ = ["LEVELS", "ROLLUP", "Buckets", "roll_up"]

LEVELS: Final = (300_000_000, 3_600_000_000)
ROLLUP: Final = pa.schema(
    [
        pa.field("sid", pa.int32(), nullable=False),
        pa.field("bucket", pa.int32(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("good", pa.int32(), nullable=False),
        *(pa.field(f"{name}_at", pa.uint32(), nullable=False) for name in
          ("first", "last", "min", "max")),
        *(pa.field(f"{name}_v", pa.float64(), nullable=False) for name in
          ("first", "last", "min", "max")),
        *(pa.field(f"{name}_q", pa.uint16(), nullable=False) for name in
          ("first", "last", "min", "max")),
        pa.field("total", pa.float64(), nullable=False),
        pa.field("area", pa.float64(), nullable=False),
        pa.field("span", pa.uint32(), nullable=False),
    ]
)  # fmt: skip
_POINTS: Final = ("first", "min", "max", "last")


@dataclass(frozen=True, slots=True)
class Buckets:
    """Roll-up rows of one level, columns of shape `(n,)` by the names of ROLLUP, by sid and bucket.

    `bucket` counts levels since 1970; `*_at` are µs after the bucket's start; `rows` are all rows,
    `good` those with a value; `total` is the sum of the values, `area` (unit times µs) and `span`
    (µs) those of the stepped line where it had one. NaN stands for null.
    """

    level: int
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.columns["sid"])

    @property
    def start(self) -> Column:
        """Where each bucket begins, µs."""
        return self.columns["bucket"].astype(np.int64) * self.level

    def stamps(self, name: str) -> Column:
        """Return the stamps of the `first`, `last`, `min` or `max` points, µs."""
        return self.start + self.columns[f"{name}_at"]

    def of(self, sid: int, first: int, end: int) -> "Buckets":
        """Return the rows of one signal with first <= bucket < end, as views."""
        sids = self.columns["sid"]
        low, high = (int(sids.searchsorted(np.int32(sid), side)) for side in _SIDES)
        own = self.columns["bucket"][low:high]
        cut = slice(
            low + int(own.searchsorted(np.int32(first))), low + int(own.searchsorted(np.int32(end)))
        )
        return Buckets(self.level, {name: c[cut] for name, c in self.columns.items()})

    def newest(self, sids: Sequence[int], end: int) -> "Buckets":
        """Return of each of these signals (ascending) the last row that begins before `end`."""
        early = np.flatnonzero(self.stamps("first") < end)
        known, wanted = self.columns["sid"][early], np.asarray(sids, np.int32)
        has = wanted[np.isin(wanted, known)]
        return self.take(early[np.searchsorted(known, has, "right") - 1])

    def take(self, index: Column) -> "Buckets":
        """Return the rows at `index` (positions or a mask)."""
        return Buckets(self.level, {name: c[index] for name, c in self.columns.items()})

    @classmethod
    def joined(cls, parts: "list[Buckets]") -> "Buckets":
        """Return the rows of several files, by sid, bucket and time."""
        columns = {
            name: np.concatenate([part.columns[name] for part in parts]) for name in ROLLUP.names
        }
        order = np.lexsort((columns["first_at"], columns["bucket"], columns["sid"]))
        return cls(parts[0].level, {name: column[order] for name, column in columns.items()})

    @classmethod
    def empty(cls, level: int) -> "Buckets":
        """Return no rows of a level."""
        none = ROLLUP.empty_table()
        return cls(level, {name: none.column(name).to_numpy() for name in ROLLUP.names})

    def crossed(self) -> Column:
        """Return the mask of rows that overlap in time with another of the same bucket: rows of
        files that were merged out of turn; only raw rows tell then. Rows as `joined` sorts them."""
        found = np.zeros(len(self), bool)
        sid, bucket = self.columns["sid"], self.columns["bucket"]
        same = (sid[1:] == sid[:-1]) & (bucket[1:] == bucket[:-1])
        bad = same & (self.columns["first_at"][1:] <= self.columns["last_at"][:-1])
        found[1:] |= bad
        found[:-1] |= bad
        return found

    def points(self) -> Rows:
        """Return the points that draw these rows, by sid and stamp, each once; seq is 0."""
        sids = self.columns["sid"]
        has, every = self.columns["good"] > 0, np.ones(len(self), bool)
        which = {"first": every, "min": has, "max": has, "last": every}
        sid = np.concatenate([sids[which[name]] for name in _POINTS])
        ts = np.concatenate([self.stamps(name)[which[name]] for name in _POINTS])
        v = np.concatenate([self.columns[f"{name}_v"][which[name]] for name in _POINTS])
        q = np.concatenate([self.columns[f"{name}_q"][which[name]] for name in _POINTS])
        order = np.lexsort((ts, sid))
        keep = np.ones(len(order), bool)
        keep[1:] = np.diff(sid[order]).astype(bool) | np.diff(ts[order]).astype(bool)
        at = order[keep]
        return Rows(sid[at], ts[at], v[at], q[at].astype(np.int32), np.zeros(len(at), np.int64))


_SIDES: Final = ("left", "right")


def roll_up(rows: Rows, level: int) -> Buckets:
    """Return the roll-ups of rows, sorted by sid and ts with one row each, on one level (µs)."""
    if not len(rows):
        return Buckets.empty(level)
    bucket = rows.ts // level
    new = np.append(True, (rows.sid[1:] != rows.sid[:-1]) | (bucket[1:] != bucket[:-1]))
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(rows)) - 1
    count = last - first + 1
    valued = ~np.isnan(rows.v) & (rows.q < BAD)
    held = np.where(np.append(new[1:], True), 0, np.diff(rows.ts, append=rows.ts[-1]))
    held[~valued] = 0
    value = np.where(valued, rows.v, 0.0)
    where = {
        "first": first,
        "last": last,
        "min": extreme_at(np.minimum, np.where(valued, rows.v, np.inf), first, count),
        "max": extreme_at(np.maximum, np.where(valued, rows.v, -np.inf), first, count),
    }
    start = bucket[first] * level
    columns: dict[str, Column] = {
        "sid": rows.sid[first],
        "bucket": bucket[first].astype(np.int32),
        "rows": count.astype(np.int32),
        "good": np.add.reduceat(valued.astype(np.int32), first, dtype=np.int32),
        **{f"{n}_at": (rows.ts[at] - start).astype(np.uint32) for n, at in where.items()},
        **{f"{n}_v": rows.v[at] for n, at in where.items()},
        **{f"{n}_q": rows.q[at].astype(np.uint16) for n, at in where.items()},
        "total": np.add.reduceat(value, first),
        "area": np.add.reduceat(value * held, first),
        "span": np.add.reduceat(held, first).astype(np.uint32),
    }
    return Buckets(level, columns)
