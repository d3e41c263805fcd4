"""The window: means weighed by time, values held, plant time; cut anywhere, the same bits."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.quality import BAD
from lineshaft.rooms.decide.engine.window import Window

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
HOUR = 3600 * SECOND


def _feed(window: Window, rows: list[tuple[int, int, float, int]], seq: int = 1) -> bool:
    """Take rows (sid, ts, v, q) as one block."""
    ordered = sorted(rows)
    columns = [np.array(column) for column in zip(*ordered, strict=True)]
    sid, ts, v, q = columns
    return window.take(sid.astype(np.int64), ts.astype(np.int64), v.astype(float),
                       q.astype(np.int64), seq)  # fmt: skip


def test_a_value_holds_until_the_next() -> None:
    window = Window([1, 2], None)
    _feed(window, [(1, START, 10.0, 0), (2, START, 1.0, 0)])
    _feed(window, [(1, START + 30 * SECOND, 20.0, 0), (2, START + 40 * SECOND, 1.0, 0)])
    means = window.close()
    assert math.isclose(means[0], (10 * 30 + 20 * 10) / 40)
    assert means[1] == 1.0
    _feed(window, [(2, START + 50 * SECOND, 3.0, 0)])
    assert window.close().tolist() == [20.0, 1.0], "what held before the period holds in it"


def test_a_bad_value_holds_nothing_and_half_a_period_is_the_least() -> None:
    window = Window([1, 2], None)
    _feed(window, [(1, START, 10.0, 0), (2, START, 0.0, 0)])
    _feed(window, [(1, START + 40 * SECOND, 0.0, BAD), (2, START + 50 * SECOND, 0.0, 0)])
    assert window.close()[0] == 10.0
    _feed(window, [(1, START + 90 * SECOND, 11.0, 0), (2, START + 100 * SECOND, 0.0, 0)])
    assert math.isnan(window.close()[0])


def test_plant_time_follows_the_clock_signal() -> None:
    window = Window([1, 9], 9)
    _feed(window, [(1, START, 0.0, 0)])
    _feed(window, [(1, START + 10 * SECOND, 0.0, 0)])
    assert window.hours == 0.0, "before the clock was heard no plant time is believed"
    _feed(window, [(9, START + 10 * SECOND, 1800.0, 0)])
    _feed(window, [(9, START + 14 * SECOND, 60.0, 0), (1, START + 16 * SECOND, 0.0, 0)])
    assert math.isclose(window.hours, (4 * 1800 + 2 * 60) / 3600)
    assert window.speeds.tolist() == [[START + 10 * SECOND, 1800.0], [START + 14 * SECOND, 60.0]]


def test_late_rows_and_foreign_signals_change_nothing() -> None:
    window = Window([1], None)
    assert _feed(window, [(1, START + SECOND, 5.0, 0)])
    before = window.save()
    assert not _feed(window, [(1, START, 9.0, 0), (7, START + 2 * SECOND, 9.0, 0)])
    assert before[0] == window.save()[0]
    assert window.v[0] == 5.0


ROWS = st.lists(
    st.tuples(st.sampled_from([1, 2, 9]), st.integers(0, 100), st.floats(0, 10)), min_size=1,
    max_size=40, unique_by=lambda row: (row[0], row[1]),
)  # fmt: skip


@settings(max_examples=40)
@given(ROWS, st.integers(0, 40))
def test_what_was_saved_goes_on_as_if_nothing_had_been(
    rows: list[tuple[int, int, float]], cut: int
) -> None:
    ordered = sorted((ts, sid, v) for sid, ts, v in rows)
    blocks = [[(sid, START + ts * SECOND, v, 0)] for ts, sid, v in ordered]
    whole, first, second = Window([1, 2, 9], 9), Window([1, 2, 9], 9), Window([1, 2, 9], 9)
    for number, block in enumerate(blocks):
        _feed(whole, block, number)
    for number, block in enumerate(blocks[:cut]):
        _feed(first, block, number)
    second.load(*first.save())
    for number, block in enumerate(blocks[cut:], min(cut, len(blocks))):
        _feed(second, block, number)
    assert np.array_equal(whole.close(), second.close(), equal_nan=True)
    assert whole.hours == second.hours
    assert whole.save()[0] == second.save()[0]
