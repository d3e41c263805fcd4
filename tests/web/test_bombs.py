"""Files and bodies made to fill a memory: each is taken in bounded memory or refused in a sentence.

The limits of memory are measured: of the platform's processes, and of a process that reads a file.
"""

import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from tests.history.test_import_files import TIME, check, file, stored
from tests.web.conftest import House
from tests.web.test_exchange import send, settled
from tests.web.test_people import person

__all__ = ["file"]  # a fixture

GB = 1_000_000_000
MOST = 300_000_000  # by which a process may grow
CHILD = """
import resource, sys
from pathlib import Path
from tests.history.test_import_files import check, file
from lineshaft.core.errors import Refused
path = Path(sys.argv[1])
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
path.with_suffix(".small").write_bytes(b"time,a\\n2024-01-01,1\\n")
check(path.with_suffix(".small"), path.with_suffix(".small").read_bytes())
before, said = most(), "taken"
try:
    from tests.history import test_import_files as t
    t.kind_of(path)
    form = t.guess_file(path, t.PREFIX, []).checked()
    t.check_file(path, form, t.NOW, t.Resolver(form, [], t.conversion), lambda _: True)
except Refused as refused:
    said = str(refused)
print(most() - before, said)
"""


def looked_at(path: Path) -> tuple[int, str]:
    """Return by how many bytes a process grew that read the file, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        capture_output=True, text=True, timeout=170, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    grown, _, said = done.stdout.strip().partition(" ")
    return int(grown), said


def pour(path: Path, head: bytes, piece: bytes, end: bytes = b"\n") -> None:
    """Write head, a gigabyte of pieces, end."""
    with path.open("wb") as out:
        out.write(head)
        for _ in range(GB // len(piece)):
            out.write(piece)
        out.write(end)


LINES: dict[str, tuple[bytes, bytes, str]] = {
    "a cell": (f"time,a\n{TIME},1\n{TIME},".encode(), b"1" * 1_000_000, "line 3 is longer than"),
    "nothing else": (b"", b"1" * 1_000_000, "longer than 2 MB"),
    "the names": (b"time", b",a" * 500_000, "line 1 is longer than"),
    "cells": (f"time,a\n{TIME},1\n{TIME}".encode(), b",1" * 500_000, "line 3 is longer than"),
    "a quoted cell": (f'time,a\n{TIME},1\n{TIME},"'.encode(), b"x\n" * 500_000, "never closed"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", LINES)
def test_a_line_of_a_gigabyte_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    head, piece, sentence = LINES[name]
    pour(tmp_path / "big.csv", head, piece)
    grown, said = looked_at(tmp_path / "big.csv")
    (tmp_path / "big.csv").unlink()
    assert sentence in said and grown < MOST, (grown, said)


def rows_of_one_text(path: Path) -> None:
    """Write two gigabytes of text in a file of a few kilobytes: one text, said often."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), ["x" * 100_000])
    stamps = pa.array(range(20_000), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"time": stamps, "a": texts}), path, compression="zstd")


def rows_without_number(path: Path) -> None:
    """Write a hundred million rows in a small file."""
    table = pa.table({"time": pa.array([0] * 1_000_000, pa.timestamp("us", "UTC")),
                      "a": pa.array([1.0] * 1_000_000)})  # fmt: skip
    with pq.ParquetWriter(path, table.schema, compression="zstd") as out:
        for _ in range(30):
            out.write_table(table)


@pytest.mark.long
@pytest.mark.parametrize("make", [rows_of_one_text, rows_without_number])
def test_parquet_that_grows_is_read_in_little_memory(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 3_000_000
    grown, said = looked_at(tmp_path / "bomb.parquet")
    assert grown < 2 * MOST and (said == "taken" or "unfold" in said), (grown, said)


@pytest.fixture
def memory(house: House) -> Iterator[Callable[[], int]]:
    """Return what says by how many bytes the processes have grown at most, all together."""
    members = [psutil.Process(pid) for pid in house.family().values()]
    before = {one.pid: one.memory_info().rss for one in members}

    def grown() -> int:
        return sum(max(0, highest(one.pid) - before[one.pid]) for one in members)

    for one in members:  # the kernel starts to count anew
        Path(f"/proc/{one.pid}/clear_refs").write_text("5")
    yield grown


def highest(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def stream(total: int, piece: bytes) -> Iterator[bytes]:
    for _ in range(total // len(piece)):
        yield piece


@pytest.mark.long
def test_a_line_of_a_gigabyte_comes_in_and_goes(house: House, memory: Callable[[], int]) -> None:
    answer = send(house, "line.csv", stream(GB, b"1" * 1_000_000))  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    found = settled(house, answer.json()["id"], "checking")
    assert found["state"] == "failed" and "longer than 2 MB" in found["note"], found
    house.ask("DELETE", f"imports/{found['id']}")
    assert memory() < MOST


BODIES = {
    "numbers": ("POST", "notes", b'{"sids":[', b"1," * 500_000),
    "lists": ("POST", "sql", b'{"query":', b"[" * 1_000_000),
    "a text": ("POST", "sql", b'{"query":"', b"x" * 1_000_000),
    "a sheet": ("POST", "signals/import?dry_run=true", b"sid,path\n", b"1" * 1_000_000),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_without_end_is_refused_early(
    house: House, memory: Callable[[], int], name: str
) -> None:
    method, path, head, piece = BODIES[name]

    def body() -> Iterator[bytes]:
        yield head
        yield from stream(GB, piece)

    sent = {"Authorization": f"Bearer {house.key}", "Content-Type": "application/json"}
    try:
        answer = httpx.request(method, f"{house.url}/api/v1/{path}", content=body(), headers=sent,
                               timeout=60)  # fmt: skip
    except httpx.WriteError:
        answer = None  # it hung up while we were still sending, as it may
    if answer is not None:
        assert answer.status_code == 413, answer.text
        assert set(answer.json()) == {"code", "message", "hint"}
    assert house.get("system")
    assert memory() < MOST


@pytest.mark.parametrize("said", [None, "gzip"])
@pytest.mark.parametrize("path", ["imports?name=x.csv", "signals/import?dry_run=true", "sql"])
def test_no_archive_is_unpacked(house: House, path: str, said: str | None) -> None:
    content = gzip.compress(b"1," * 5_000_000)
    headers = {"Authorization": f"Bearer {house.key}", "Content-Type": "application/json"}
    headers |= {"Content-Encoding": said} if said else {}
    answer = httpx.post(f"{house.url}/api/v1/{path}", content=content, headers=headers)
    if path.startswith("signals") and answer.status_code == 200:
        assert answer.json()["changed"] == 0 and answer.json()["token"] is None
    else:
        assert 400 <= answer.status_code < 500 and answer.json()["hint"], answer.text


UNITS = {
    "bar": 100.0, "kPa": 1.0, "": 1.0, "Pa": 0.001, "m3": None, "Cel": None, "=cmd|'/C x'!A1": None,
    "kPa\u202e": None, "k" * 5_000: None, "10^999999999": None, "kPa2.kPa-1": 1.0, "5.kPa": None,
    "é": None, "1e400.kPa": None, "((((((((((": None, "kPa**99999999": None,
}  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_converts_exactly_or_is_refused(file: Path, unit: str) -> None:
    known = [Signal(7, "e/s/a/l/m/p", "p", Kind.FLOAT, "kPa")]
    text = f'time,"e/s/a/l/m/p [{unit}]"\n{TIME},2\n' if unit else f"time,e/s/a/l/m/p\n{TIME},2\n"
    try:
        _, targets, form = check(file, text.encode(), None, known)
    except Refused as refused:
        assert UNITS[unit] is None and refused.hint and len(str(refused)) < 1000
        return
    (row,) = stored(file, form, targets)
    factor = UNITS[unit]
    assert row[0] != "e/s/a/l/m/p" or (factor and row[2] == pytest.approx(2 * factor)), row


def test_a_zip_with_a_table_is_named_as_such(house: House, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", b"0" * 100_000_000)
    answer = send(house, "x.csv", (tmp_path / "x.zip").read_bytes())
    assert answer.status_code == 400 and "zip" in answer.json()["message"], answer.text


def test_a_viewer_fills_no_memory(house: House, memory: Callable[[], int]) -> None:
    body = json.dumps({"query": "SELECT 1", "limit": [[]] * 1_900_000}).encode()
    with person(house) as client:
        answer: Any = client.post("sql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert memory() < 2 * MOST
