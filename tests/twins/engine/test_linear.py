"""Identified twins at work: ticks, cuts, late and wild samples, save and restore."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.fleet import Estimates
from lineshaft.rooms.twins.engine.linear import LinearFleet, follow
from lineshaft.rooms.twins.engine.state_space import Model
from tests.twins.engine.test_identify import learn, run, system

Floats = NDArray[np.float64]
STEP = 1_000_000
START = 1_700_000_000 * STEP
TRUE = system(1)
Events = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]


@cache
def model() -> Model:
    """What is learned of the system, when it is first asked for: it takes the compiler."""
    return learn(run(TRUE, 2000, 1))[0]


def events(table: Floats, twins: int = 1, jitter: int = 0, seed: int = 0) -> Events:
    """Samples of all ports in order of time, each up to `jitter` µs early."""
    count, ports = table.shape
    early = np.random.default_rng(seed).integers(0, jitter + 1, table.size)
    at = START + np.repeat(np.arange(1, count + 1) * STEP, ports) - early
    order = np.argsort(at, kind="stable")
    columns = (np.tile(np.arange(ports), count), at, table.ravel())
    port, at, value = (np.repeat(column[order], twins) for column in columns)
    return np.tile(np.arange(twins), table.size), port, at, value


def process(fleet: LinearFleet, whole: Events, cuts: Sequence[int] = ()) -> Estimates:
    edges = [0, *sorted(cuts), len(whole[0])]
    parts = [fleet.process(*(column[a:b] for column in whole)) for a, b in pairwise(edges)]
    return Estimates(*(np.concatenate([getattr(part, name) for part in parts])
                       for name in ("y", "z", "flag")))  # fmt: skip


def opened(twins: int = 1) -> LinearFleet:
    fleet = LinearFleet(model())
    assert [fleet.add(model()) for _ in range(twins)] == list(range(twins))
    return fleet


def test_at_each_tick_it_does_what_the_model_does() -> None:
    table = run(TRUE, 300, 5)
    found = process(opened(), events(table))
    x, e = follow(model(), (table - model().centre) / model().scale)
    flag, z = found.flag.reshape(300, 4), found.z.reshape(300, 4)
    assert (flag[:, :2] == filters.INPUT).all() and (flag[0, 2:] == filters.INPUT).all()
    assert (flag[1:, 2:] == filters.ESTIMATED).all()
    sigma = np.sqrt(np.diag(model().cov))
    assert z[1:, 2:] == pytest.approx(e[1:] / sigma, abs=1e-9)
    assert 0.9 < z[20:, 2:].std() < 1.1
    error = table[20:, 2:] - found.y.reshape(300, 4)[20:, 2:]
    assert error.std() == pytest.approx(6, rel=0.15)
    fleet = opened()
    process(fleet, events(table[:-1]))
    assert fleet.states(np.array([0]))[0] == pytest.approx(x[-2], abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 1200), max_size=6), st.integers(0, 5))
def test_cutting_the_stream_changes_no_bit(cuts: list[int], seed: int) -> None:
    whole = events(run(TRUE, 150, seed), twins=2, jitter=int(1.7 * STEP), seed=seed)
    one, other = opened(2), opened(2)
    together, apart = process(one, whole), process(other, whole, cuts)
    for name in ("y", "z", "flag"):
        assert getattr(together, name).tobytes() == getattr(apart, name).tobytes()
    for name, array in one.save().items():
        assert array.tobytes() == other.save()[name].tobytes()


def test_the_order_given_is_the_order_of_the_answer() -> None:
    whole = events(run(TRUE, 50, 2), twins=2)
    mixed = np.random.default_rng(0).permutation(len(whole[0]))
    right = process(opened(2), whole)
    found = process(opened(2), tuple(column[mixed] for column in whole))
    assert (found.flag == right.flag[mixed]).all() and (found.y == right.y[mixed]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(-(10**13), 10**13),
                  st.floats(allow_nan=True, allow_infinity=True)),
        max_size=60,
    ),
    st.integers(0, 10**6),
)  # fmt: skip
def test_it_stays_finite_whatever_comes(
    wild: list[tuple[int, int, int, float]], gap: int
) -> None:  # fmt: skip
    fleet = opened(2)
    process(fleet, events(run(TRUE, 30, 0), twins=2))
    rows = np.array([row[:3] for row in wild], np.int64).reshape(-1, 3)
    at = START + 30 * STEP + np.where(np.arange(len(rows)) % 3 == 0, rows[:, 2], rows[:, 2] % 10**7)
    found = process(fleet, (rows[:, 0], rows[:, 1], at, np.array([row[3] for row in wild])))
    for array in (found.y, found.z, fleet.states(np.array([0, 1]))):
        assert np.isfinite(array).all()
    later = list(events(run(TRUE, 200, 1), twins=2))
    later[2] = later[2] + 10**14 + gap
    again = process(fleet, (later[0], later[1], later[2], later[3]))
    assert (again.flag[-8:].reshape(4, 2)[2:] == filters.ESTIMATED).all()
    assert np.abs(again.z[800:]).max() < 8


def test_silence_begins_anew_and_what_comes_late_is_left_out() -> None:
    table = run(TRUE, 100, 3)
    fleet, first = opened(), events(table)
    process(fleet, first)
    port, late = np.array([2]), np.array([START + 50 * STEP])
    assert fleet.process(port * 0, port, late, np.array([0.0])).flag[0] == filters.LATE
    assert fleet.process(port * 0, port, late + 10**12, np.array([990.0])).flag[0] == filters.INPUT
    back = process(fleet, events(table))  # the clock was set back
    assert (back.flag[: 2 * filters.BELIEVED] != filters.ESTIMATED).all()
    assert back.flag[-1] == filters.ESTIMATED


def test_an_output_that_falls_silent_is_no_news() -> None:
    table = run(TRUE, 400, 4)
    whole = events(table)
    heard = (whole[1] != 3) | (whole[2] < START + 200 * STEP)
    fleet = opened()
    found = process(fleet, tuple(column[heard] for column in whole))
    told = found.flag == filters.ESTIMATED
    assert np.abs(found.z[told][-300:]).max() < 8


def test_what_is_saved_comes_back_exactly() -> None:
    whole = events(run(TRUE, 120, 6), twins=3, jitter=400_000)
    half = len(whole[0]) // 2 + 5
    one = opened(3)
    one.remove(1)
    assert one.add(model()) == 1
    one.process(*(column[:half] for column in whole))
    other = LinearFleet(model())
    other.load(one.save())
    rest = tuple(column[half:] for column in whole)
    assert one.process(*rest).y.tobytes() == other.process(*rest).y.tobytes()
    saved = one.save()
    with pytest.raises(ValueError, match="shape"):
        other.load({**saved, "x": np.zeros((3, 9))})
