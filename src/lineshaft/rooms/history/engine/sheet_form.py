"""The form of a file to import: what a person confirms, guessed from its beginning.

Rules: a guess is shown before it counts; of two readings that both fit the day comes first and a
note says so. Texts are bounded by whoever reads the file; here are only names, and few of them.
"""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lineshaft.core.errors import Refused
from lineshaft.core.paths import check_path, slug
from lineshaft.rooms.history.engine.stamp_text import (
    FITS,
    SKIPPED,
    TWICE,
    TimeForm,
    check_time_form,
    parse_stamps,
)  # fmt: skip

__all__ = [
    "MAX_COLUMNS", "ColumnForm", "Dialect", "Form", "LongForm", "guess_dialect", "guess_form",
]  # fmt: skip

_FORMATS: Final = (
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S,%f",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M",
    "%d/%m/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%Y %H:%M:%S", "%d-%b-%y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y%m%dT%H%M%S%z",
    "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%d.%m.%y %H:%M:%S", "%d.%m.%y %H:%M",
)  # fmt: skip
_TIME: Final = {
    "time", "ts", "timestamp", "date", "datetime", "zeit", "zeitstempel", "时间", "日期",
}  # fmt: skip
_ROLES: Final = {
    "path": {"path", "sid", "tag", "tagname", "signal", "name", "位号", "点名", "路径"},
    "value": {"value", "v", "val", "wert", "值", "数值"},
    "text": {"text", "s", "string"},
    "quality": {"quality", "q", "status", "质量"},
    "unit": {"unit", "units", "einheit", "单位"},
    "kind": {"kind"},
}  # fmt: skip
_WITH_UNIT: Final = re.compile(r"(.*?)\s*(?:\[(.*)\]|\(([^()]*)\))\s*")
_COMMA_NUMBER: Final = re.compile(r"\s*-?\d+,\d+\s*")
_LINES: Final = 100
MAX_COLUMNS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written; `quote` is `"` or nothing, `skip` counts lines before the
    names (or the data, where `header` is false: columns are then called column 1, column 2 …)."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    skip: int = 0
    header: bool = True


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """A column of a wide table: its name in the file, and which signal it is: `path` (or the sid in
    digits), the `unit` that the file's values have, and the `kind` of a signal that is new."""

    name: str
    path: str
    unit: str = ""
    kind: str = "float"
    use: bool = True


@dataclass(frozen=True, slots=True)
class LongForm:
    """Which column of a long table is what; empty where there is none."""

    path: str = ""
    value: str = ""
    text: str = ""
    quality: str = ""
    unit: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """Everything that turns a file into samples. `prefix` (enterprise/site/area/line/machine) goes
    before names that are no paths; `apostrophes` takes back the one that our own CSV puts before
    texts which a spreadsheet would run."""

    file: str
    layout: str
    time: TimeForm
    columns: tuple[ColumnForm, ...] = ()
    long: LongForm = LongForm()
    dialect: Dialect = Dialect()
    decimal: str = "."
    prefix: str = ""
    apostrophes: bool = False
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Form":
        """Return the form of plain values, checked; raise Refused where it cannot be."""
        columns = tuple(ColumnForm(**column) for column in content["columns"])
        return cls(
            **{
                **content, "time": TimeForm(**content["time"]), "columns": columns,
                "long": LongForm(**content["long"]), "dialect": Dialect(**content["dialect"]),
                "notes": tuple(content["notes"]),
            }
        ).checked()  # fmt: skip

    def checked(self) -> "Form":
        """Return the form; raise Refused where it cannot work, whatever the file holds."""
        check_time_form(self.time)
        if self.prefix:
            check_path(f"{self.prefix}/signal")
        used = [column for column in self.columns if column.use]
        paths = [column.path for column in used]
        twice = [path for path, n in Counter(paths).items() if n > 1]
        dialect = self.dialect
        rules = [
            (self.file in {"csv", "parquet"}, "Files are csv or parquet"),
            (self.layout in {"wide", "long"}, "A layout is wide or long"),
            (self.decimal in {".", ","}, "The decimal mark is a point or a comma"),
            (dialect.encoding in {"utf-8", "gb18030", "latin-1"},
             "Texts are utf-8, gb18030 or latin-1"),
            (dialect.delimiter in set(",;\t|"), "Columns are parted by , ; | or a tab"),
            (dialect.quote in {"", '"'}, "Texts are quoted by \" or nothing"),
            (0 <= dialect.skip <= 1000, "Up to 1000 lines may be skipped"),
            (self.decimal != dialect.delimiter or self.file != "csv",
             "A comma cannot be both the decimal mark and between columns"),
            (not twice, f"These paths are there twice: {', '.join(twice)[:200]}"),
            (self.layout == "long" or 0 < len(used) <= MAX_COLUMNS,
             f"A wide table has 1 to {MAX_COLUMNS} columns of values; import more in parts"),
            (self.layout == "wide" or bool(self.long.path and self.long.value),
             "A long table needs a column with paths and one with values"),
        ]  # fmt: skip
        for holds, hint in rules:
            if not holds:
                raise Refused("this form cannot work", hint=hint, code="import.form")
        return self


def guess_dialect(sample: bytes) -> Dialect:
    """Return how the file that begins so is written, judged by its first lines."""
    encoding, whole = "latin-1", sample[: sample.rfind(b"\n") + 1 or None]
    # Nearly all of Latin-1 is something in GB 18030, so the older and stricter GB 2312 judges.
    for name, judge in (("gb18030", "gb2312"), ("utf-8", "utf-8")):
        with suppress(UnicodeDecodeError):
            whole.decode(judge)
            encoding = name
    text = whole.decode(encoding, "replace")
    lines = text.splitlines()[:_LINES]
    skip = 1 if lines and re.fullmatch(r"sep=.", lines[0]) else 0
    best, delimiter = 0.0, ","
    for mark in ",;\t|":
        rows = [len(row) for row in csv.reader(lines[skip:], delimiter=mark) if row]
        if not rows or max(rows) < 2:
            continue
        common = max(set(rows), key=rows.count)
        score = rows.count(common) / len(rows) * (1.0 + min(common, 9) / 100)
        if common > 1 and score > best:
            best, delimiter = score, mark
    first = next(csv.reader(lines[skip:], delimiter=delimiter), [])
    header = not any(re.match(r"\s*[-+]?\d", cell) for cell in first)
    return Dialect(encoding, delimiter, '"', skip, header)


def guess_form(
    table: pa.Table, file: str, dialect: Dialect, prefix: str, known: Sequence[str] = ()
) -> Form:
    """Return the form of a file whose first rows are `table`; Refused where no column is a time.

    `known` are the paths of the signals there are.
    """
    names = table.column_names
    if len(names) > MAX_COLUMNS + 1:
        raise Refused(f"a table of {len(names)} columns", code="import.columns",
                      hint=f"Up to {MAX_COLUMNS} can be read; import it in parts")  # fmt: skip
    time, notes = _guess_time(table)
    decimal = "."
    if dialect.delimiter != "," and file == "csv":
        texts = [cell or "" for name, column in zip(names, table.slice(0, 20).columns, strict=True)
                 if name != time.column for cell in column.to_pylist()]  # fmt: skip
        decimal = "," if any(_COMMA_NUMBER.fullmatch(text) for text in texts) else "."
    roles = {
        role: next((n for n in names if n.strip().lower() in words and n != time.column), "")
        for role, words in _ROLES.items()
    }
    ours = file == "csv" and {"text", "kind"} <= set(names)
    form = Form(file, "long", time, (), LongForm(**roles), dialect, decimal, prefix, ours,
                tuple(notes))  # fmt: skip
    if roles["path"] and roles["value"]:
        return form.checked()
    columns = tuple(
        _guess_column(name, table.column(at), prefix, frozenset(known))
        for at, name in enumerate(names)
        if name != time.column
    )
    return replace(form, layout="wide", long=LongForm(), columns=columns,
                   apostrophes=False).checked()  # fmt: skip


def _guess_column(
    name: str, cells: pa.ChunkedArray, prefix: str, known: frozenset[str]
) -> ColumnForm:
    match = _WITH_UNIT.fullmatch(name)
    plain, unit = (match[1], match[2] or match[3] or "") if match else (name.strip(), "")
    if name.strip() in known:
        plain, unit = name.strip(), ""
    path = plain
    if plain not in known and not _is_path(plain):
        path = f"{prefix}/{slug(plain)}"
    kind = "float"
    if pa.types.is_boolean(cells.type):
        kind = "bool"
    elif pa.types.is_integer(cells.type):
        kind = "int"
    elif pa.types.is_string(cells.type) or pa.types.is_dictionary(cells.type):
        words = [str(cell).strip().lower() for cell in cells.to_pylist() if cell not in {None, ""}]
        if words and set(words) <= {"true", "false"}:
            kind = "bool"
        elif words and not any(re.match(r"[-+.]?[\d.,]", word) for word in words):
            odd = {"nan", "na", "n/a", "null", "none", "inf", "-inf"}
            kind = "float" if set(words) <= odd else "string"
    odd_type = pa.types.is_nested(cells.type) or pa.types.is_binary(cells.type)
    use = bool(name.strip()) and not odd_type
    return ColumnForm(name, path, unit.strip(), kind, use)


def _is_path(text: str) -> bool:
    try:
        check_path(text)
    except Refused:
        return False
    return True


def _guess_time(table: pa.Table) -> tuple[TimeForm, list[str]]:
    names = table.column_names
    named = [n for n in names if n.strip().lower() in _TIME or n.strip().lower()[:4] == "time"]
    for name in [*named, *(n for n in names[:20] if n not in named)]:
        cells = table.column(names.index(name)).combine_chunks()
        cells = pa.concat_arrays(cells.chunks) if isinstance(cells, pa.ChunkedArray) else cells
        found = [form for form in _candidates(cells, name) if _suits(cells, form)]
        if found:
            days = {form.format.replace("%m", "%d") for form in found[:2]}
            both = len(found) > 1 and len(days) == 1
            note = f"the column '{name}' may mean day or month first: day first was taken"
            return found[0], [note] if both else []
    raise Refused("no column of the file is a time", code="import.no_time",
                  hint="Name the time column and its format in the form")  # fmt: skip


def _candidates(cells: pa.Array, name: str) -> list[TimeForm]:
    kind = cells.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return [TimeForm(name)]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        low = pc.min(cells).as_py()
        return [TimeForm(name, unit) for unit in _epochs(low)]
    if not (pa.types.is_string(kind) or pa.types.is_dictionary(kind)):
        return []
    first = next((cell for cell in cells.to_pylist() if cell and cell.strip()), "")
    if re.fullmatch(r"\s*\d{9,19}([.,]\d*)?\s*", first) and len(first.strip()) != 14:
        return [TimeForm(name, unit) for unit in _epochs(float(first.replace(",", ".")))]
    return [TimeForm(name, format) for format in ("iso", *_FORMATS)]


def _epochs(number: float | None) -> list[str]:
    """Return the unit in which a number is a time between 1973 and 2255."""
    exact = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}
    return [unit for unit, per_s in exact.items() if number and 1e8 <= number / per_s < 9e9][:1]


def _suits(cells: pa.Array, form: TimeForm) -> bool:
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(pa.utf8())
    _, flag = parse_stamps(cells, form)
    told = np.isin(flag, (FITS, SKIPPED, TWICE))
    return bool(told.any() and told.sum() > 0.5 * np.count_nonzero(flag != 1))
