"""The files of an export: CSV, Parquet (one file, or one a day), Arrow, a Delta table.

Rules: every Parquet and Arrow file and every version of a Delta table names its cut, under
`lineshaft.as_of`. Long tables have `time, path, value, text, quality, unit, kind`, so that what one
holds comes back equal; texts in CSV cannot become formulas, and the import takes the apostrophe
back. Wide tables are for people: a column a signal, null where a value is bad or there is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lineshaft.core.quality import BAD, describe
from lineshaft.core.samples import STAMP
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.engine.rows import Rows

__all__ = ["LONG", "Writer", "long_table", "wide_schema", "wide_table", "writer_of"]

_CUT: Final = "lineshaft.as_of"
_WORD: Final = pa.dictionary(pa.int32(), pa.utf8())
LONG: Final = pa.schema(
    [
        ("time", STAMP), ("path", _WORD), ("value", pa.float64()), ("text", pa.utf8()),
        ("quality", _WORD), ("unit", _WORD), ("kind", _WORD),
    ]
)  # fmt: skip


class Writer(Protocol):
    """Takes the tables of one day after the other."""

    def write(self, day: int, tables: Iterator[pa.Table]) -> None:
        """Write the tables of a day (days since 1970)."""
        ...

    def close(self) -> None:
        """Finish the files."""
        ...


def long_table(rows: Rows, signals: Mapping[int, Signal]) -> pa.Table:
    """Return rows with one line a sample."""
    sids, whose = np.unique(rows.sid, return_inverse=True)
    kinds, which = np.unique(rows.q, return_inverse=True)
    known = [signals[int(sid)] for sid in sids]

    def words(of: Sequence[str], index: Any) -> pa.Array:
        chosen = pa.array(index.astype(np.int32))
        return pa.DictionaryArray.from_arrays(chosen, pa.array(of, pa.utf8()))

    return pa.Table.from_arrays(
        [
            pa.array(rows.ts).view(STAMP), words([s.path for s in known], whose),
            pa.array(rows.v, from_pandas=True),
            pa.nulls(len(rows), pa.utf8()) if rows.s is None else rows.s,
            words([describe(int(q)) for q in kinds], which),
            words([s.unit for s in known], whose), words([s.kind.value for s in known], whose),
        ],
        schema=LONG,
    )  # fmt: skip


def wide_schema(signals: Sequence[Signal]) -> pa.Schema:
    """Return the columns of a wide table: time, then `path [unit]` for every signal."""
    fields = [pa.field("time", STAMP)]
    for signal in signals:
        name = f"{signal.path} [{signal.unit}]" if signal.unit else signal.path
        fields.append(pa.field(name, pa.utf8() if signal.kind == Kind.STRING else pa.float64()))
    return pa.schema(fields)


def wide_table(rows: Rows, signals: Sequence[Signal]) -> pa.Table:
    """Return rows with one line a stamp."""
    stamps, place = np.unique(rows.ts, return_inverse=True)
    columns = [pa.array(stamps).view(STAMP)]
    for signal in signals:
        first, end = np.searchsorted(rows.sid, [signal.sid, signal.sid + 1])
        where = place[first:end]
        if signal.kind == Kind.STRING:
            index = np.full(len(stamps), -1)
            index[where] = np.arange(first, end)
            chosen = pa.array(index, mask=index < 0)
            texts = pa.nulls(len(rows), pa.utf8()) if rows.s is None else rows.s
            columns.append(texts.take(chosen))
        else:
            v = np.full(len(stamps), np.nan)
            v[where] = np.where(rows.q[first:end] < BAD, rows.v[first:end], np.nan)
            columns.append(pa.array(v, from_pandas=True))
    return pa.Table.from_arrays(columns, schema=wide_schema(signals))


def writer_of(folder: Path, request: Mapping[str, Any], signals: Sequence[Signal]) -> Writer:
    """Return the writer of a request's form."""
    cut = {_CUT: str(request.get("as_of"))}
    schema = wide_schema(signals) if request["layout"] == "wide" else LONG
    schema = schema.with_metadata(cut)
    form = request["form"]
    if form == "delta":
        return _Delta(folder, cut)
    if request["folder"]:
        return _Days(folder, schema)
    return _OneFile(folder / f"lineshaft.{form}", form, schema)


class _OneFile:
    """One CSV, Parquet or Arrow file."""

    def __init__(self, path: Path, form: str, schema: pa.Schema) -> None:
        self._text = form == "csv"
        if self._text:
            self._sink: Any = pa_csv.CSVWriter(path, _plain(schema))
        elif form == "parquet":
            self._sink = pq.ParquetWriter(path, schema, compression="zstd")
        else:
            self._sink = pa.ipc.new_file(path, schema)

    def write(self, day: int, tables: Iterator[pa.Table]) -> None:
        """Append the tables."""
        for table in tables:
            self._sink.write_table(_as_text(table) if self._text else table)

    def close(self) -> None:
        """End the file."""
        self._sink.close()


class _Days:
    """A folder `day=YYYY-MM-DD` a day, as most readers of tables know it."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema

    def write(self, day: int, tables: Iterator[pa.Table]) -> None:
        """Write the day's file; a day without rows has none."""
        first = next(tables, None)
        if first is None:
            return
        path = self._folder / f"day={_date(day)}" / "part-0.parquet"
        path.parent.mkdir(mode=0o700)
        with pq.ParquetWriter(path, self._schema, compression="zstd") as sink:
            sink.write_table(first)
            for table in tables:
                sink.write_table(table)

    def close(self) -> None:
        """Every file is closed already."""


class _Delta:
    """A Delta table, partitioned by `day`; a day is one version of it."""

    def __init__(self, folder: Path, cut: dict[str, str]) -> None:
        self._folder, self._cut = folder, cut

    def write(self, day: int, tables: Iterator[pa.Table]) -> None:
        """Append the day, if it has rows."""
        from deltalake import CommitProperties, write_deltalake

        first = next(tables, None)
        if first is None:
            return
        schema = _plain(LONG).set(0, pa.field("time", STAMP)).append(pa.field("day", pa.date32()))

        def batches() -> Iterator[pa.RecordBatch]:
            for table in chain([first], tables):
                dated = pa.repeat(pa.scalar(_date(day)), len(table))
                yield from table.append_column("day", dated).cast(schema).to_batches()

        stream = pa.RecordBatchReader.from_batches(schema, batches())
        write_deltalake(
            str(self._folder / "table"), stream, mode="append", partition_by=["day"],
            commit_properties=CommitProperties(custom_metadata=self._cut),
        )  # fmt: skip

    def close(self) -> None:
        """Every version is written already."""


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return the columns as CSV has them: stamps and words are texts."""
    return pa.schema(
        [f if pa.types.is_floating(f.type) else f.with_type(pa.utf8()) for f in schema]
    )


def _as_text(table: pa.Table) -> pa.Table:
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):
            naive = column.cast(pa.timestamp("us"))
            column = pc.strftime(naive, format="%Y-%m-%dT%H:%M:%SZ")
        elif not pa.types.is_floating(column.type):
            column = column.cast(pa.utf8())
            column = pc.replace_substring_regex(column, r"^('*[=+\-@\t\r])", r"'\1")
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=_plain(table.schema))


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
