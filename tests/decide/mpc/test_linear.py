"""Linear control of small plants: targets without offset, limits, bumpless, the same again."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats, Handle, Limit, Problem, View
from lineshaft.rooms.decide.engine.mpc.linear import LinearControl, make
from lineshaft.rooms.decide.engine.mpc.model import Model

A = np.diag([0.8, 0.6, 0.9])
B = np.array([[0.4, 0.1], [0.0, 0.5], [0.2, -0.1]])
C = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]])
MODEL = Model.at_instants(("u1", "u2"), ("y1", "y2"), A, B, C, 0.1)
HANDLES = (Handle("u1", -2.0, 2.0, 5.0), Handle("u2", -2.0, 2.0, 5.0))
OPEN = (Limit("y1"), Limit("y2"))
WISH: dict[str, Any] = {
    "model": MODEL, "horizon": 20, "reads": "last",
    "targets": {"y1": {"value": 1.0}, "y2": {"value": 0.5}},
}  # fmt: skip


class Plant:
    """The model's plant, with a disturbance of its outputs and gains of its own."""

    def __init__(self, gain: float = 1.0) -> None:
        self.x, self.u, self.gain = np.zeros(3), np.zeros(2), gain

    def read(self, disturbance: float = 0.0) -> Floats:
        return np.asarray(C @ self.x + disturbance)

    def put(self, u: Floats) -> None:
        self.u, self.x = u, A @ self.x + self.gain * B @ u


def play(
    control: LinearControl, plant: Plant, first: int, count: int, disturbance: float = 0.0
) -> Floats:  # fmt: skip
    seen = []
    for k in range(first, first + count):
        y = plant.read(disturbance)
        seen.append(y)
        plant.put(control.step(View(0.1 * k, plant.u.copy(), 0.0, y, y)).u)
    return np.array(seen)


def test_it_tracks_without_offset_under_a_step_nobody_measured_and_a_wrong_gain() -> None:
    control, plant = make(Problem(HANDLES, OPEN, 0.1), WISH), Plant(1.3)
    assert play(control, plant, 0, 60)[-1] == pytest.approx([1.0, 0.5], abs=5e-3)
    assert play(control, plant, 60, 80, 0.4)[-1] == pytest.approx([1.0, 0.5], abs=5e-3)


def test_limits_are_held_with_their_back_off_where_they_can_be() -> None:
    limits = (Limit("y1", None, 0.8, 0.1), Limit("y2"))
    control, plant = make(Problem(HANDLES, limits, 0.1), WISH), Plant()
    seen = play(control, plant, 0, 80)
    assert seen[:, 0].max() <= 0.7 + 1e-3 and seen[-1, 0] == pytest.approx(0.7, abs=2e-3)


def test_limits_that_cannot_be_held_are_passed_by_little_and_said() -> None:
    limits = (Limit("y1", 50.0, None), Limit("y2"))
    control, plant = make(Problem(HANDLES, limits, 0.1), WISH), Plant()
    y = plant.read()
    proposal = control.step(View(0.0, plant.u, 0.0, y, y))
    assert "cannot all be held: y1" in proposal.reason
    play(control, plant, 1, 60)
    assert plant.u == pytest.approx([2.0, 2.0], abs=1e-6)  # it does what can be done


def test_it_takes_over_without_a_bump() -> None:
    plant = Plant()
    for _ in range(80):
        plant.put(np.array([0.7, -0.3]))
    y = plant.read()
    wish = {**WISH, "targets": {"y1": {"value": y[0]}, "y2": {"value": y[1]}}}
    control = make(Problem(HANDLES, OPEN, 0.1), wish)
    for k in range(10):
        seen = plant.read()
        proposal = control.step(View(0.1 * k, plant.u, 0.0, seen, seen))
        assert proposal.u == pytest.approx([0.7, -0.3], abs=1e-3) and proposal.phase == "settled"
        plant.put(proposal.u)


def test_moves_that_were_not_made_are_noticed() -> None:
    control, plant = make(Problem(HANDLES, OPEN, 0.1), WISH), Plant()
    for k in range(30):  # in shadow nothing that it proposes happens
        y = plant.read()
        control.step(View(0.1 * k, plant.u, 0.0, y, y))
        plant.put(np.zeros(2))
    assert play(control, plant, 30, 60)[-1] == pytest.approx([1.0, 0.5], abs=5e-3)


def test_a_level_that_integrates_is_held() -> None:
    model = Model.at_instants(("in",), ("level",), np.eye(1), np.full((1, 1), 0.1),
                              np.ones((1, 1)), 0.1)  # fmt: skip
    problem = Problem((Handle("in", -1.0, 1.0, 10.0),), (Limit("level", 0.0, 10.0),), 0.1)
    control = make(problem, {"model": model, "targets": {"level": {"value": 5.0}},
                             "reads": "last", "noise": 0.001})  # fmt: skip
    level, u = 4.0, np.zeros(1)
    for k in range(150):
        y = np.array([level])
        u = control.step(View(0.1 * k, u, 0.0, y, y)).u
        level += 0.1 * float(u[0]) - 0.03  # a leak that nobody knows
    assert level == pytest.approx(5.0, abs=0.02)


def test_dwell_is_kept() -> None:
    handles = (Handle("u1", -2.0, 2.0, 5.0, 0.35), HANDLES[1])
    control, plant = make(Problem(handles, OPEN, 0.1), WISH), Plant()
    moved = []
    for k in range(40):
        y, before = plant.read(0.2 * (k > 20)), plant.u.copy()
        plant.put(control.step(View(0.1 * k, before, 0.0, y, y)).u)
        if plant.u[0] != before[0]:
            moved.append(0.1 * k)
    assert len(moved) > 3 and np.diff(moved).min() >= 0.35 - 1e-9


numbers = st.one_of(st.floats(-50, 50), st.just(np.nan))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, st.booleans(), st.booleans()), min_size=3, max_size=12),
       st.integers(0, 11))  # fmt: skip
def test_bounds_rates_nan_and_a_save_anywhere(rows: list[Any], cut: int) -> None:
    problem = Problem(HANDLES, (Limit("y1", -1.0, 1.0, 0.1), Limit("y2")), 0.1)
    whole, part = make(problem, WISH), make(problem, WISH)
    u = np.array([0.3, -1.9])
    for k, (y1, y2, frozen, deaf) in enumerate(rows):
        if k == cut:
            part = make(problem, WISH, 0, part.save())
        y = np.array([y1, y2])
        read = np.full(2, np.nan) if deaf and k else u
        view = View(0.1 * k, read, np.nan, y, y, frozen)
        one, other = whole.step(view), part.step(view)
        assert (one.u == other.u).all() and one.reason == other.reason
        assert (np.abs(one.u) <= 2).all() and (np.abs(one.u - u) <= 0.5).all()
        assert not (frozen or (deaf and k)) or (one.u == u).all()
        u = one.u
    assert whole.save() == part.save()


def test_nothing_read_at_all_holds() -> None:
    control = make(Problem(HANDLES, OPEN, 0.1), WISH)
    nothing = np.full(2, np.nan)
    proposal = control.step(View(0.0, nothing, np.nan, nothing, nothing))
    assert proposal.phase == "hold"
    proposal = control.step(View(0.1, np.zeros(2), np.nan, nothing, nothing))
    assert proposal.phase == "hold" and proposal.u.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "why"),
    [({"model": None}, "not told whole"), ({"targets": {}}, "without a target"),
     ({"targets": {"y9": {"value": 1.0}}}, "y9"), ({"targets": {"y1": {"value": "hot"}}}, "value"),
     ({"horizon": 1}, "horizon"), ({"colour": 1}, "colour"), ({"reads": "never"}, "reads"),
     ({"blocks": [1, 2]}, "blocks"), ({"move_weight": {"u9": 1.0}}, "u9"), ({"noise": 0}, "noise")],
)  # fmt: skip
def test_what_cannot_be_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        make(Problem(HANDLES, OPEN, 0.1), {**WISH, **change})


def test_models_and_loops_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Refused, match="does not foretell"):
        make(Problem(HANDLES, (*OPEN, Limit("y3", 0.0)), 0.1), WISH)
    with pytest.raises(Refused, match="does not read"):
        make(Problem(HANDLES, OPEN[:1], 0.1), WISH)
    with pytest.raises(Refused, match="differ"):
        make(Problem(HANDLES[:1], OPEN, 0.1), WISH)
    with pytest.raises(Refused, match="period"):
        make(Problem(HANDLES, OPEN, 0.2), WISH)
    with pytest.raises(Refused, match="runs away"):
        Model.at_instants(("u",), ("y",), np.full((1, 1), 1.2), np.ones((1, 1)), np.ones((1, 1)), 1)
    told = {"inputs": ["u1"], "outputs": ["y1"], "a": [[0.5]], "b": [[1, 2]], "c": [[1]],
            "d": [[0]], "period_h": 0.1}  # fmt: skip
    with pytest.raises(Refused, match="do not fit"):
        Model.of(told)
    assert Model.of({**told, "b": [[1]]}).steps(3).ravel().tolist() == [0, 1, 1.5]
