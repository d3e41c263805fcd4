"""The drift score: calibrated, finite under storms, exact when cut or saved, finds slow drifts."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from bench.machines import events, innovations
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.drift import Healthy, State, begin, learn, report, update
from lineshaft.rooms.twins.engine.kept import from_bytes, to_bytes

Floats = NDArray[np.float64]

DAY, MINUTE = 1440, 60_000_000
SHAPES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "laplace": lambda rng, size: rng.laplace(size=size),
    "student": lambda rng, size: rng.standard_t(3, size=size),
}


def stream(shape: str, tied: float, seed: int, channels: int = 150, rows: int = 2 * DAY) -> Floats:
    """Innovations of a twin that is off by a constant, too small in variance and dependent."""
    fresh = SHAPES[shape](np.random.default_rng(seed), (rows, channels))
    for i in range(1, rows):
        fresh[i] += tied * fresh[i - 1]
    return 0.3 + 1.4 * fresh


@cache
def good() -> Healthy:
    """What three channels were taught, when it is first asked for: it takes the compiler."""
    return learn(*events(stream("normal", 0.2, 1, channels=3)[:DAY]), 3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tied", [0.0, 0.3])
def test_one_in_a_thousand_means_it(shape: str, tied: float) -> None:
    z = stream(shape, tied, 7)
    healthy = learn(*events(z[:DAY]), 150)
    assert healthy.ready.all()
    verdicts = update(healthy, begin(healthy), *events(z[DAY:], DAY))
    assert 0.7 < verdicts.fast.mean() / 1e-3 < 1.35
    assert not verdicts.slow.any()
    tenth = update(healthy, begin(healthy), *events(z[DAY:], DAY), rate=0.01)
    assert 0.85 < tenth.fast.mean() / 0.01 < 1.15


def test_a_slow_drift_is_found_and_healthy_machines_are_left_alone() -> None:
    slope = np.where(np.arange(100) < 20, 0.5, 0.0)
    z = innovations(100, 2 * DAY, 11, slope, DAY)
    healthy = learn(*events(z[:DAY]), 100)
    state = begin(healthy)
    slow = update(healthy, state, *events(z[DAY:], DAY)).slow.reshape(DAY, 100).any(axis=0)
    assert slow[:20].all() and not slow[20:].any()
    scores = report(healthy, state)[1]
    assert scores[:20].min() > 10 > 7 > scores[20:].max()


def test_a_wider_innovation_raises_the_fast_score_only() -> None:
    z = stream("normal", 0.0, 3, channels=40)
    z[-200:, 0] = 0.3 + 3 * (z[-200:, 0] - 0.3)
    healthy = learn(*events(z[:DAY]), 40)
    state = begin(healthy)
    verdicts = update(healthy, state, *events(z[DAY:], DAY))
    fast, slow = report(healthy, state)
    assert fast.argmax() == 0 and fast[0] >= 3
    assert slow.max() < 5 and not verdicts.slow.any()


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.integers(0, 60), elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.data(),
)
def test_storms_cuts_and_saving(z: Floats, data: st.DataObject) -> None:
    who = data.draw(arrays(np.int64, z.size, elements=st.integers(0, 2)))
    at = data.draw(arrays(np.int64, z.size, elements=st.integers(-(2**62), 2**62)))
    whole = begin(good())
    expected = update(good(), whole, who, z, at)
    assert (np.isnan(expected.score) == ~np.isfinite(z)).all()
    assert whole.bad.sum() == (~np.isfinite(z)).sum()
    assert np.isfinite(np.column_stack([whole.size, whole.bin_sum, whole.mean])).all()
    assert np.isfinite(report(good(), whole)).all()
    state, healthy, parts = begin(good()), good(), []
    edges = sorted({0, z.size, *data.draw(st.lists(st.integers(0, z.size), max_size=4))})
    for first, last in pairwise(edges):
        part = slice(first, last)
        parts.append(update(healthy, state, who[part], z[part], at[part]).score)
        state, healthy = from_bytes(State, to_bytes(state)), from_bytes(Healthy, to_bytes(healthy))
    if parts:
        assert np.concatenate(parts).tobytes() == expected.score.tobytes()
    for one, other in zip(state, whole, strict=True):
        assert one.tobytes() == other.tobytes()


def test_bad_values_change_nothing_but_their_count() -> None:
    who, z, at = events(stream("normal", 0.0, 5, channels=3, rows=400), DAY)
    holed = np.insert(z, np.arange(0, z.size, 7), np.nan)
    turn = np.insert(np.arange(z.size), np.arange(0, z.size, 7), 0)
    clean, dirty = begin(good()), begin(good())
    expected = update(good(), clean, who, z, at)
    found = update(good(), dirty, who[turn], holed, at[turn])
    assert found.score[np.isfinite(holed)].tobytes() == expected.score.tobytes()
    assert dirty.bad.sum() == np.isnan(holed).sum() and clean.bad.sum() == 0
    assert dirty.mean.tobytes() == clean.mean.tobytes()


def test_irregular_stamps_and_gaps_keep_the_rate() -> None:
    rng = np.random.default_rng(8)
    z = stream("normal", 0.3, 9, channels=150)
    who, values, at = events(z)
    kept = (rng.random(z.size) < 0.6) & ((at // MINUTE) % 200 > 15)
    who, values = who[kept], values[kept]
    at = at[kept] + rng.integers(0, MINUTE // 2, kept.sum())
    first = at < DAY * MINUTE
    healthy = learn(who[first], values[first], at[first], 150)
    verdicts = update(healthy, begin(healthy), who[~first], values[~first], at[~first])
    assert 0.6 < verdicts.fast.mean() / 1e-3 < 1.5
    assert not verdicts.slow.any()


def test_too_short_a_good_period_says_nothing() -> None:
    who, z, at = events(stream("normal", 0.0, 1, channels=3, rows=100))
    mute = learn(who, z, at, 4)
    state = begin(mute)
    assert not mute.ready.any()
    assert (update(mute, state, who, z + 50, at).score == 0).all()
    assert (np.array(report(mute, state)) == 0).all()
    still = learn(*events(np.ones((DAY, 1))), 1)
    assert not still.ready.any()


def test_wrong_events_are_refused() -> None:
    state = begin(good())
    with pytest.raises(Refused, match="outside 0–2"):
        update(good(), state, [3], [0.0], [0])
    with pytest.raises(Refused, match="as many"):
        update(good(), state, [1, 2], [0.0], [0])
