"""The catalogue: all or nothing, and only for who holds the lease."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from lineshaft.core.errors import Broken
from lineshaft.core.facts import Fact
from lineshaft.records import metadata, open_records
from lineshaft.rooms.history.model import Checkpoint, FileEntry
from lineshaft.rooms.history.store import Catalogue, FactStore

_ONE = FileEntry("2024-01-01/a.parquet", "sequence", 19_723, 3, 10, 1, 2, 100, 200, 1, 5)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    engine = open_records(tmp_path / "records.sqlite")
    metadata.create_all(engine)
    return Catalogue(engine, "DATA_t")


def _refused(call: object, *arguments: object) -> None:
    with pytest.raises(Broken) as broken:
        call(*arguments)  # type: ignore[operator]
    assert broken.value.code == "history.lease_lost"
    assert not broken.value.retryable


def test_files_and_position_move_together(catalogue: Catalogue) -> None:
    assert catalogue.row() is None
    start = catalogue.take_lease("a").last
    after = Checkpoint(start.epoch, 5, "id5")
    catalogue.commit("a", start, after, [_ONE], {0: b"last"}, 1000)
    row, files = catalogue.files()
    assert row is not None
    assert (row.last, row.rows, files) == (after, 3, [_ONE])
    assert catalogue.last_chunks()[1] == {0: b"last"}
    assert catalogue.checkpoints() == [after]


def test_a_commit_from_another_position_or_lease_changes_nothing(catalogue: Catalogue) -> None:
    start = catalogue.take_lease("a").last
    after = Checkpoint(0, 5, "id5")
    catalogue.commit("a", start, after, [_ONE], {}, 0)
    later = Checkpoint(0, 6, "id6")
    other = FileEntry(**{**{n: getattr(_ONE, n) for n in FileEntry.__slots__}, "path": "b"})
    _refused(catalogue.commit, "a", start, later, [other], {0: b"x"}, 0)
    catalogue.take_lease("b")
    _refused(catalogue.commit, "a", after, later, [other], {0: b"x"}, 0)
    _refused(catalogue.open_epoch, "a", "token", later, 0)
    _refused(catalogue.replace, "a", _ONE.path, [])
    _refused(catalogue.mark, "a", _ONE.path, "damaged")
    row, files = catalogue.files()
    assert row is not None
    assert (row.last, files, catalogue.last_chunks()[1]) == (after, [_ONE], {})


def test_a_file_named_twice_rolls_the_commit_back(catalogue: Catalogue) -> None:
    start = catalogue.take_lease("a").last
    middle = Checkpoint(0, 5, "x")
    catalogue.commit("a", start, middle, [_ONE], {}, 0)
    with pytest.raises(Exception, match="UNIQUE"):
        catalogue.commit("a", middle, Checkpoint(0, 9, "y"), [_ONE], {}, 0)
    row = catalogue.row()
    assert row is not None and row.last == middle


def test_nobody_names_a_file_while_a_new_writer_cleans_up(catalogue: Catalogue) -> None:
    start = catalogue.take_lease("a").last
    outcome: list[str] = []

    def commit() -> None:
        try:
            catalogue.commit("a", start, Checkpoint(0, 5, "x"), [_ONE], {}, 0)
            outcome.append("named")
        except Broken as error:
            outcome.append(error.code)

    old = threading.Thread(target=commit)

    def clean(named: Sequence[FileEntry]) -> None:
        assert named == []
        old.start()
        old.join(0.3)
        assert old.is_alive(), "a commit went through while files were being deleted"

    catalogue.take_lease("b", clean)
    old.join(20)
    assert outcome == ["history.lease_lost"]


def test_files_are_found_by_time(catalogue: Catalogue) -> None:
    start = catalogue.take_lease("a").last
    catalogue.commit("a", start, Checkpoint(0, 5, "x"), [_ONE], {}, 0)
    for span, found in (((0, 100), 0), ((0, 101), 1), ((200, 300), 1), ((201, 300), 0),
                        ((None, None), 1)):  # fmt: skip
        assert len(catalogue.files(*span)[1]) == found


def test_checkpoints_are_remembered_by_time_and_forgotten(catalogue: Catalogue) -> None:
    before = catalogue.take_lease("a").last
    for number in range(1, 5):
        after = Checkpoint(0, number * 10, f"id{number}")
        catalogue.commit("a", before, after, [], {}, number * 100)
        before = after
    assert catalogue.position_at(99) is None
    assert catalogue.position_at(250) == Checkpoint(0, 20, "id2")
    catalogue.forget_checkpoints(0, 30)
    assert [point.position for point in catalogue.checkpoints()] == [40, 30]


def test_facts_move_their_position_or_are_not_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    engine = open_records(tmp_path / "records.sqlite")
    store, facts = FactStore(engine), Catalogue(engine, "FACT_t")
    start = facts.take_lease("a").last
    fact = Fact("link.lost", 5, "x")
    after = Checkpoint(0, 1, "i")
    store.keep(facts, "a", start, [(1, fact)], after)
    _refused(store.keep, facts, "a", start, [(2, Fact("link.lost", 6, "x"))], Checkpoint(0, 2, ""))
    store.keep(facts, "a", after, [(2, fact)], Checkpoint(0, 2, "i"))
    assert store.find() == [fact]
