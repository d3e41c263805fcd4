"""What is merged next: also a day that one commit brought whole, and never the same twice."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lineshaft.rooms.history.engine.compaction import Job, choose
from lineshaft.rooms.history.model import FileEntry

TODAY = 20_000


def _file(name: str, day: int, rows: int, *, kind: str = "sequence", rolled: int = 0) -> FileEntry:
    return FileEntry(f"{day}/{name}.parquet", kind, day, rows, rows, 1, 9, 0, 10, 1, 2, rolled)


def _settled(files: list[FileEntry]) -> frozenset[str]:
    return frozenset(file.path for file in files)


def test_a_day_of_one_file_gets_its_rollups_once_it_is_over() -> None:
    alone = _file("a", TODAY - 3, 1_700_000)
    assert choose([alone], TODAY, _settled([alone])) == Job(alone.day, (alone,), False)
    assert choose([alone], TODAY) is None, "something may still come"
    assert choose([replace(alone, day=TODAY)], TODAY, _settled([alone])) is None
    rolled = replace(alone, rollup_size=9)
    assert choose([rolled], TODAY, _settled([rolled])) is None


def test_a_late_file_that_waits_has_no_day_merged_again_and_again() -> None:
    day = _file("whole", TODAY - 1, 100_000_000, rolled=5)
    late = _file("late", TODAY - 1, 10, kind="late")
    files = [day, late]
    assert choose(files, TODAY, _settled(files)) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 10**7), st.booleans()), max_size=12))
def test_merging_ends(drawn: list[tuple[int, int, bool]]) -> None:
    """Whatever there is: after finitely many merges nothing is left, and earlier days are rolled
    up."""
    files = [
        _file(f"{number:04d}", TODAY - back, rows, rolled=int(rolled))
        for number, (back, rows, rolled) in enumerate(drawn)
    ]
    for turn in range(2 * len(files) + 2):
        job = choose(files, TODAY, _settled(files))
        if job is None:
            break
        rows = sum(file.rows for file in job.files)
        made = _file(f"1-{turn:016d}0", job.day, rows, rolled=1)
        files = [file for file in files if file not in job.files] + [made]
    assert choose(files, TODAY, _settled(files)) is None
    assert all(file.rollup_size for file in files if file.day < TODAY)
