"""Loops in the records: what is refused changes nothing, and a change begins in shadow again."""

from dataclasses import replace
from pathlib import Path

import pytest

from lineshaft.core.errors import Refused
from lineshaft.records import metadata, open_records
from lineshaft.rooms.decide.model import Goal, Loop, LoopHandle
from lineshaft.rooms.decide.store import LoopStore

LOOP = Loop("x", "Cost", "a/b/c/d/e", Goal("t", "minimise", "", 5),
            (LoopHandle(3, 0.0, 1.0, 1.0),))  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> LoopStore:
    engine = open_records(tmp_path / "records.db")
    metadata.create_all(engine)
    made = LoopStore(engine)
    made.add(LOOP, "autonomous", 1)
    return made


def test_a_change_of_what_was_changed_meanwhile_leaves_the_loop_at_work(store: LoopStore) -> None:
    with pytest.raises(Refused, match="changed by somebody else"):
        store.change(replace(LOOP, tolerance=0.5, revision=8), 7, 9)
    kept = store.get("x")
    assert (kept.loop, kept.mode, kept.since) == (LOOP, "autonomous", 1)


def test_a_changed_loop_begins_in_shadow_in_the_same_transaction(store: LoopStore) -> None:
    changed = replace(LOOP, tolerance=0.5, revision=2)
    store.change(changed, 1, 9)
    kept = store.get("x")
    assert (kept.loop, kept.mode, kept.since) == (changed, "shadow", 9)
    store.change(replace(changed, tolerance=0.4, revision=3), 2, 20)
    assert store.get("x").since == 9, "it was in shadow already"
