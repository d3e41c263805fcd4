"""Files are whole or absent, and readable by anybody who reads Parquet."""

import os
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from lineshaft.core.errors import Broken
from lineshaft.rooms.history.engine.commit import Part, arrange
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import full_seq
from lineshaft.rooms.history.files import FileStore
from tests.history.desk import DAY, START, block


def _parts() -> list[Part]:
    rows = [(1, START, 1.5, None, 0), (2, START + DAY, None, "on", 0), (2, START, None, None, 512)]
    return arrange([(full_seq(3, 41), block(rows)), (full_seq(3, 42), block(rows))], LastValues())


def test_a_file_says_its_day_epoch_and_range_and_is_plain_parquet(tmp_path: Path) -> None:
    steps: list[str] = []
    store = FileStore(tmp_path / "history", steps.append)
    entries = store.write(_parts(), "abc")
    assert [entry.path for entry in entries] == [
        "2023-12-09/0003-000000000041-000000000041-sequence-abc.parquet",
        "2023-12-10/0003-000000000041-000000000041-sequence-abc.parquet",
        "2023-12-09/0003-000000000042-000000000042-late-abc.parquet",
        "2023-12-10/0003-000000000042-000000000042-late-abc.parquet",
    ]
    assert steps == ["written", "renamed"] * 4
    assert store.damaged(entries) == []
    found = duckdb.execute(
        "SELECT sid, epoch_us(ts), v, s, q, seq FROM read_parquet($f)",
        {"f": str(tmp_path / "history" / entries[0].path)},
    ).fetchall()
    seq = full_seq(3, 41)
    assert found == [(1, START, 1.5, None, 0, seq), (2, START, None, None, 512, seq)]
    metadata = pq.ParquetFile(tmp_path / "history" / entries[0].path).metadata
    assert metadata.metadata[b"lineshaft.schema"] == b"1"
    stamps = metadata.row_group(0).column(1)
    assert stamps.encodings[0] == "DELTA_BINARY_PACKED" or "DELTA_BINARY_PACKED" in stamps.encodings
    assert stamps.compression == "ZSTD"


def test_a_step_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def step(name: str) -> None:
        if name == "renamed" and len(list(tmp_path.glob("*/*.parquet"))) == 3:
            raise OSError(28, os.strerror(28))

    store = FileStore(tmp_path, step)
    with pytest.raises(Broken, match="No space left") as broken:
        store.write(_parts(), "abc")
    assert broken.value.retryable
    assert list(tmp_path.glob("*/*")) == []


def test_what_nobody_names_is_dropped_and_what_is_named_stays(tmp_path: Path) -> None:
    store = FileStore(tmp_path, lambda _: None)
    entries = store.write(_parts(), "abc")
    hidden = tmp_path / "2023-12-09" / ".x.parquet.new"
    hidden.write_bytes(b"half")
    assert store.drop_unnamed(entries[1:]) == 2
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")) == sorted(
        entry.path for entry in entries[1:]
    )
    store.remove(entries[1])
    store.remove(entries[1])
    assert store.damaged(entries) == entries[:2]
    assert [store.kind_of(entry) for entry in entries] == ["sequence", "sequence", "late", "late"]


def test_many_rows_take_little_room(tmp_path: Path) -> None:
    count = 100_000
    dice = np.random.default_rng(1)
    walk = np.round(np.cumsum(dice.normal(0, 0.1, count)), 2)
    rows = [(1 + i % 10, START + i * 100_000, float(v), None, 0) for i, v in enumerate(walk)]
    store = FileStore(tmp_path, lambda _: None)
    entries = store.write(arrange([(1, block(rows))], LastValues()), "abc")
    assert sum(entry.size for entry in entries) / count < 9
