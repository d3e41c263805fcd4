"""Choosing points and breaking lines, on plain arrays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.rooms.history.engine.revisions import merge
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.engine.trend import (
    break_at_gaps,
    choose_points,
    held_through,
    pixel_columns,
)
from tests.history.desk import START

_points = st.lists(
    st.tuples(
        st.integers(-20, 1200),
        st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")), st.sampled_from([0.0, 1.0])),
    ),
    min_size=1, max_size=300, unique_by=lambda point: point[0],
)  # fmt: skip


@settings(max_examples=300)
@given(_points, st.integers(0, 100), st.integers(1, 1000), st.integers(1, 30))
def test_every_column_keeps_first_last_least_and_greatest(
    points: list[tuple[int, float]], start: int, width: int, pixels: int
) -> None:
    points.sort()
    ts = np.array([START + t for t, _ in points])
    v = np.array([value for _, value in points])
    kept = choose_points(ts, v, pixel_columns(START + start, START + start + width, pixels))
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert len(kept) <= 4 * pixels
    column = np.clip((ts - START - start) * pixels // width, 0, pixels - 1)
    for number in np.unique(column).tolist():
        own = np.flatnonzero(column == number)
        drawn = np.intersect1d(kept, own)
        assert (drawn[0], drawn[-1]) == (own[0], own[-1])
        numbers = v[own][~np.isnan(v[own])]
        if len(numbers):
            assert np.nanmin(v[drawn]) == numbers.min()
            assert np.nanmax(v[drawn]) == numbers.max()


def test_wide_times_do_not_overflow() -> None:
    ts = np.arange(100_000) * 70_000_000_000
    v = np.zeros(100_000)
    v[77_777] = 5.0
    kept = choose_points(ts, v, pixel_columns(0, 1 << 62, 20_000))
    assert 77_777 in kept.tolist()
    assert kept[0] == 0 and kept[-1] == 99_999


@given(
    st.lists(st.integers(0, 50), unique=True, max_size=20),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=3),
)
def test_a_gap_is_a_break_and_then_the_value_that_held(
    stamps: list[int], spans: list[tuple[int, int]]
) -> None:
    ts = np.array(sorted(stamps), np.int64) * 10
    v, q = ts.astype(float), np.zeros(len(ts), np.int32)
    gaps = [(start * 10, (start + length) * 10) for start, length in spans]
    got_ts, got_v, got_q = break_at_gaps(ts, v, q, gaps)
    assert (np.diff(got_ts) >= 0).all()
    assert set(ts.tolist()) <= set(got_ts.tolist())
    for start, end in gaps:
        before = ts[ts <= start]
        if not len(before):
            continue
        [broken] = np.flatnonzero(got_ts == start + 1)[:1]
        assert np.isnan(got_v[broken]) and got_q[broken] == 512 + 4
        held = ts[ts <= end].max()
        assert float(held) in got_v[got_ts == end].tolist()
        assert held in ts[held_through(ts, gaps)]


def test_merge_keeps_the_highest_number() -> None:
    def rows(*values: tuple[int, int, float, int]) -> Rows:
        sid, ts, v, seq = (np.array(column) for column in zip(*values, strict=True))
        return Rows(sid.astype(np.int32), ts, v.astype(float), np.zeros(len(sid), np.int32), seq)

    merged = merge([rows((1, 5, 1.0, 3), (2, 5, 1.0, 3)), rows((1, 5, 9.0, 2), (1, 6, 4.0, 2)),
                    Rows.empty()])  # fmt: skip
    assert merged.sid.tolist() == [1, 1, 2]
    assert merged.v.tolist() == [1.0, 4.0, 1.0]
    assert len(merge([])) == 0
