"""Whatever the order of blocks, commits and restarts, the reader answers like a plain table."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.rooms.history.engine.rollup import LEVELS
from lineshaft.rooms.history.engine.rows import full_seq
from lineshaft.rooms.history.model import Checkpoint
from lineshaft.rooms.history.store import Catalogue, FactStore
from tests.history.desk import DAY, START, Desk, Listed, Row, block, listed, unnumbered

FOREVER = 1 << 62
SIDS = [1, 2, 7, 65_535, 65_536, 65_537, 131_072, 2**31 - 1]

# Few signals and stamps, so that they meet; two days and their border.
_stamps = st.one_of(
    st.integers(START, START + 12),
    st.integers(START + DAY - 3, START + DAY + 3),
    st.integers(START + 5 * DAY, START + 5 * DAY + 5),
)
_values = st.one_of(
    st.tuples(st.floats(-1e9, 1e9), st.none(), st.sampled_from([0, 256, 257])),
    st.tuples(st.none(), st.none(), st.sampled_from([512, 516])),
    st.tuples(st.none(), st.sampled_from(["", "open", "closed", "läuft"]), st.just(0)),
)
_rows = st.builds(lambda sid, ts, rest: (sid, ts, *rest), st.sampled_from(SIDS), _stamps, _values)
_acts = st.lists(
    st.one_of(
        st.lists(_rows, min_size=1, max_size=12),
        st.sampled_from(["commit", "commit", "prune", "restart", "epoch", "compact", "compact"]),
    ),
    min_size=1,
    max_size=14,
)


@contextmanager
def _desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        yield desk
        desk.close()


def _play(desk: Desk, acts: list[list[Row] | str]) -> None:
    for act in acts:
        match act:
            case "commit":
                desk.commit()
            case "prune":
                desk.prune()
            case "restart":
                desk.restart()
            case "epoch":
                desk.new_epoch()
            case "compact":
                desk.compact()
            case _:
                desk.accept(block(act))  # type: ignore[arg-type]


@settings(max_examples=60)
@given(_acts, st.sets(st.sampled_from(SIDS), min_size=1), _stamps, _stamps, st.integers(0, 20))
def test_the_reader_answers_like_a_table(
    acts: list[list[Row] | str], sids: set[int], one: int, other: int, back: int
) -> None:
    with _desk() as desk:
        _play(desk, acts)
        wanted, (start, end) = sorted(sids), sorted((one, other))
        table, reader = desk.table, desk.reader
        assert listed(reader.raw(wanted, 0, FOREVER)) == table.raw(wanted, 0, FOREVER)
        assert listed(reader.raw(wanted, start, end + 1)) == table.raw(wanted, start, end + 1)
        assert unnumbered(listed(reader.last(wanted))) == unnumbered(table.newest(wanted))
        whole = table.raw(wanted, 0, FOREVER, revisions=True)
        assert listed(reader.raw(wanted, 0, FOREVER, revisions=True)) == whole
        then = full_seq(desk.epoch, max(desk.position - back, 0))
        assert listed(reader.raw(wanted, 0, FOREVER, as_of=then)) == table.raw(
            wanted, 0, FOREVER, then
        )
        assert listed(reader.last(wanted, as_of=then)) == table.newest(wanted, as_of=then)
        for at in (start - 1, start, end):
            held = unnumbered(listed(reader.held(wanted, at)))
            assert held == unnumbered(table.newest(wanted, at + 1))
            assert listed(reader.held(wanted, at, as_of=then)) == table.newest(wanted, at + 1, then)
        stamps = [row[1] for row in table.raw(wanted, 0, FOREVER)]
        extent = (min(stamps), max(stamps)) if stamps else (None, None)
        assert reader.extent(wanted) == extent
        _check_trend(desk, wanted, start, end + 1)
        _check_trend(desk, wanted, start, end + 1, 3)
        _check_files(desk)


def _check_trend(desk: Desk, sids: list[int], start: int, end: int, pixels: int = 1000) -> None:
    """The trend is the value that held at the start and then every row, or the first, last, least
    and greatest of every column where columns are wider than a roll-up."""
    series, _ = desk.reader.trend(sids, start, end, pixels, {})
    assert [one.sid for one in series] == sids
    wide = (end - start) // pixels
    level = max((level for level in LEVELS if level <= wide), default=0)
    for one in series:
        held = desk.table.newest([one.sid], start)
        expected = held + desk.table.raw([one.sid], start, end)
        if level:
            expected = _drawn(expected, start, -(-wide // level) * level)
        points = zip(one.ts.tolist(), _nulls(one.v), one.q.tolist(), strict=True)
        assert list(points) == [(row[1], row[2], row[4]) for row in expected]


def _drawn(rows: list[Listed], start: int, step: int) -> list[Listed]:
    columns: dict[int, list[Listed]] = {}
    for row in rows:
        columns.setdefault(max(row[1], start) // step, []).append(row)
    kept: set[Listed] = set()
    for own in columns.values():
        kept |= {own[0], own[-1]}
        valued = [row for row in own if row[2] is not None and row[4] < 512]
        if valued:  # of equal ones the first
            kept |= {min(valued, key=lambda r: r[2]), max(valued, key=lambda r: r[2])}  # type: ignore[type-var, return-value, arg-type]
    return sorted(kept, key=lambda row: row[1])


def _nulls(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) else v for v in values.tolist()]


def _check_files(desk: Desk) -> None:
    """Files are sorted, of one day, as the catalogue says; sequence files never overlap."""
    spans: dict[int, list[tuple[int, int]]] = {}
    _, entries = desk.catalogue.files()
    for entry in entries:
        path = desk.folder / entry.path
        table = pq.ParquetFile(path).read()
        sid = table.column("sid").to_numpy()
        ts = table.column("ts").cast("int64").to_numpy()
        seq = table.column("seq").to_numpy()
        assert (len(sid), path.stat().st_size) == (entry.rows, entry.size)
        assert (sid.min(), sid.max()) == (entry.sid_min, entry.sid_max)
        assert (ts.min(), ts.max()) == (entry.ts_min, entry.ts_max)
        assert (seq.min(), seq.max()) == (entry.seq_min, entry.seq_max)
        assert set((ts // DAY).tolist()) == {entry.day}
        assert (np.lexsort((seq, ts, sid)) == np.arange(len(sid))).all()
        if entry.kind == "sequence":
            for own in np.unique(sid).tolist():
                mine = ts[sid == own]
                # A compacted file keeps all revisions.
                assert (np.diff(mine) > (-1 if entry.rollup_size else 0)).all()
                spans.setdefault(own, []).append((int(mine[0]), int(mine[-1])))
    for own in spans.values():
        assert all(left[1] < right[0] for left, right in pairwise(sorted(own)))


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.integers(0, 20_000), min_size=200, max_size=600), min_size=2, max_size=6),
    st.integers(0, 10_000),
    st.integers(1, 9_000),
    st.integers(1, 40),
)
def test_a_trend_keeps_every_extreme_of_every_pixel(
    blocks: list[list[int]], start: int, width: int, pixels: int
) -> None:
    start, end = START + start, START + start + width
    with _desk() as desk:
        for number, stamps in enumerate(blocks):
            values = [((t * 7919 + number * 31) % 1009) / 7 for t in stamps]
            rows = [(1, START + t, None if v > 140 else v, None, 512 if v > 140 else 0)
                    for t, v in zip(stamps, values, strict=True)]  # fmt: skip
            desk.accept(block(rows))
            if number % 2:
                desk.commit()
                desk.prune()
        [one], _ = desk.reader.trend([1], start, end, pixels, {})
        points = list(zip(one.ts.tolist(), _nulls(one.v), one.q.tolist(), strict=True))
        rows_in = [(r[1], r[2], r[4]) for r in desk.table.raw([1], start, end)]
        held = [(r[1], r[2], r[4]) for r in desk.table.newest([1], start)]
        assert set(points) <= set(rows_in + held)
        assert points[: len(held)] == held
        assert [p[0] for p in points] == sorted({p[0] for p in points})
        for column in range(pixels):
            own = [r for r in rows_in if (r[0] - start) * pixels // width == column]
            drawn = [p for p in points if p in set(own)]
            if own:
                assert drawn[-1] == own[-1]
                assert drawn[0] == own[0] or (column == 0 and held)
            numbers = [r[1] for r in own if r[1] is not None]
            if numbers:
                kept = [p[1] for p in drawn if p[1] is not None]
                if column > 0 or not held:
                    assert (min(kept), max(kept)) == (min(numbers), max(numbers))


_minute = st.integers(0, 3 * 60)
_times = st.builds(lambda m, us: START + m * 60_000_000 + us, _minute, st.integers(0, 2))
_some = st.builds(
    lambda ts, v: (1, ts, None if v == 7 else float(v), None, 512 if v in (6, 7) else 0),
    _times, st.integers(0, 7),
)  # fmt: skip


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.lists(_some, min_size=1, max_size=40),
            st.sampled_from(["commit", "commit", "prune", "compact", "compact"]),
        ),
        min_size=2, max_size=16,
    ),
    _times, _times, st.integers(1, 12),
)  # fmt: skip
def test_a_trend_from_roll_ups_is_the_trend_from_all_rows(
    acts: list[list[Row] | str], one: int, other: int, pixels: int
) -> None:
    start, end = sorted((one, other))
    with _desk() as desk:
        _play(desk, [*acts, "commit", "prune", "compact"])
        _keep_gap(desk, "other source", START, START + 1)
        _check_trend(desk, [1], start, end + 1, pixels)
        for at in (start, end, end + DAY):
            held = unnumbered(listed(desk.reader.held([1], at)))
            assert held == unnumbered(desk.table.newest([1], at + 1))
        _check_files(desk)


def test_a_late_row_in_the_tail_does_not_hide_the_value_that_held(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START + 90, 9.0, None, 0)]))
    desk.commit()
    desk.prune()
    desk.accept(block([(1, START + 150, 15.0, None, 0)]))
    desk.accept(block([(1, START + 50, 5.0, None, 0)]))
    [one], _ = desk.reader.trend([1], START + 100, START + 200, 100, {})
    assert one.ts.tolist() == [START + 90, START + 150]


def test_the_value_that_held_is_found_behind_files_that_reach_further(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START + 90, 9.0, None, 0)]))
    desk.commit()
    desk.accept(block([(1, START + 150, 15.0, None, 0)]))
    for number in range(10):  # each with a late row of 1, and a row of 2 that lies after 90
        late = START + 10 + number
        desk.accept(block([(1, late, 0.0, None, 0), (2, START + 91 + number % 3, 1.0, None, 0)]))
        desk.commit()
    desk.prune()
    [one], _ = desk.reader.trend([1], START + 100, START + 200, 100, {})
    assert one.ts.tolist() == [START + 90, START + 150]


def test_a_correction_of_the_newest_stamp_outlives_a_restart(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START, 1.0, None, 0)]))
    desk.commit()
    desk.accept(block([(1, START, 2.0, None, 256)]))
    desk.commit()
    desk.restart()
    assert listed(desk.reader.last([1])) == desk.table.newest([1])


def test_gaps_break_the_line_and_the_value_after_them_holds(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    second = 1_000_000
    many = [(1, START + i * 1000, float(i % 97), None, 0) for i in range(5000)]
    desk.accept(block([*many, (2, START + 5, 5.0, None, 0), (3, START + 5, 6.0, None, 0)]))
    desk.commit()
    gap = (START + 2 * second + 300, START + 3 * second + 700)
    _keep_gap(desk, "a", *gap)
    _keep_gap(desk, "b", START + 100 * second, START + 101 * second)
    series, gaps = desk.reader.trend(
        [1, 2, 3], START, START + 5 * second, 20, {1: "a", 2: "a", 3: "b"}
    )
    assert [(g.source, g.start, g.end, g.cause) for g in gaps] == [("a", *gap, "cut")]
    for sid, one in zip((1, 2), series, strict=False):
        at = one.ts.tolist()
        broken = at.index(gap[0] + 1)
        assert np.isnan(one.v[broken]) and one.q[broken] == 516
        [held] = desk.table.newest([sid], gap[1] + 1)
        assert one.v[at.index(gap[1])] == held[2]
        assert at == sorted(at)
    assert series[2].ts.tolist() == [START + 5]


def _keep_gap(desk: Desk, source: str, start: int, end: int) -> None:
    body = {"from": start, "to": end, "cause": "cut"}
    keep_facts(desk, [Fact("link.gap", end, source, body)])


def keep_facts(desk: Desk, told: list[Fact]) -> None:
    facts = Catalogue(desk.engine, "FACT_t")
    last = facts.take_lease("lease").last
    after = Checkpoint(last.epoch, last.position + 1, "")
    numbered = [(full_seq(0, after.position * 100 + i), fact) for i, fact in enumerate(told)]
    FactStore(desk.engine).keep(facts, "lease", last, numbered, after)


def test_a_trend_over_centuries_and_many_pixels_keeps_its_extremes(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    rows = [(1, START + i, float(i == 60_000), None, 0) for i in range(90_000)]
    desk.accept(block(rows))
    [one], _ = desk.reader.trend([1], 0, 4_000_000_000_000_000, 20_000, {})
    assert one.v.max() == 1.0
    assert one.ts[0] == START and one.ts[-1] == START + 89_999


def test_more_rows_than_asked_for_are_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START + i, 0.0, None, 0) for i in range(11)]))
    assert len(desk.reader.raw([1], 0, FOREVER, 11)) == 11
    with pytest.raises(Refused, match="more than 10"):
        desk.reader.raw([1], 0, FOREVER, 10)


def test_a_file_that_a_disk_damaged_is_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START, 0.0, None, 0)]))
    desk.commit()
    desk.prune()
    [path] = desk.folder.glob("*/*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Broken, match="cannot be read"):
        desk.reader.raw([1], 0, FOREVER)


def test_an_unknown_signal_has_no_rows(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START, 0.0, None, 0)]))
    assert len(desk.reader.raw([9], 0, FOREVER)) == 0
    assert len(desk.reader.last([9])) == 0
    assert desk.reader.extent([9]) == (None, None)
    [one], gaps = desk.reader.trend([9], 0, START, 100, {})
    assert (len(one.ts), gaps) == (0, [])
