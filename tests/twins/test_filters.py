"""Filters: right where the answer is known, finite and positive definite whatever comes."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.behaviours.four_tanks import FOUR_TANKS
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.fleet import Fleet
from lineshaft.rooms.twins.engine.scalar import LagFleet
from lineshaft.rooms.twins.engine.setup import Setup

SECOND = 1_000_000
_any = st.floats(allow_nan=True, allow_infinity=True)


def _feed(fleet: Fleet, events: list[tuple[int, int, int, float]]) -> tuple[np.ndarray, ...]:
    columns = [np.array(c) for c in zip(*events, strict=True)]
    found = fleet.process(columns[0], columns[1], columns[2], columns[3].astype(float))
    return found.y, found.z, found.flag


@pytest.mark.parametrize("method", ["kalman", "unscented"])
@pytest.mark.parametrize("kind", [Fleet, LagFleet])
def test_a_linear_filter_is_kalmans(kind: type[Fleet], method: str) -> None:
    fleet = LagFleet(method) if kind is LagFleet else Fleet(LAG, method)
    row = fleet.add(Setup.of(LAG))
    random = np.random.default_rng(3)
    x, p, held = 0.0, 1.0, 0.0  # the same recursion by hand
    for step in range(50):
        u, y = float(random.normal()), float(random.normal())
        at = (step + 1) * SECOND
        estimate, surprise, _ = _feed(fleet, [(row, 1, at, y), (row, 0, at, u)])
        if step:
            decay = math.exp(-1 / 60)
            x = decay * x + (1 - decay) * held
            p = decay**2 * p + 0.01**2
        held = u
        s = p + 0.05**2
        expected = (y - x) / math.sqrt(s)
        x, p = x + p / s * (y - x), p - p * p / s
        assert surprise[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert estimate[0] == pytest.approx(x, rel=1e-6, abs=1e-9)


def test_surprise_is_normal_when_the_model_is_right() -> None:
    fleet = Fleet(LAG, "unscented")
    rows = np.array([fleet.add(Setup.of(LAG)) for _ in range(500)])
    random, true = np.random.default_rng(1), np.zeros(500)
    seen = []
    for step in range(100):
        true = math.exp(-1 / 60) * true + 0.01 * random.normal(size=500)
        at = np.full(500, (step + 1) * SECOND)
        shown = true + 0.05 * random.normal(size=500)
        seen.append(fleet.process(rows, np.ones(500, int), at, shown).z)
    late = np.concatenate(seen[30:])
    assert abs(late.std() - 1) < 0.02
    assert abs(late.mean()) < 0.02


def test_a_dead_time_delays_what_an_input_does() -> None:
    setup = Setup.of(LAG)
    setup.parameters[:] = (1.0, 1.0, 0.0, 10.0)
    fleet = Fleet(LAG, "open")
    row = fleet.add(setup)
    _feed(fleet, [(row, 1, SECOND, 0.0)])
    _feed(fleet, [(row, 0, 2 * SECOND, 5.0)])
    shown = [_feed(fleet, [(row, 1, at * SECOND, 0.0)])[0][0] for at in (11, 12, 13, 60)]
    assert shown[:2] == [0.0, 0.0]
    assert shown[2] == pytest.approx(5 * (1 - math.exp(-1)), rel=1e-9)
    assert shown[3] == pytest.approx(5, rel=1e-6)


def test_more_changes_than_the_ring_holds_lose_detail_not_the_sum() -> None:
    setup = Setup.of(LAG)
    setup.parameters[:] = (1.0, 30.0, 0.0, 60.0)
    fleet, fine = Fleet(LAG, "open"), Fleet(LAG, "open")
    row, same = fleet.add(setup), fine.add(setup)
    for each, one in ((fleet, row), (fine, same)):
        _feed(each, [(one, 1, SECOND, 0.0)])
    for step in range(1000):
        at = SECOND + step * SECOND // 5
        _feed(fleet, [(row, 0, at, math.sin(step / 100))])
        if step % 5 == 0:
            _feed(fine, [(same, 0, at, math.sin(step / 100))])
    end = 300 * SECOND
    a, b = (_feed(e, [(o, 1, end, 0.0)])[0][0] for e, o in ((fleet, row), (fine, same)))
    assert a == pytest.approx(b, abs=0.05)


def test_late_samples_are_told_and_change_nothing() -> None:
    fleet = Fleet(LAG, "unscented")
    row = fleet.add(Setup.of(LAG))
    _feed(fleet, [(row, 1, 100 * SECOND, 1.0)])
    before = fleet.save()
    _, _, flag = _feed(fleet, [(row, 1, 90 * SECOND, 50.0)])
    assert flag[0] == filters.LATE
    after = fleet.save()
    assert all(np.array_equal(before[name], after[name]) for name in set(before) - {"behind"})


@pytest.mark.parametrize("kind", [Fleet, LagFleet])
def test_a_clock_that_was_set_back_is_believed_after_a_while(kind: type[Fleet]) -> None:
    fleet = LagFleet("kalman") if kind is LagFleet else Fleet(LAG, "kalman")
    row = fleet.add(Setup.of(LAG))
    _feed(fleet, [(row, 1, 9000 * SECOND, 1.0)])
    flags = [_feed(fleet, [(row, 1, at * SECOND, 1.0)])[2][0] for at in range(1, 120)]
    assert flags[:50] == [filters.LATE] * 50
    assert flags[-1] == filters.ESTIMATED


@pytest.mark.parametrize("behaviour", [LAG, FOUR_TANKS, None])
@pytest.mark.parametrize("method", ["kalman", "unscented"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_it_stays_finite_and_positive_definite(
    behaviour: Behaviour | None, method: str, data: st.DataObject
) -> None:
    fleet = Fleet(behaviour, method) if behaviour else LagFleet(method)
    behaviour = fleet.behaviour
    ports = len(behaviour.inputs) + len(behaviour.outputs)
    step = st.tuples(st.integers(0, ports - 1), st.integers(-2 * SECOND, 10**10), _any)
    row, at = fleet.add(Setup.of(behaviour)), SECOND
    for port, ahead, value in data.draw(st.lists(step, min_size=1, max_size=30)):
        at = max(at + ahead, 0)
        y, z, _ = _feed(fleet, [(row, port, at, value)])
        assert np.isfinite(y).all() and np.isfinite(z).all()
        assert np.isfinite(fleet.x[row]).all() and np.isfinite(fleet.p[row]).all()
        scale = np.sqrt(np.diag(fleet.p[row]))
        assert (scale > 0).all()
        correlation = fleet.p[row] / np.outer(scale, scale)
        assert np.linalg.eigvalsh(correlation).min() > -1e-9


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 199), max_size=5))
def test_cutting_the_events_changes_nothing(seed: int, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    twin, port = random.integers(0, 5, 200), random.integers(0, 4, 200)
    at, value = np.sort(random.integers(0, 100 * SECOND, 200)), random.normal(10, 3, 200)
    whole, parts = Fleet(FOUR_TANKS, "unscented"), Fleet(FOUR_TANKS, "unscented")
    for fleet in (whole, parts):
        for _ in range(5):
            fleet.add(Setup.of(FOUR_TANKS))
    expected = whole.process(twin, port, at, value)
    edges = [0, *sorted(set(cuts)), 200]
    found = []
    for first, last in pairwise(edges):
        cut = slice(first, last)
        found.append(parts.process(twin[cut], port[cut], at[cut], value[cut]).y)
        again = Fleet(FOUR_TANKS, "unscented")
        again.load(parts.save())  # saved and loaded at every cut
        parts = again
    assert np.array_equal(np.concatenate(found), expected.y)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_fleet_in_pace_does_what_any_fleet_does(data: st.DataObject) -> None:
    fleet, other = LagFleet("kalman"), Fleet(LAG, "kalman")
    rows, random, at = list(range(6)), np.random.default_rng(1), 0
    for each in (fleet, other):
        for _ in rows:
            each.add(Setup.of(LAG))
    for what in data.draw(st.lists(st.sampled_from("sssssjianwr"), min_size=5, max_size=40)):
        at += SECOND + (what == "j") * 7
        events = [(row, 1, at, float(random.normal())) for row in rows]
        if what == "i":
            events.insert(0, (rows[2], 0, at, 3.0))
        elif what == "n":
            events[1] = (*events[1][:3], math.nan)
        elif what == "w":
            events = events[::-1]
        elif what == "a" and len(rows) < 9:
            rows.append(fleet.add(Setup.of(LAG)))
            assert other.add(Setup.of(LAG)) == rows[-1]
        elif what == "r":
            loaded = LagFleet("kalman")
            loaded.load(fleet.save())
            fleet = loaded
        mine, theirs = _feed(fleet, events), _feed(other, events)
        for one, same in zip(mine, theirs, strict=True):
            assert one == pytest.approx(same, rel=1e-9, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 59), max_size=4), method=st.sampled_from(["kalman", "open"]))
def test_which_kernel_runs_shows_in_no_bit(cuts: list[int], method: str) -> None:
    """A fleet in pace, one that is saved and loaded at times and so falls out of it, and one that
    a second twin keeps out of it."""
    random = np.random.default_rng(1)
    whole, cut, out = (LagFleet(method) for _ in range(3))
    for row in range(4):
        setup = Setup.of(LAG)
        setup.parameters[:3] = 0.7 + row, 10.0 + 7 * row, 0.1
        for fleet in (whole, cut, out):
            assert fleet.add(setup) == row
    for step in range(60):
        if step in cuts:
            again = LagFleet(method)
            again.load(cut.save())
            cut = again
        at = (step + 1) * SECOND
        events = [(row, 1, at, float(random.normal())) for row in range(4)]
        found = [_feed(fleet, events) for fleet in (whole, cut)]
        split = [_feed(out, events[:2]), _feed(out, events[2:])]
        found.append(tuple(np.concatenate(parts) for parts in zip(*split, strict=True)))
        for one, other, third in zip(*found, strict=True):
            assert one.tobytes() == other.tobytes() == third.tobytes()
    saved = [fleet.save() for fleet in (whole, cut, out)]
    assert all(saved[0][n].tobytes() == s[n].tobytes() for s in saved[1:] for n in saved[0])


def test_rows_are_used_again_and_know_nothing_of_before() -> None:
    fleet = Fleet(LAG, "unscented")
    rows = [fleet.add(Setup.of(LAG)) for _ in range(100)]
    _feed(fleet, [(row, 1, SECOND, 9.0) for row in rows])
    fleet.remove(rows[3])
    assert len(fleet) == 99
    assert fleet.add(Setup.of(LAG)) == rows[3]
    assert fleet.x[rows[3], 0] == 0 and fleet.started[rows[3]] == 0


def test_a_parameter_out_of_range_is_named() -> None:
    setup = Setup.of(LAG)
    setup.parameters[1] = -1
    with pytest.raises(Refused, match="time_constant"):
        Fleet(LAG, "unscented").add(setup)
