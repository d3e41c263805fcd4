"""The records database: transactions queue, readers see one moment, what returned is on disk."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text

from lineshaft.records import open_records, reading

_meta = MetaData()
_table = Table("numbers", _meta, Column("n", Integer, primary_key=True))


def test_the_guarantees_are_switched_on(tmp_path: Path) -> None:
    engine = open_records(tmp_path / "r.db")
    with reading(engine) as connection:
        asked = {p: connection.scalar(text(f"PRAGMA {p}")) for p in
                 ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")}  # fmt: skip
    assert asked == {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000,
    }  # fmt: skip
    engine.dispose()


def test_read_then_write_of_two_writers_never_interleaves(tmp_path: Path) -> None:
    where = tmp_path / "r.db"
    first = open_records(where)
    _meta.create_all(first)

    def count_up(times: int) -> None:
        engine = open_records(where)
        for _ in range(times):
            with engine.begin() as connection:
                last = connection.scalar(text("select coalesce(max(n), 0) from numbers")) or 0
                connection.execute(insert(_table).values(n=last + 1))
        engine.dispose()

    threads = [threading.Thread(target=count_up, args=(25,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with reading(first) as connection:
        assert list(connection.scalars(select(_table.c.n))) == list(range(1, 101))
    first.dispose()


def test_a_reader_sees_one_moment_and_blocks_nobody(tmp_path: Path) -> None:
    engine = open_records(tmp_path / "r.db")
    _meta.create_all(engine)
    with reading(engine) as connection:
        assert connection.scalar(text("select count(*) from numbers")) == 0
        with engine.begin() as writer:
            writer.execute(insert(_table).values(n=1))
        assert connection.scalar(text("select count(*) from numbers")) == 0
    with reading(engine) as connection:
        assert connection.scalar(text("select count(*) from numbers")) == 1
    engine.dispose()


def test_an_error_undoes_the_whole_transaction(tmp_path: Path) -> None:
    engine = open_records(tmp_path / "r.db")
    _meta.create_all(engine)
    with pytest.raises(RuntimeError), engine.begin() as connection:
        connection.execute(insert(_table).values(n=1))
        raise RuntimeError
    with reading(engine) as connection:
        assert connection.scalar(text("select count(*) from numbers")) == 0
    engine.dispose()
