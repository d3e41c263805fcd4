"""Files are read as Python's csv reads them, whole or in small pieces; bad ones in a sentence."""

import csv
import io
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.quality import describe
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history import import_files
from lineshaft.rooms.history.engine.cells import parse_numbers, parse_quality
from lineshaft.rooms.history.engine.sheet_form import (
    ColumnForm,
    Dialect,
    Form,
    LongForm,
    guess_dialect,
)  # fmt: skip
from lineshaft.rooms.history.engine.stamp_text import TimeForm
from lineshaft.rooms.history.import_files import Place, guess_file, kind_of, pieces
from lineshaft.rooms.history.import_work import Resolver, blocks_of, check_file, run_parser
from lineshaft.rooms.plant.conversion import conversion

NOW = 1_900_000_000_000_000
PREFIX = "e/s/a/l/m"
TIME = "2024-01-01T00:00:00Z"
T = 1_704_067_200_000_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("import") / "file"


def check(
    file: Path, content: bytes, form: Form | None = None, known: list[Signal] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]], Form]:
    """Return what the dry run of this file finds, and the form it was read by."""
    file.write_bytes(content)
    kind_of(file)
    known = known or []
    form = (form or guess_file(file, PREFIX, [signal.path for signal in known])).checked()
    found = check_file(file, form, NOW, Resolver(form, known, conversion), lambda _: True)
    assert found is not None
    return *found, form


def stored(
    file: Path, form: Form, targets: list[dict[str, Any]]
) -> list[tuple[str, int, float | None, str | None, int]]:
    """Return (path, ts, v, s, q) of what a run would put on the bus, in its order."""
    for number, target in enumerate(targets, 1):
        target["sid"] = target["sid"] or number
    parser = run_parser(form, NOW, targets)
    paths = {target["sid"]: target["path"] for target in targets}
    rows: list[Any] = []
    for piece in pieces(file, form, Place()):
        for block in blocks_of(parser.parse(piece.table), parser.targets, "import-1", NOW):
            batch = block.batch.to_pydict()
            columns = (batch[name] for name in ("v", "s", "q"))
            names = [paths[sid] for sid in batch["sid"]]
            rows += zip(names, block.ts.tolist(), *columns, strict=True)
    return rows


_cells = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["", "nan", "x", "=1+1", "+1.5", " 2 ", "1e3", "@A1", "1,5", "0x1", "1_0"]),
)
_texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=9
) | st.sampled_from(["a\r\nb", "\n\r"])


def number_of(cell: str) -> float | None:
    """Return what a cell means to Python; NaN for none, None for no number."""
    text = cell.strip()
    if text.lower() in {"", "nan"}:
        return math.nan
    try:
        return None if set(text) & set("_x") else float(text)
    except ValueError:
        return None


@settings(max_examples=150)
@given(
    rows=st.lists(st.tuples(_cells, _cells, _texts), min_size=1, max_size=30),
    delimiter=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n"]),
    chunk=st.sampled_from([400, 1000, 1 << 20]), bom=st.booleans(),
)  # fmt: skip
def test_cells_are_those_that_python_reads(
    file: Path, rows: list[tuple[str, str, str]], delimiter: str, end: str, chunk: int, bom: bool
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(["ts", "a", "b", "c"])
    writer.writerows([T + i, *row] for i, row in enumerate(rows))
    content = (b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode()
    columns = (ColumnForm("a", f"{PREFIX}/a"), ColumnForm("b", f"{PREFIX}/b"),
               ColumnForm("c", f"{PREFIX}/c", "", "string"))  # fmt: skip
    form = Form("csv", "wide", TimeForm("ts", "us"), columns, dialect=Dialect("utf-8", delimiter))
    text = out.getvalue()
    read = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]
    before, import_files._CHUNK = import_files._CHUNK, chunk  # type: ignore[misc]
    try:
        summary, targets, _ = check(file, content, form)
        found = {row[:2]: row[2:] for row in stored(file, form, targets)}
    finally:
        import_files._CHUNK = before  # type: ignore[misc]
    wrong, wanted = 0, {}
    for stamp, *cells in read:
        for name, cell in zip("ab", cells, strict=False):
            value = number_of(cell)
            wrong += value is None
            if cell.strip() and value is not None:
                bad = math.isnan(value)
                at = (f"{PREFIX}/{name}", int(stamp))
                wanted[at] = (None if bad else value, None, 514 if bad else 0)
        if cells[2]:
            wanted[f"{PREFIX}/c", int(stamp)] = (None, cells[2], 0)
    assert found == wanted
    assert (summary["rows"], summary["problems"]) == (len(rows), wrong)


@given(st.lists(_cells, min_size=1, max_size=30))
def test_numbers_are_those_that_python_reads(cells: list[str]) -> None:
    values, what = parse_numbers(pa.array(cells, pa.utf8()))
    for cell, value, kind in zip(cells, values.tolist(), what.tolist(), strict=True):
        wanted = number_of(cell)
        assert (kind == 5) == (wanted is None), cell
        if wanted is not None:
            assert value == wanted or (math.isnan(value) and math.isnan(wanted)), cell


def test_a_decimal_comma_is_no_mark_of_thousands() -> None:
    values, what = parse_numbers(pa.array(["1,5", "1.234,5", "1.5", "-,5", "2"]), ",")
    assert [v for v, w in zip(values.tolist(), what.tolist(), strict=True) if w == 0] == [
        1.5,
        -0.5,
        2,
    ]
    assert what.tolist() == [0, 5, 5, 0, 0]


@given(st.integers(0, 767))
def test_qualities_are_read_as_they_are_described(quality: int) -> None:
    assert parse_quality(describe(quality)) == quality


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("time,a\n2024-01-01,1\n", Dialect()), ("a;b\n1,5;2\n1,6;3\n", Dialect("utf-8", ";")),
     ("sep=\t\na\tb\n1\t2\n", Dialect("utf-8", "\t", '"', 1)),
     ("1700000000,5\n1700000001,6\n", Dialect(header=False)),
     ("时间,值\n2024-01-01,1\n", Dialect()), ("a|b\nx,y|1\n", Dialect("utf-8", "|"))],
)  # fmt: skip
def test_how_a_file_is_written_shows_at_its_beginning(text: str, wanted: Dialect) -> None:
    assert guess_dialect(text.encode()) == wanted


def test_other_encodings_are_noticed() -> None:
    assert guess_dialect("时间,温度\n2024,1\n".encode("gb18030")).encoding == "gb18030"
    assert guess_dialect("Zeit;Öl\n1;2\n".encode("latin-1")).encoding == "latin-1"


def test_a_long_file_finds_known_signals_and_converts(file: Path) -> None:
    known = [Signal(7, "e/s/a/l/m/p", "p", Kind.FLOAT, "kPa"),
             Signal(8, "e/s/a/l/m/t", "t", Kind.FLOAT, "Cel"),
             Signal(9, "e/s/a/l/m/state", "state", Kind.STRING)]  # fmt: skip
    text = (
        "time,tag,value,unit\n" f"{TIME},e/s/a/l/m/p,2,bar\n{TIME},8,300,K\n"
        f"{TIME},e/s/a/l/m/state,running,\n{TIME},New Tag,5,m\n"
    )  # fmt: skip
    summary, targets, form = check(file, text.encode(), None, known)
    assert form.layout == "long" and summary["problems"] == 0 and summary["new"] == 1
    rows = {path: (v and round(v, 9), s) for path, _, v, s, _ in stored(file, form, targets)}
    assert rows == {"e/s/a/l/m/p": (200, None), "e/s/a/l/m/t": (26.85, None),
                    "e/s/a/l/m/state": (None, "running"),
                    f"{PREFIX}/new-tag": (5, None)}  # fmt: skip


def test_a_unit_that_does_not_fit_is_refused(file: Path) -> None:
    known = [Signal(7, "e/s/a/l/m/p", "p", Kind.FLOAT, "kPa")]
    with pytest.raises(Refused, match=r"e/s/a/l/m/p.*'m3'.*'kPa'"):
        check(file, f"time,e/s/a/l/m/p [m3]\n{TIME},1\n".encode(), None, known)


def test_parquet_of_any_usual_type_is_read(file: Path) -> None:
    table = pa.table({
        "when": pa.array([T * 1000 + 1, T * 1000 + 10**9], pa.timestamp("ns", "UTC")),
        "f32": pa.array([1.5, None], pa.float32()), "i": pa.array([1, 2], pa.int16()),
        "b": [True, False], "word": pa.array(["x", "y"]).dictionary_encode(),
        "dec": pa.array(["1.25", "2.5"]).cast(pa.decimal128(9, 2)), "nested": [[1], [2]],
    })  # fmt: skip
    pq.write_table(table, file)
    summary, targets, form = check(file, file.read_bytes())
    assert form.time == TimeForm("when") and summary["problems"] == 0
    kinds = {target["path"].rpartition("/")[2]: target["kind"] for target in targets}
    assert kinds == {"f32": "float", "i": "int", "b": "bool", "word": "string", "dec": "float"}
    rows = stored(file, form, targets)
    assert (f"{PREFIX}/word", T, None, "x", 0) in rows and len(rows) == 9


CSV = f"time,a\n{TIME},1\n".encode()
BAD = {
    "empty": (b"", "empty"), "only a bom": (b"\xef\xbb\xbf\n", "empty"),
    "utf-16": ("time,a\n".encode("utf-16"), "UTF-16"),
    "zip": (b"PK\x03\x04" + bytes(99), "zip"), "gzip": (b"\x1f\x8b" + bytes(99), "gzip"),
    "names only": (b"time,a\n", "no rows"), "no time": (b"a,b\n1,2\n", "no column .* is a time"),
    "binary": (bytes(range(256)), "UTF-8"),
    "zero byte": (CSV + b"x" * 5000 + b"\0,2\n", "line 3 holds a zero byte"),
    "not utf-8": (CSV + CSV[7:] * 60_000 + b"\xff\xfe,1\n", "line 60003 is no text in utf-8"),
    "twice": (b"time,a,a\n" + CSV[7:], "two columns are called 'a'"),
    "same signal": (f"time,A b,a-b\n{TIME},1,2\n".encode(), "A b.*a-b|a-b"),
    "open quote": (CSV + TIME.encode() + b',"1\n', "line 3 is never closed"),
    "stray quote": (CSV + TIME.encode() + b',1"2\n', "line 3 .* middle of a cell"),
    "lone return": (CSV + f"{TIME},1\r{TIME},2\n".encode(), "line 3 has a carriage return"),
    "old lines": (b"time,a\r2024-01-01,1\r", "carriage return"),
    "many columns": (b"time," + b",".join(b"c%d" % i for i in range(20_000)) + b"\n",
                     "20001 columns"),
    "a line of megabytes": (CSV + b"1" * 5_000_000, "line 3 is longer than 2 MB"),
    "a first line of megabytes": (b"1" * 5_000_000, "longer than 2 MB"),
    "cut parquet": (b"PAR1" + bytes(99), "cut off"),
    "parquet with a wild footer": (b"PAR1" + bytes(99) + struct.pack("<I", 2**31) + b"PAR1",
                                   "cut off"),
    "parquet of zeros": (b"PAR1" + bytes(99) + struct.pack("<I", 60) + b"PAR1", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_a_sentence(file: Path, name: str) -> None:
    content, sentence = BAD[name]
    with pytest.raises(Refused, match=sentence) as caught:
        check(file, content)
    assert caught.value.hint and caught.value.code.startswith(("import.", "path."))
    assert len(str(caught.value)) < 1000


ROWS = {
    "formula": ("=HYPERLINK(1)", "is no number"), "command": ("@SUM(1)", "is no number"),
    "letters": ("abc", "is no number"), "two numbers": ("1 2", "is no number"),
    "true": ("true", "is no number"), "too many": ("1,2", "3 cells where 2 columns"),
    "an arabic number": ("٣", "is no number"), "hex": ("0x10", "is no number"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_bad_cell_is_told_with_its_line(file: Path, name: str) -> None:
    cell, sentence = ROWS[name]
    summary, _, _ = check(file, CSV + f"\n{TIME},2\n{TIME},{cell}\n".encode())
    (told,) = summary["told"]
    assert summary["problems"] == 1 and told["line"] == 5 and sentence in told["text"]


@pytest.mark.parametrize(
    ("stamp", "sentence"),
    [("9999-12-31T00:00:00Z", "in the future"), ("1969-12-31T00:00:00Z", "before 1970"),
     ("2024-02-30T00:00:00Z", "no time"), ("", "empty"), ("soon", "no time")],
)  # fmt: skip
def test_a_bad_time_is_told_with_its_line(file: Path, stamp: str, sentence: str) -> None:
    summary, _, _ = check(file, CSV + f"{TIME},2\n{stamp},3\n".encode())
    (told,) = summary["told"]
    assert (summary["problems"], told["line"]) == (1, 4) and sentence in told["text"]


def test_parquet_that_unfolds_without_measure_is_refused(file: Path) -> None:
    table = pa.table({"time": pa.array([T], pa.timestamp("us")),
                      "a": pa.array(["x" * 120_000_000])})  # fmt: skip
    pq.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(Refused, match="would unfold"):
        check(file, file.read_bytes())


def _mutations(content: bytes, seed: int) -> Iterator[bytes]:
    dice = np.random.default_rng(seed)
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(dice.integers(1, 6)):
            at = int(dice.integers(len(changed)))
            changed[at : at + int(dice.integers(3))] = dice.bytes(int(dice.integers(4)))
        yield bytes(changed[: int(dice.integers(1, len(changed) + 1))])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_whatever_is_changed_in_a_file_is_read_or_refused(file: Path, kind: str) -> None:
    table = pa.table({"time": pa.array(range(T, T + 300), pa.timestamp("us", "UTC")),
                      "a": np.arange(300.0), "text": ["abc", 'd"e'] * 150})  # fmt: skip
    if kind == "parquet":
        pq.write_table(table, file)
        content = file.read_bytes()
    else:
        lines = (f"{TIME},{i},word\n" for i in range(300))
        content = ("time,a,text\n" + "".join(lines)).encode()
    for changed in _mutations(content, 4):
        try:
            summary, _, _ = check(file, changed)
        except Refused as refusal:
            assert refusal.hint, str(refusal)
        else:
            assert summary["rows"] <= 1000


def test_forms_that_cannot_work_are_refused() -> None:
    column = ColumnForm("a", f"{PREFIX}/a")
    good = Form("csv", "wide", TimeForm("t"), (column,))
    assert good.checked() == good and Form.from_dict(good.as_dict()) == good
    for change in (
        {"file": "xlsx"}, {"layout": "tall"}, {"decimal": "x"}, {"columns": ()},
        {"columns": (column, column)}, {"layout": "long"}, {"decimal": ","}, {"prefix": "no path"},
        {"dialect": Dialect(delimiter="x")}, {"dialect": Dialect(encoding="utf-16")},
        {"dialect": Dialect(skip=10**9)}, {"layout": "long", "long": LongForm(path="a")},
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            Form(**{**{name: getattr(good, name) for name in good.__slots__}, **change}).checked()
        assert caught.value.hint
