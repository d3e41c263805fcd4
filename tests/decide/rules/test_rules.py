"""Rules that move handles when a signal is so."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Handle, Limit, Problem, View
from lineshaft.rooms.decide.engine.rules import RuleSet, make

PROBLEM = Problem(
    (Handle("fan", 0.0, 100.0, 200.0), Handle("valve", 0.0, 1.0, 10.0)),
    (Limit("temperature"), Limit("level")), 0.1,
)  # fmt: skip
HOT: dict[str, Any] = {
    "name": "hot", "when": {"signal": "temperature", "above": 80, "release": 70}, "hold_h": 0.2,
    "move": {"handle": "fan", "to": 60},
}  # fmt: skip
LOW: dict[str, Any] = {
    "name": "low", "when": {"signal": "level", "below": 0.2},
    "move": {"handle": "valve", "by": 0.3},
}  # fmt: skip


def view(k: int, u: Any, temperature: float, level: float = 0.5, frozen: bool = False) -> View:
    y = np.array([temperature, level])
    return View(0.1 * k, np.array(u, float), 0.0, y, y, frozen)


def play(method: RuleSet, temperatures: list[float], fan: float = 20.0) -> list[float]:
    u, moved = np.array([fan, 0.5]), []
    for k, temperature in enumerate(temperatures):
        u = method.step(view(k, u, temperature)).u
        moved.append(float(u[0]))
    return moved


def test_it_acts_after_its_time_at_the_rate_of_the_handle_and_goes_back() -> None:
    temperatures = [60, 85, 85, 85, 85, 75, 75, 69, 69, 69.0]
    assert play(make(PROBLEM, {"rules": [HOT]}), temperatures) == [
        20, 20, 20, 40, 60, 60, 60, 40, 20, 20]  # fmt: skip


def test_a_condition_that_ends_in_time_moves_nothing() -> None:
    assert play(make(PROBLEM, {"rules": [HOT]}), [85, 85, 69, 85, 85, 69.0]) == [20.0] * 6


def test_it_may_stay_where_it_was_put() -> None:
    moved = play(make(PROBLEM, {"rules": [{**HOT, "release": "stay"}]}), [85] * 5 + [60] * 3)
    assert moved[-3:] == [60, 60, 60]


def test_by_counts_from_where_the_handle_stood() -> None:
    method, u = make(PROBLEM, {"rules": [LOW]}), np.array([0.0, 0.5])
    for k, expected in enumerate([0.8, 0.8, 0.8]):
        proposal = method.step(view(k, u, 20, 0.1))
        assert proposal.u[1] == pytest.approx(expected) and "low" in proposal.reason
        u = proposal.u
    assert method.step(view(3, u, 20, 0.3)).u[1] == pytest.approx(0.5)


def test_the_higher_priority_wins() -> None:
    more = {**HOT, "name": "very hot", "when": {"signal": "temperature", "above": 90},
            "hold_h": 0, "move": {"handle": "fan", "to": 40}, "priority": 1}  # fmt: skip
    assert play(make(PROBLEM, {"rules": [HOT, more]}), [85, 85, 85, 95, 95, 85.0]) == [
        20, 20, 40, 40, 40, 60]  # fmt: skip


def test_what_is_not_read_changes_nothing() -> None:
    method = make(PROBLEM, {"rules": [HOT]})
    assert play(method, [85, 85, 85, 85, np.nan, np.nan, 75.0])[-1] == 60
    nothing = make(PROBLEM, {"rules": [HOT]}).step(view(0, [np.nan, np.nan], 99))
    assert nothing.phase == "hold" and np.isnan(nothing.u).all()
    frozen = method.step(view(9, [33.0, 0.5], 99, frozen=True))
    assert frozen.u.tolist() == [33.0, 0.5] and "frozen" in frozen.reason


def test_asked_only_for_advice_it_says_what_it_would_move() -> None:
    method = make(PROBLEM, {"rules": [HOT]})
    for k in range(5):
        advised = method.step(replace(view(k, [20.0, 0.5], 85), advice=True)).u
    assert advised.tolist() == [40.0, 0.5]  # each time the first step, from where it stands


@settings(max_examples=20, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 120), st.just(np.nan)), min_size=2, max_size=25),
       st.integers(1, 24))  # fmt: skip
def test_bounds_rates_and_a_save_anywhere(temperatures: list[float], cut: int) -> None:
    whole = make(PROBLEM, {"rules": [HOT, LOW]})
    part = make(PROBLEM, {"rules": [HOT, LOW]})
    u = np.array([5.0, 0.9])
    for k, temperature in enumerate(temperatures):
        if k == cut:
            part = make(PROBLEM, {"rules": [HOT, LOW]}, 0, part.save())
        seen = view(k, u, temperature, 0.1 if k % 3 else np.nan)
        one, other = whole.step(seen), part.step(seen)
        assert (one.u == other.u).all() and one.reason == other.reason
        assert (one.u >= 0).all() and (one.u <= [100, 1]).all()
        assert (np.abs(one.u - u) <= [20, 1]).all()
        u = one.u
    assert whole.save() == part.save() and whole.describe() == part.describe()


@pytest.mark.parametrize(
    ("change", "why"),
    [({"when": {"signal": "pressure", "above": 1}}, "does not read"),
     ({"when": {"signal": "temperature"}}, "above"),
     ({"when": {"signal": "temperature", "above": 1, "below": 0}}, "above"),
     ({"when": {"signal": "temperature", "above": 80, "release": 81}}, "end before"),
     ({"when": {"signal": "temperature", "above": "hot"}}, "no number"),
     ({"move": {"handle": "pump", "to": 1}}, "no handle"),
     ({"move": {"handle": "fan", "to": 101}}, "outside"),
     ({"move": {"handle": "fan", "to": 1, "by": 1}}, "either"),
     ({"move": {"handle": "fan", "by": 0}}, "nothing"),
     ({"hold_h": -1}, "hold_h"), ({"release": "never"}, "release"), ({"colour": 1}, "whole")],
)  # fmt: skip
def test_what_cannot_be_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        make(PROBLEM, {"rules": [{**HOT, **change}]})


def test_contradictions_are_refused_and_conditions_apart_are_none() -> None:
    cold = {"name": "cold", "when": {"signal": "temperature", "below": 30, "release": 40},
            "move": {"handle": "fan", "to": 0}}  # fmt: skip
    make(PROBLEM, {"rules": [HOT, cold]})
    for when in ({"signal": "temperature", "below": 60, "release": 75},
                 {"signal": "level", "below": 0.1}):  # fmt: skip
        with pytest.raises(Refused, match="both want 'fan'"):
            make(PROBLEM, {"rules": [HOT, {**cold, "when": when}]})
        make(PROBLEM, {"rules": [HOT, {**cold, "when": when, "priority": 2}]})
    with pytest.raises(Refused, match="same name"):
        make(PROBLEM, {"rules": [HOT, {**cold, "name": "hot"}]})
    with pytest.raises(Refused, match="no rules"):
        make(PROBLEM, {"rules": []})
    with pytest.raises(Refused, match="other rules"):
        make(PROBLEM, {"rules": [cold]}, 0, make(PROBLEM, {"rules": [HOT]}).save())
