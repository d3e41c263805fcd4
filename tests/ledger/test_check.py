"""What is changed in the database is found by the check, and told where."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lineshaft.core.errors import Broken
from lineshaft.keep.evidence import ledger, look
from lineshaft.ledger.check import check_ledger
from lineshaft.ledger.entries import entry_of
from lineshaft.ledger.merkle import leaf_hash
from lineshaft.ledger.verify import Tampered
from tests.ledger.conftest import STREAM, Filled, fact, forty, message

FLIPS = 100


def change(file: Path, *statements: tuple[str, tuple[Any, ...]] | str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for one in statements:
            connection.execute(*((one,) if isinstance(one, str) else one))


def test_what_was_entered_holds(sealed: Filled) -> None:
    found = check_ledger(sealed.engine)
    assert (found.size, found.seen, found.notes, found.unsigned) == (42, 42, 6, 0)
    assert check_ledger(sealed.engine, 0.1).notes == 1
    state, text, _ = ledger(sealed.file)
    assert state == "ok" and text.startswith("42 entries, signed by ") and "all looked at" in text


def test_a_database_without_a_ledger_has_an_empty_one(tmp_path: Path) -> None:
    change(tmp_path / "old.sqlite", "CREATE TABLE alembic_version (version_num TEXT)")
    assert look(tmp_path / "old.sqlite", None).size == 0


FORGERIES: dict[str, tuple[str, str]] = {
    "words": ("UPDATE ledger_entries SET data = CAST(replace(data, 'source1', 'source2') AS BLOB) "
              "WHERE number = 11", "entry 11 was changed"),
    "leaf": ("UPDATE ledger_entries SET leaf = zeroblob(32) WHERE number = 11",
             "entry 11 was changed"),
    "name": ("UPDATE ledger_entries SET id = 'other' WHERE number = 7", "entry 7 stands under"),
    "kind": ("UPDATE ledger_entries SET kind = 'link.found' WHERE number = 7",
             "entry 7 stands under"),
    "dropped": ("DELETE FROM ledger_entries WHERE number = 9", "has 41 rows"),
    "dropped the last": ("DELETE FROM ledger_entries WHERE number = 41", "has 41 rows"),
    "moved": ("UPDATE ledger_entries SET number = 100 WHERE number = 9", "entry 9 is missing"),
    "node": ("UPDATE ledger_nodes SET hash = zeroblob(32) WHERE place = 1 << 48 | 3",
             "entries 6 to 7, or the hash above them"),
    "node dropped": ("DELETE FROM ledger_nodes WHERE place = 2 << 48 | 1", "ledger_nodes has 38"),
    "root": ("UPDATE ledger_nodes SET hash = zeroblob(32) WHERE place = 5 << 48",
             "entries 0 to 31, or the hash above them"),
    "size": ("UPDATE ledger_state SET size = 41", "has 42 rows"),
    "no state": ("DELETE FROM ledger_state", "has 42 rows"),
    "checkpoint": ("UPDATE ledger_checkpoints SET note = replace(note, 'time 1', 'time 2') "
                   "WHERE size = 42", "checkpoint of 42 entries says something else"),
    "checkpoint's time": ("UPDATE ledger_checkpoints SET at = at + 1 WHERE size = 42",
                          "checkpoint of 42 entries says something else"),
    "checkpoint's form": ("UPDATE ledger_checkpoints SET note = 'x' WHERE size = 42",
                          "not in form"),
    "an earlier checkpoint": ("UPDATE ledger_checkpoints SET note = (SELECT note FROM "
                              "ledger_checkpoints WHERE size = 42) WHERE size = 9",
                              "checkpoint of 9 entries says something else"),
    "type": ("UPDATE ledger_entries SET data = CAST(data AS TEXT) WHERE number = 3",
             "entry 3 was changed"),
    "number": ("UPDATE ledger_entries SET data = 5 WHERE number = 3", "entry 3 was changed"),
    "nothing": ("UPDATE ledger_entries SET data = CAST('' AS BLOB) WHERE number = 3", "entry 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_change_is_found_and_told_where(filled: Filled, name: str) -> None:
    statement, expected = FORGERIES[name]
    change(filled.file, statement)
    with pytest.raises(Tampered, match=expected):
        look(filled.file, None)
    if name != "an earlier checkpoint":  # the doctor looks at the newest alone
        state, text, advice = ledger(filled.file)
        assert (state, "lineshaft ledger verify" in advice) == ("fail", True), text


def _swapped(file: Path, one: int, other: int) -> None:
    move = "UPDATE ledger_entries SET number = ? WHERE number = ?"
    change(file, (move, (1000, one)), (move, (one, other)), (move, (other, 1000)))


def test_two_entries_that_changed_places_are_found(filled: Filled) -> None:
    _swapped(filled.file, 12, 20)
    with pytest.raises(Tampered, match="entries 12 to 13, or the hash above them"):
        look(filled.file, None)


def test_whoever_rewrites_all_that_is_above_as_well_lacks_the_key(filled: Filled) -> None:
    """A forger with the database in their hands makes the whole tree anew over a changed entry."""
    data = entry_of(message(1, fact(777).to_json()), STREAM, 0).data
    forge: Callable[[], None] = lambda: change(  # noqa: E731
        filled.file,
        ("UPDATE ledger_entries SET data = ?, leaf = ?, id = ? WHERE number = 11",
         (data, leaf_hash(data), fact(777).id)),
    )  # fmt: skip
    forge()
    _rebuild(filled.file)
    with pytest.raises(Tampered, match="do not give the root that was signed"):
        look(filled.file, None)


def _rebuild(file: Path) -> None:
    from lineshaft.ledger.merkle import Growth
    from lineshaft.ledger.store import place_number

    growth = Growth()
    with closing(sqlite3.connect(file)) as connection, connection:
        for (leaf,) in connection.execute(
            "SELECT leaf FROM ledger_entries ORDER BY number"
        ).fetchall():
            for place, hashed in growth.add(leaf):
                connection.execute("UPDATE ledger_nodes SET hash = ? WHERE place = ?",
                                   (hashed, place_number(place)))  # fmt: skip


def test_every_flipped_byte_of_an_entry_is_found(filled: Filled) -> None:
    dice = random.Random(4)
    with closing(sqlite3.connect(filled.file)) as connection:
        rows = connection.execute("SELECT number, data, leaf FROM ledger_entries").fetchall()
        filled.engine.dispose()
        connection.execute("PRAGMA synchronous=OFF")
        for _ in range(FLIPS):
            number, data, leaf = dice.choice(rows)
            column, content = dice.choice([("data", data), ("leaf", leaf)])
            changed = bytearray(content)
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            set_to = f"UPDATE ledger_entries SET {column} = ? WHERE number = ?"
            with connection:
                connection.execute(set_to, (bytes(changed), number))
            with pytest.raises(Tampered, match=f"entry {number} was changed"):
                look(filled.file, None)
            with connection:
                connection.execute(set_to, (content, number))
    assert look(filled.file, None).seen == 42


@pytest.mark.parametrize("flips", [40, pytest.param(3000, marks=pytest.mark.long)])
def test_a_byte_flipped_anywhere_in_the_file_is_found_or_harmless(
    tmp_path: Path, flips: int
) -> None:
    """Of the file itself: what the check still accepts says the same as before."""
    made = forty(tmp_path)
    change(made.file, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = _content(made.file)
    made.engine.dispose()
    raw, dice, found = made.file.read_bytes(), random.Random(5), 0
    copy = tmp_path / "copy.sqlite"
    for _ in range(flips):
        changed = bytearray(raw)
        changed[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        copy.write_bytes(changed)
        try:
            look(copy, None, immutable=True)
        except Exception:
            found += 1
            continue
        assert _content(copy) == before
    assert found > flips // 5


def _content(file: Path) -> list[Any]:
    with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as connection:
        return [
            connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
            for table, columns in (("ledger_entries", "number, id, kind, leaf, data"),
                                   ("ledger_nodes", "place, hash"),
                                   ("ledger_checkpoints", "size, at, note"))
        ]  # fmt: skip


def test_a_bounded_check_looks_at_the_newest_first(tmp_path: Path) -> None:
    made = Filled(tmp_path)
    made.put([fact(number) for number in range(8_200)])
    found = look(made.file, 0.0)
    assert 0 < found.seen <= 4096 < found.size == 8_201
    newest = fact(8_199).id
    change(
        made.file,
        ("UPDATE ledger_entries SET data = CAST(data || ' ' AS BLOB) WHERE id = ?", (newest,)),
    )
    with pytest.raises(Tampered, match="entry 8200 was changed"):
        look(made.file, 0.0)
    change(
        made.file,
        ("UPDATE ledger_entries SET data = CAST(rtrim(data) AS BLOB) WHERE id = ?", (newest,)),
    )
    change(made.file, "UPDATE ledger_nodes SET hash = zeroblob(32) WHERE place = 13 << 48")
    with pytest.raises(Tampered, match="entries 0 to 8191, or the hash above them"):
        look(made.file, 0.0)


def test_another_keeper_ends_this_one_and_a_known_fact_is_one_entry(filled: Filled) -> None:
    filled.put([fact(3), fact(41), fact(41)])
    assert filled.state.size == 43
    stale = filled.state
    filled.state = filled.store.take_lease("another")
    with pytest.raises(Broken, match="another keeper has taken over"):
        filled.store.append(stale, [], stale.point, None)
    assert check_ledger(filled.engine).size == 43


def test_of_an_hour_long_past_one_checkpoint_stays(filled: Filled) -> None:
    hour = 3_600_000_000
    filled.at = filled.at // hour * hour + hour
    for number in range(5):
        filled.put([fact(100 + number)])
    sizes = "SELECT size FROM ledger_checkpoints ORDER BY size"
    with closing(sqlite3.connect(filled.file)) as connection:
        assert [n for (n,) in connection.execute(sizes)] == [42, 43, 44, 45, 46, 47]
    filled.at += hour
    filled.put([fact(200)])
    with closing(sqlite3.connect(filled.file)) as connection:
        assert [n for (n,) in connection.execute(sizes)] == [42, 47, 48]
    assert check_ledger(filled.engine).notes == 3
