"""When a loop is off to be measured, and when the plant counts as settled."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.value import SwitchBack
from lineshaft.rooms.decide.engine.value.switching import Settling


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**40), st.floats(1, 20), st.floats(0, 10), st.floats(0.5, 40))
def test_every_cycle_has_its_time_off(seed: int, off: float, apart: float, free: float) -> None:
    plan, step = SwitchBack(10.0, off + apart + free, off, seed, apart), 0.25
    hours = np.arange(10.0, 10.0 + 4 * plan.cycle_h, step)
    on = [plan.on(float(hour)) for hour in hours]
    assert not any(plan.on(hour) for hour in (-5.0, 0.0, 9.99))
    assert on.count(False) * step == pytest.approx(4 * off, abs=4 * step)
    runs = [(state, len(list(run)) * step) for state, run in groupby(on)]
    assert all(length > apart - 2 * step for state, length in runs[1:-1] if state)


def test_seeds_draw_other_moments() -> None:
    plans = [[SwitchBack(0.0, 48.0, 8.0, seed).on(float(h)) for h in range(480)] for seed in (1, 2)]
    assert plans[0] != plans[1]


@pytest.mark.parametrize(("cycle", "off", "apart"), [(10, 10, 0), (10, 5, 5), (10, 0, 1)])
def test_a_plan_without_room_is_refused(cycle: float, off: float, apart: float) -> None:
    with pytest.raises(Refused, match="do not fit"):
        SwitchBack(0.0, cycle, off, 1, apart)


def test_after_a_switch_nothing_counts_until_it_has_settled() -> None:
    settling = Settling(3.0, 0.05)
    assert [settling.take(False, 1.0, 0.0) for _ in range(3)] == [True] * 3
    counted, tails = [], []
    for _ in range(14):
        counted.append(settling.take(True, 1.0, 0.0))
        tails.append(settling.tails)
    assert counted == [False] * 3 + [True] * 11
    assert tails[3] == (1.0, 0.0, 0.0, 0.0) and tails[4] == tails[5] == (0.0, 1.0, 0.0, 0.0)
    assert tails[6] == (0.0, 0.0, 1.0, 0.0) and tails[12] == (0.0, 0.0, 0.0, 0.0)
    for _ in range(4):
        settling.take(False, 1.0, 0.0)
    assert settling.tails == (-1.0, 0.0, 0.0, 0.0)


def test_one_large_move_is_forgotten_in_the_time_to_settle_and_many_small_ones_add_up() -> None:
    settling = Settling(4.0, 0.05)
    assert not settling.take(False, 1.0, 1.0)
    assert [settling.take(False, 1.0, 0.0) for _ in range(5)] == [False] * 3 + [True] * 2
    assert settling.take(False, 1.0, 0.01)
    assert not all(settling.take(False, 1.0, 0.04) for _ in range(6))
