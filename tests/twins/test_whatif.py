"""What-if: exact where nothing is uncertain, honest where it is."""

import math

import numpy as np
import pytest

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.behaviours.station import STATION
from lineshaft.rooms.twins.engine.whatif import Change, Futures, Member, Source, run_futures


def _lag(source: Source = Source(), *, delay: float = 0, known: bool = True) -> Member:  # noqa: B008
    return Member(
        LAG, np.zeros(1), np.full((1, 1), 0.0 if known else 1.0),
        np.array([2.0, 10.0, 0.0, delay]), np.zeros(4) if known else np.array([0.1, 1.0, 0, 0]),
        np.zeros(1) if known else np.array([0.1]), np.zeros(1), (source,),
    )  # fmt: skip


def _run(members: list[Member], changes: list[Change], count: int = 1, seed: int = 1) -> Futures:
    return run_futures(members, changes, horizon_s=60, step_s=1, count=count, seed=seed)


def test_a_known_machine_does_what_its_equation_says() -> None:
    found = _run([_lag()], [Change(0, 0, 5, 3.0)])
    expected = [6 * (1 - math.exp(-max(t - 5, 0) / 10)) for t in found.times]
    assert found.y[0, :, 0] == pytest.approx(expected, abs=1e-9)


def test_a_ramp_is_a_straight_line_and_a_dead_time_comes_on_top() -> None:
    ramped = _run([_lag(delay=4)], [Change(0, 0, 10, 1.0, ramp_s=10)]).y[0, :, 0]
    assert (ramped[:15] == 0).all()
    x, expected = 0.0, [0.0]
    for k in range(1, 61):
        u = min(max((k - 1 - 4 - 10) / 10, 0), 1)
        x = math.exp(-0.1) * x + (1 - math.exp(-0.1)) * 2 * u
        expected.append(x)
    assert ramped == pytest.approx(expected, abs=1e-9)


def test_machines_feed_one_another() -> None:
    both = _run([_lag(), _lag(Source(0, 0))], [Change(0, 0, 0, 1.0)]).y[0]
    assert both[-1, 0] == pytest.approx(2, abs=0.02)
    assert both[-1, 1] == pytest.approx(4, abs=0.2)
    assert both[1, 1] == 0  # it hears of its neighbour a step later
    with pytest.raises(Refused, match="another machine"):
        _run([_lag(), _lag(Source(0, 0))], [Change(1, 0, 0, 1.0)])


def test_the_same_seed_gives_the_same_futures_and_bands_hold_the_truth() -> None:
    member, changes = _lag(known=False), [Change(0, 0, 5, 3.0)]
    a, b = (_run([member], changes, 200, 3).y for _ in range(2))
    assert np.array_equal(a, b)
    low, _, high = _run([member], changes, 200, 4).bands()
    truth = _run([member], changes, 400, 5).y
    inside = ((truth >= low) & (truth <= high)).mean()
    assert 0.87 < inside < 0.93


def test_a_line_that_stops_runs_empty_behind_and_fills_before() -> None:
    form = STATION
    line = [
        Member(form, np.array([8.0, 0.9]), np.zeros((2, 2)), form.defaults(),
               0 * form.defaults(), np.zeros(2), np.array([60.0, 8.0, 1.0]),
               (Source(i - 1, 1) if i else Source(), Source(i + 1, 0) if i < 2 else Source(),
                Source()))
        for i in range(3)
    ]  # fmt: skip
    asked = {"horizon_s": 7200, "step_s": 10, "count": 1, "seed": 1}
    calm = run_futures(line, [], **asked).y[0, -1, ::2]
    stopped = run_futures(line, [Change(1, 2, 600, 0.0)], **asked).y[0, -1, ::2]
    assert stopped[1] > calm[1] + 5
    assert stopped[0] > calm[0]
    assert stopped[2] < 0.5


@pytest.mark.parametrize(
    ("horizon", "step", "count"), [(0, 1, 1), (1e9, 1, 1), (20_000, 1, 10_000), (60, 1, 0)]
)
def test_a_question_too_large_is_refused(horizon: float, step: float, count: int) -> None:
    with pytest.raises(Refused):
        run_futures([_lag()], [], horizon_s=horizon, step_s=step, count=count, seed=1)
