"""Rows go when their time is over; what is left says so, and never another number."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.retention import Rule, budget_day, due, keep_of
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.retirement import Retirement
from tests.history.desk import DAY, START, Desk, block, listed, unnumbered

TODAY = START // DAY + 100
MINUTE = 60_000_000
PATHS = {1: "e/s/a/l/m/fast", 2: "e/s/a/l/m/slow", 3: "e/s/b/l/m/other"}
ONCE = {4: "e/s/a/l/m/once", 5: "e/s/a/l/m/text"}


def _filled(folder: Path, days: int = 3) -> Desk:
    desk = Desk(folder)
    for day in range(days):
        for half in range(2):
            start = START + day * DAY + half * DAY // 2
            rows = [(sid, start + n * MINUTE, float(n % 97 + sid), None, 0)
                    for sid in PATHS for n in range(700)]  # fmt: skip
            desk.accept(block(rows))
            desk.commit()
    desk.prune()
    while desk.compact():
        pass
    return desk


def _retire(desk: Desk, *rules: Rule, budget: float = 0) -> Retirement:
    desk.catalogue.set_rules(rules)
    made = Retirement(
        desk.engine, "DATA_t", desk.files, lambda: PATHS | ONCE, lease="lease", budget_bytes=budget,
        grace_s=0,
    )  # fmt: skip
    made.retire_all(TODAY)
    made.sweep()
    return made


def _on_disk(desk: Desk) -> set[str]:
    return {path.name for path in desk.folder.glob("*/*")}


def test_rows_of_a_class_go_and_its_roll_ups_stay(tmp_path: Path) -> None:
    desk = _filled(tmp_path)
    before, _ = desk.reader.trend([1, 2], START, START + 3 * DAY, 24, {})
    _retire(desk, Rule("e/s/a", 98, None))
    gone = START + 2 * DAY
    today = datetime.fromtimestamp(now_us() / 1e6, UTC).date()
    told = rf"signal 1 before 2023-12-11.* were retired on {today}"
    with pytest.raises(Refused, match=told) as refused:
        desk.reader.raw([1], START, START + 3 * DAY)
    assert refused.value.status == 410
    for sid in (1, 2):
        assert listed(desk.reader.raw([sid], gone, gone + DAY)) == desk.table.raw(
            [sid], gone, gone + DAY
        )
    everything = (START, START + 3 * DAY)
    assert listed(desk.reader.raw([3], *everything)) == desk.table.raw([3], *everything)
    after, _ = desk.reader.trend([1, 2], START, START + 3 * DAY, 24, {})
    for one, other in zip(before, after, strict=True):
        assert one.ts.tolist() == other.ts.tolist()
        assert one.v.tolist() == other.v.tolist()
    assert desk.reader.extent([1]) == (START, desk.table.newest([1])[0][1])
    with pytest.raises(Refused, match="retired"):
        desk.reader.trend([1], START, START + DAY, 24, {}, as_of=1 << 60)
    [close], _ = desk.reader.trend([1], START, START + 3600 * 1_000_000, 1000, {})
    assert close.v.max() == max(r[2] for r in desk.table.raw([1], START, START + 60 * MINUTE))


def test_the_value_that_held_outlives_its_rows_in_the_roll_ups(tmp_path: Path) -> None:
    desk = _filled(tmp_path)
    desk.accept(block([(4, START + 5, 7.0, None, 0), (5, START + 5, None, "open", 0)]))
    desk.commit()
    while desk.compact():
        pass
    last, gone = desk.table.newest([1, 2, 3, 4], START + 2 * DAY), START + 2 * DAY
    _retire(desk, Rule("e/s/a", 98, None))
    desk.tail.last = LastValues()  # which knows the newest of all, whatever went
    held = listed(desk.reader.held([1, 2, 3, 4, 5], gone - 1))
    assert unnumbered(held) == unnumbered(last), "a text is not in the roll-ups"
    assert [row[5] > 0 for row in held] == [False, False, True, False]
    assert listed(desk.reader.held([3], START + 7)) == desk.table.newest([3], START + 8)
    with pytest.raises(Refused, match="retired"):
        desk.reader.held([3, 1], gone - 2)


def test_files_of_retired_rows_leave_the_disk_and_nothing_else(tmp_path: Path) -> None:
    desk = _filled(tmp_path)
    _retire(desk, Rule("", 98, None))
    _, named = desk.catalogue.files()
    assert {(file.day, file.kind) for file in named} == {
        (START // DAY, "rolled"), (START // DAY + 1, "rolled"), (START // DAY + 2, "sequence"),
    }  # fmt: skip
    assert sum(name.endswith(".parquet") for name in _on_disk(desk)) == 1
    assert desk.files.damaged(named) == [] and not any(map(desk.files.lacks_rollups, named))
    assert desk.files.drop_unnamed(named) == 0
    _retire(desk, Rule("", 98, 99))
    _, named = desk.catalogue.files()
    assert min(file.day for file in named) == START // DAY + 1


def test_rules_that_keep_all_change_nothing(tmp_path: Path) -> None:
    desk = _filled(tmp_path, 1)
    before = _on_disk(desk)
    _retire(desk, Rule("", None, None), Rule("e/s/b", 101, None))
    assert _on_disk(desk) == before
    assert len(desk.reader.raw([1, 2, 3], 0, 1 << 62)) == 3 * 1400


def test_a_budget_takes_the_oldest_day_first(tmp_path: Path) -> None:
    desk = _filled(tmp_path)
    _, named = desk.catalogue.files()
    total = sum(file.size + file.rollup_size for file in named)
    _retire(desk, budget=total - 1)
    _, named = desk.catalogue.files()
    kinds = [file.kind for file in named]
    assert kinds == ["rolled", "sequence", "sequence"]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.integers(1, 30_000),
       st.integers(0, 40))  # fmt: skip
def test_a_budget_is_kept_as_far_as_the_last_week_allows(
    sizes: list[int], budget: int, today: int
) -> None:
    files = [FileEntry(f"d/{day}", "sequence", day, 1, size, 1, 1, 0, 0, 0, 0, 1)
             for day, size in enumerate(sizes)]  # fmt: skip
    first = budget_day(files, budget, today)
    left = sum(f.size for f in files if f.day >= first) + len(files)
    assert left <= budget or first > min(len(sizes) - 1, today - 7)
    assert first <= max(today - 6, 0)
    if first > 0:
        assert left + files[first - 1].size > budget


def test_the_longest_prefix_rules() -> None:
    rules = [Rule("", 100, 1000), Rule("e/s/a", 10, None), Rule("e/s/a/l/m/fast", None, None)]
    keep = keep_of(rules, PATHS, 5000)
    assert keep.sid.tolist() == [1, 2, 3]
    assert keep.raw.tolist()[1:] == [4990, 4900] and keep.rollup.tolist()[2] == 4000
    assert keep.raw[0] < -(10**9) and keep.rollup[1] < -(10**9)
    late = FileEntry("d/x", "late", 0, 1, 1, 1, 3, 0, 0, 0, 0)
    assert due([late], keep) is None
    mixed = FileEntry("d/y", "sequence", 4950, 1, 1, 1, 3, 0, 0, 0, 0, 5)
    found = due([mixed], keep)
    assert found is not None and (found.sids.tolist(), found.whole) == ([2], False)
    assert np.array_equal(keep.sid, np.sort(keep.sid))
