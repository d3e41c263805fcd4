"""Files to import, read piece by piece: CSV by bytes, Parquet by row groups.

Rules: a piece is a function of the file, the form and the place before it, so that whoever reads on
after a crash makes the same pieces; no piece takes more memory than a few times `_CHUNK`, whatever
the file claims; what no table can be is refused with the line and a word on what to do.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.rows import Column
from lineshaft.rooms.history.engine.sheet_form import (
    MAX_COLUMNS,
    Dialect,
    Form,
    guess_dialect,
    guess_form,
)  # fmt: skip

__all__ = ["Piece", "Place", "guess_file", "kind_of", "pieces"]

_CHUNK: Final = 2 * 1024 * 1024
_SAMPLE: Final = 1024 * 1024
_SAMPLE_ROWS: Final = 200
_FOOTER: Final = 64 * 1024 * 1024
_GROUP: Final = 4 * 1024**3
_UNFOLD: Final = 10_000
_PARQUET_ROWS: Final = 10**10
_SAMPLES: Final = 200_000
_TEXT: Final = 4 * 1024 * 1024
_MAGIC: Final = {
    b"PK\x03\x04": "a zip archive or a spreadsheet", b"\x1f\x8b": "a gzip archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive", b"BZh": "a bzip2 archive", b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive", b"\xd0\xcf\x11\xe0": "a spreadsheet", b"ARROW1": "an Arrow file",
}  # fmt: skip
csv.field_size_limit(_CHUNK)  # a cell may be as long as a line, also where the form is guessed


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read: bytes and lines of a CSV, row group and rows of a Parquet file."""

    at: int = 0
    part: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows as a table, the place after them, and where each row stands (`line`, from 1);
    `ragged` are lines with too few or too many cells, as (line, what)."""

    table: pa.Table
    end: Place
    line: Column
    ragged: list[tuple[int, str]]


def kind_of(path: Path) -> str:
    """Return `csv` or `parquet`; raise Refused for what is neither, in a sentence."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"PAR1":
        return "parquet"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            raise Refused(f"this is {name}", code="import.kind",
                          hint="Unpack it, or save it as CSV or Parquet")  # fmt: skip
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in head:
        raise Refused("this is no text in UTF-8 (it may be UTF-16)", code="import.encoding",
                      hint="Save it as CSV in UTF-8")  # fmt: skip
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise Refused("the file is empty", hint="Choose another one", code="import.empty")
    return "csv"


def guess_file(path: Path, prefix: str, known: list[str]) -> Form:
    """Return the form that the file's beginning suggests."""
    if kind_of(path) == "parquet":
        with _open_parquet(path) as file:
            names = _plain_columns(file)
            group = next(file.iter_batches(batch_size=_SAMPLE_ROWS, columns=names), None)
            if group is None:
                raise Refused("the file holds no rows", code="import.empty",
                              hint="Choose another one")  # fmt: skip
            table = pa.Table.from_batches([group])
        return guess_form(table, "parquet", Dialect(), prefix, known)
    with path.open("rb") as file:
        dialect = guess_dialect(file.read(_SAMPLE).removeprefix(b"\xef\xbb\xbf"))
    names, start = _read_names(path, dialect)
    piece = next(_csv_pieces(path, dialect, names, names, start, _SAMPLE), None)
    if piece is None:
        raise Refused("the file holds no rows", hint="Choose another one", code="import.empty")
    return guess_form(piece.table.slice(0, _SAMPLE_ROWS), "csv", dialect, prefix, known)


def pieces(path: Path, form: Form, after: Place) -> Iterator[Piece]:
    """Hand out the pieces after a place, with the columns that the form uses."""
    if form.layout == "wide":
        used = [form.time.column, *(column.name for column in form.columns if column.use)]
    else:
        long = form.long
        words = (long.path, long.value, long.text, long.quality, long.unit, long.kind)
        used = [form.time.column, *(name for name in words if name)]
    used = list(dict.fromkeys(used))
    if form.file == "parquet":
        yield from _parquet_pieces(path, used, after)
        return
    names, start = _read_names(path, form.dialect)
    yield from _csv_pieces(path, form.dialect, names, used, after if after.at else start, _CHUNK)


def _read_names(path: Path, dialect: Dialect) -> tuple[list[str], Place]:
    """Return the names of a CSV's columns and where its data begin."""
    with path.open("rb") as file:
        head = file.read(_CHUNK)
    start = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    skipped = 0
    for _ in range(dialect.skip):
        end = head.find(b"\n", start)
        start, skipped = (end + 1, skipped + 1) if end >= 0 else (start, skipped)
    while head[start : start + 2].startswith((b"\n", b"\r\n")):
        start, skipped = head.index(b"\n", start) + 1, skipped + 1
    end = _last_end(head[start:], dialect, 1, len(head) < _CHUNK, first=True)
    first = _decoded(head[start : start + end], dialect, skipped)[0].decode()
    lines = io.StringIO(first, newline="")
    cells = csv.reader(
        lines, delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
    )  # fmt: skip
    row = next(cells, [])
    if len(row) > MAX_COLUMNS + 1:
        raise Refused(f"a table of {len(row)} columns", code="import.columns",
                      hint=f"Up to {MAX_COLUMNS} can be read; import it in parts")  # fmt: skip
    if not dialect.header:
        return [f"column {i}" for i in range(1, len(row) + 1)], Place(start, skipped, 0)
    twice = [name for name, n in Counter(row).items() if name and n > 1]
    if twice:
        raise Refused(f"two columns are called '{twice[0][:80]}'", code="import.column",
                      hint="Rename one of them")  # fmt: skip
    lines_in = first.count("\n")
    return [cell.strip() for cell in row], Place(start + end, skipped + lines_in, 0)


def _csv_pieces(
    path: Path, dialect: Dialect, names: list[str], used: list[str], after: Place, chunk: int
) -> Iterator[Piece]:
    at, line, rows = after.at, after.part, after.rows
    _check_names(used, names)
    with path.open("rb") as file:
        file.seek(at)
        while data := file.read(chunk):
            over = len(data) < chunk
            length = _last_end(data, dialect, line + 1, over)
            text, starts, lines = _decoded(data[:length], dialect, line)
            file.seek(at + length)
            at, line = at + length, line + lines
            if len(starts):
                table, ragged, kept = _read_csv(text, dialect, names, used)
                where = starts[kept]
                told = [(int(starts[i]), what) for i, what in ragged if i < len(starts)]
                rows += len(starts)
                yield Piece(table, Place(at, line, rows), where, told)


def _check_names(used: list[str], names: list[str]) -> None:
    missing = sorted(set(used) - set(names))
    if missing:
        raise Refused(f"the file has no column '{missing[0][:80]}'", code="import.column",
                      hint=f"It has {', '.join(names)[:200]}")  # fmt: skip


def _last_end(data: bytes, dialect: Dialect, line: int, over: bool, first: bool = False) -> int:
    """Return where the last (or first) whole row of the data ends."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw == 10)
    quotes = np.flatnonzero(raw == 34) if dialect.quote else np.empty(0, np.int64)
    if len(quotes):
        _check_quotes(data, quotes, dialect, line)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    if over and (not len(ends) or not first):
        if len(quotes) % 2:
            at = line + data[: int(quotes[-1])].count(b"\n")
            raise Refused(f"the quotation mark in line {at} is never closed", code="import.quote",
                          hint="Close it, or say that texts are not quoted")  # fmt: skip
        return len(data)
    if not len(ends):
        raise Refused(f"line {line} is longer than {_CHUNK // 1024**2} MB, or a quotation mark in"
                      " it is never closed", code="import.line",
                      hint="Check that the file is a table of the form that you chose")  # fmt: skip
    return int(ends[0 if first else -1]) + 1


def _check_quotes(data: bytes, quotes: Column, dialect: Dialect, line: int) -> None:
    """Raise Refused for a quotation mark that opens in the middle of a cell."""
    opening = quotes[::2]
    before = np.frombuffer(data, np.uint8)[np.maximum(opening - 1, 0)]
    allowed = np.frombuffer(f'{dialect.delimiter}"\n\r'.encode(), np.uint8)
    odd = opening[(opening > 0) & ~np.isin(before, allowed)]
    if len(odd):
        at = line + data[: int(odd[0])].count(b"\n")
        raise Refused(f"line {at} has a quotation mark in the middle of a cell",
                      hint="Quote the whole cell and double the mark, or say that texts are not"
                      " quoted", code="import.quote")  # fmt: skip


def _decoded(data: bytes, dialect: Dialect, line: int) -> tuple[bytes, Column, int]:
    """Return (the rows in UTF-8, the line at which each that is not empty starts, lines)."""
    if b"\0" in data:
        at = line + 1 + data[: data.index(b"\0")].count(b"\n")
        raise Refused(f"line {at} holds a zero byte", code="import.encoding",
                      hint="The file is damaged, or no CSV in UTF-8")  # fmt: skip
    try:
        text = data.decode(dialect.encoding)
    except UnicodeDecodeError as error:
        at = line + 1 + data[: error.start].count(b"\n")
        raise Refused(f"line {at} is no text in {dialect.encoding}", code="import.encoding",
                      hint="Choose the encoding: utf-8, gb18030 or latin-1") from None  # fmt: skip
    data = data if dialect.encoding == "utf-8" else text.encode()
    raw = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(raw == 10)
    quotes = np.flatnonzero(raw == 34) if dialect.quote else np.empty(0, np.int64)
    ends = breaks[np.searchsorted(quotes, breaks) % 2 == 0] if len(quotes) else breaks
    _check_returns(raw, quotes, breaks, line)
    begins = np.concatenate(([0], ends + 1))
    begins = begins[begins < len(raw)]
    closes = np.append(ends, len(raw))[: len(begins)]
    empty = (closes == begins) | ((closes == begins + 1) & (raw[begins] == 13))
    starts = line + 1 + np.searchsorted(breaks, begins[~empty])
    return data, starts, len(breaks)


def _check_returns(raw: Column, quotes: Column, breaks: Column, line: int) -> None:
    """Raise Refused for a carriage return that ends a line alone: readers differ on it."""
    returns = np.flatnonzero(raw == 13)
    alone = returns[np.append(raw, 0)[returns + 1] != 10]
    alone = alone[np.searchsorted(quotes, alone) % 2 == 0]
    if len(alone):
        at = line + 1 + int(np.searchsorted(breaks, alone[0]))
        raise Refused(f"line {at} has a carriage return without a line feed", code="import.line",
                      hint="Save the file with the usual ends of lines")  # fmt: skip


def _read_csv(
    data: bytes, dialect: Dialect, names: list[str], used: list[str]
) -> tuple[pa.Table, list[tuple[int, str]], Column]:
    """Return the used columns as texts, the ragged rows, and the numbers of the others."""
    ragged: list[tuple[int, str]] = []
    whole = len(data.splitlines())

    def skip(row: Any) -> str:
        what = f"{row.actual_columns} cells where {row.expected_columns} columns are"
        ragged.append((row.number - 1, what))
        return "skip"

    place = {name: f"c{i}" for i, name in enumerate(names)}
    wanted = {name: place[name] for name in used}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1,
                               column_names=[f"c{i}" for i in range(len(names))]),
            pa_csv.ParseOptions(delimiter=dialect.delimiter, quote_char=dialect.quote or False,
                                newlines_in_values=bool(dialect.quote) and b'"' in data,
                                invalid_row_handler=skip),
            pa_csv.ConvertOptions(column_types={c: pa.utf8() for c in wanted.values()},
                                  include_columns=list(wanted.values()), null_values=[""],
                                  strings_can_be_null=True, quoted_strings_can_be_null=False),
        )  # fmt: skip
    except pa.ArrowInvalid as error:
        if len(ragged) < whole:
            raise Refused(
                f"the table cannot be read: {str(error)[:200]}", code="import.table",
                hint="Check the delimiter and the quotation marks",
            ) from error  # fmt: skip
        table = pa.table({c: pa.array([], pa.utf8()) for c in wanted.values()})
    kept = np.ones(table.num_rows + len(ragged), bool)
    kept[[i for i, _ in ragged]] = False
    return table.rename_columns(list(wanted)), ragged, np.flatnonzero(kept)


def _open_parquet(path: Path, texts: list[str] | None = None) -> pq.ParquetFile:
    """Open a Parquet file whose footer promises bounded work; raise Refused for any other."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        tail = file.read(8)
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or footer > min(size, _FOOTER):
        raise Refused("this Parquet file is cut off or damaged", code="import.parquet",
                      hint="Copy it again")  # fmt: skip
    try:
        file_ = pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False, buffer_size=1 << 20,
                               memory_map=True, thrift_string_size_limit=_FOOTER,
                               thrift_container_size_limit=10_000_000)  # fmt: skip
        meta = file_.metadata
        if meta.num_columns > MAX_COLUMNS + 1 or meta.num_rows > _PARQUET_ROWS:
            raise Refused(f"{meta.num_columns} columns and {meta.num_rows} rows",
                          hint=f"Up to {MAX_COLUMNS} and {_PARQUET_ROWS} can be read",
                          code="import.columns")  # fmt: skip
        for g in range(meta.num_row_groups):
            _check_group(meta.row_group(g), g, size)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(f"this Parquet file cannot be read: {str(error)[:200]}",
                      code="import.parquet", hint="It may be damaged") from error  # fmt: skip
    return file_


def _check_group(group: Any, number: int, size: int) -> None:
    for c in range(group.num_columns):
        column = group.column(c)
        unfolded, stored = column.total_uncompressed_size, column.total_compressed_size
        within = 0 <= stored <= size and 0 <= unfolded <= _GROUP
        if not within or unfolded > max(_CHUNK, stored * _UNFOLD):
            raise Refused(
                f"the column '{column.path_in_schema[:80]}' of row group {number} would unfold from"
                f" {stored} to {unfolded} bytes",
                hint="Write the file again with smaller row groups", code="import.unfold",
            )  # fmt: skip


def _plain_columns(file: pq.ParquetFile) -> list[str]:
    kinds = {field.name: field.type for field in file.schema_arrow}
    return [name for name, kind in kinds.items() if not pa.types.is_nested(kind)]


def _parquet_pieces(path: Path, used: list[str], after: Place) -> Iterator[Piece]:
    with _open_parquet(path) as plain:
        known = _plain_columns(plain)
        texts = [f.name for f in plain.schema_arrow if pa.types.is_string(f.type)
                 or pa.types.is_large_string(f.type)]  # fmt: skip
    _check_names(used, known)
    step = max(1, _SAMPLES // len(used))
    done = after.rows
    with _open_parquet(path, sorted(set(texts) & set(used))) as file:
        for group in range(after.at, file.num_row_groups):
            skip = after.part if group == after.at else 0
            row = 0
            try:
                for batch in file.iter_batches(step, [group], used, use_threads=False):
                    for part in _slices(batch):
                        row += len(part)
                        if row <= skip:
                            continue
                        done += len(part)
                        over = row >= file.metadata.row_group(group).num_rows
                        end = Place(group + 1, 0, done) if over else Place(group, row, done)
                        line = np.arange(done - len(part) + 1, done + 1)
                        yield Piece(pa.Table.from_batches([part]), end, line, [])
            except (pa.ArrowException, OSError, ValueError) as error:
                raise Refused(
                    f"row group {group} cannot be read: {str(error)[:200]}",
                    code="import.parquet", hint="The file may be damaged",
                ) from error  # fmt: skip


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch until its texts, unfolded, are of bounded size."""
    size = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64())
            size += pc.sum(lengths.take(column.indices)).as_py() or 0
    if size > _TEXT and len(batch) > 1:
        half = len(batch) // 2
        yield from _slices(batch.slice(0, half))
        yield from _slices(batch.slice(half))
    else:
        yield batch
