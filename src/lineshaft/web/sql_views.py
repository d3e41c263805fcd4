"""The tables of SQL over a snapshot: which files make `samples`, and where rows have to be merged.

Rules: `samples` holds one row per (sid, ts), that with the highest seq. Files of kind `sequence`
are disjoint per signal, so they are read as they are; whatever another file or the tail may
overlap is merged on the fly, a span of days at a time. Every span carries its bounds as constants:
the planner drops those that a query's `ts` cannot touch without opening a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["DAY_US", "SAMPLES", "SnapshotFile", "samples_sql"]

DAY_US: Final = 86_400_000_000
SAMPLES: Final = "path, ts, v AS value, s AS text, q AS quality, seq, sid"
_COLUMNS: Final = "sid, ts, v, s, q, seq"
_SPANS: Final = 64


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of the snapshot: its place, its day (since 1970), its extents; `is_disjoint` says that
    its rows need no merging among themselves nor with another such file."""

    path: str
    day: int
    sid_min: int
    sid_max: int
    ts_min: int
    ts_max: int
    is_disjoint: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """Some days (first, last) and the files of them."""

    first: int
    last: int
    files: Sequence[SnapshotFile]

    def where(self) -> str:
        begin, end = self.first * DAY_US, (self.last + 1) * DAY_US
        return f"ts >= make_timestamptz({begin}::BIGINT) AND ts < make_timestamptz({end}::BIGINT)"

    def rows(self) -> str:
        names = ", ".join(_quoted(file.path) for file in self.files)
        return f"SELECT {_COLUMNS} FROM read_parquet([{names}]) WHERE {self.where()}"


def samples_sql(
    files: Sequence[SnapshotFile], tail: Sequence[SnapshotFile], tail_table: str, signals: str
) -> str:
    """Return the query behind `samples`: the files, and the tail (`tail`: its extents by day).

    `tail_table` has the stored columns, `signals` has `sid` and `path`.
    """
    loose = [*(file for file in files if not file.is_disjoint), *tail]
    by_day: dict[int, list[SnapshotFile]] = {}
    for file in loose:
        by_day.setdefault(file.day, []).append(file)
    sure: list[SnapshotFile] = []
    unsure = [file for file in files if not file.is_disjoint]
    for file in files:
        if file.is_disjoint:
            met = any(_overlap(file, other) for other in by_day.get(file.day, ()))
            (unsure if met else sure).append(file)
    parts = []
    if sure or not (unsure or tail):
        whole = " UNION ALL ".join(span.rows() for span in _spans(sure, ()))
        whole = whole or f"SELECT {_COLUMNS} FROM {tail_table} WHERE false"
        parts.append(f"SELECT {SAMPLES} FROM ({whole}) JOIN {signals} USING (sid)")
    for span in _spans(unsure, [one.day for one in tail]):
        some = f"SELECT {_COLUMNS} FROM {tail_table} WHERE {span.where()}"
        some += f" UNION ALL {span.rows()}" if span.files else ""
        parts.append(
            # `path` is among the keys, so that a filter on it goes below the merging.
            f"SELECT {SAMPLES} FROM (SELECT path, {_COLUMNS} FROM ({some}) JOIN {signals} "
            "USING (sid)) QUALIFY row_number() OVER (PARTITION BY path, sid, ts "
            "ORDER BY seq DESC) = 1"
        )
    return " UNION ALL ".join(parts)


def _spans(files: Sequence[SnapshotFile], more_days: Sequence[int]) -> list[_Span]:
    """Return all days that have something, in at most `_SPANS` spans."""
    by_day: dict[int, list[SnapshotFile]] = {day: [] for day in more_days}
    for file in files:
        by_day.setdefault(file.day, []).append(file)
    days = sorted(by_day)
    width = -(-len(days) // _SPANS) or 1
    groups = [days[at : at + width] for at in range(0, len(days), width)]
    return [_Span(group[0], group[-1], [file for day in group for file in by_day[day]])
            for group in groups]  # fmt: skip


def _overlap(one: SnapshotFile, other: SnapshotFile) -> bool:
    return (
        one.ts_min <= other.ts_max and other.ts_min <= one.ts_max
        and one.sid_min <= other.sid_max and other.sid_min <= one.sid_max
    )  # fmt: skip


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
