"""The monitor: any finite input, chunks, scale, order of signals, the rate asked, who is named."""

from dataclasses import fields
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.kept import from_bytes, to_bytes
from lineshaft.rooms.twins.engine.monitor import Monitor, explain, fit, score

Floats = NDArray[np.float64]

NAMES = [f"s{i}" for i in range(8)]


def plant(rows: int, seed: int) -> Floats:
    """Three slow states seen by eight noisy sensors: (rows, 8)."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(0).normal(size=(3, 8))
    states = np.zeros((rows + 200, 3))
    for i in range(1, len(states)):
        states[i] = [0.9, 0.7, 0.4] * states[i - 1] + rng.normal(size=3)
    seen: Floats = states[200:] @ mix + 0.5 * rng.normal(size=(rows, 8))
    return 50 + 3 * seen


GOOD = plant(1500, 1)


@cache
def trained() -> Monitor:
    """What was learned of the good period, when it is first asked for: it takes the compiler."""
    return fit(GOOD, NAMES)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(0, 40), st.just(8)),
           elements=st.floats(allow_nan=True, allow_infinity=True)),
    st.lists(st.integers(0, 40), max_size=6),
)  # fmt: skip
def test_any_input_and_any_cut(rows: Floats, cuts: list[int]) -> None:
    whole = score(trained(), rows)
    known = np.isfinite(whole.t2)
    assert (known == np.isfinite(whole.q)).all()
    assert not whole.alarm[~known].any()
    if np.isfinite(rows).all():
        assert known[len(trained().whiten) // 8 - 1 :].all()
    edges = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    memory, parts = None, []
    for first, last in pairwise(edges):
        parts.append(score(trained(), rows[first:last], memory))
        memory = parts[-1].memory
    if parts:
        for name in ("t2", "q", "alarm"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            assert joined.tobytes() == getattr(whole, name).tobytes()
        for field in fields(whole.memory):
            one, other = getattr(whole.memory, field.name), getattr(memory, field.name)
            assert one.tobytes() == other.tobytes()


def faulty() -> Floats:
    rows = plant(400, 2)
    rows[200:, 3] += np.linspace(0, 20, 200)
    return rows


def test_scale_offset_and_order_of_signals_change_no_alarm() -> None:
    rng = np.random.default_rng(3)
    factor, offset, turn = 10 ** rng.uniform(-6, 6, 8), rng.normal(size=8), rng.permutation(8)
    factor[::2] *= -1
    rows, expected = faulty(), score(trained(), faulty())
    assert expected.alarm.any() and not expected.alarm.all()
    scaled = fit(GOOD * factor + offset, NAMES)
    turned = fit(GOOD[:, turn], [NAMES[i] for i in turn])
    assert scaled.order == turned.order == trained().order
    for found in (
        score(scaled, rows * factor + offset),
        score(turned, rows[:, turn]),
    ):
        np.testing.assert_allclose(found.t2, expected.t2, rtol=1e-5)
        np.testing.assert_allclose(found.q, expected.q, rtol=1e-5)
        assert (found.alarm == expected.alarm).all()


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_the_rate_asked_is_the_rate_met(rate: float) -> None:
    met = [
        score(fit(plant(1500, 100 + seed), NAMES, rate=rate), plant(6000, 500 + seed)).alarm.mean()
        for seed in range(8)
    ]
    assert 0.6 * rate < np.mean(met) < 1.6 * rate


@pytest.mark.parametrize("column", range(8))
def test_the_signal_that_moved_is_named_first(column: int) -> None:
    rows = plant(300, 4)
    rows[100:, column] += 15
    verdict = score(trained(), rows)
    assert verdict.alarm[-1]
    before = score(trained(), rows[:280]).memory
    ranked = explain(trained(), rows[280:], before)
    assert ranked[0][0] == f"s{column}"
    assert sum(share for _, share in ranked) == pytest.approx(1)
    assert ranked == explain(trained(), rows[281 - len(trained().whiten) // 8 :])


def test_no_windows_explain_nothing() -> None:
    assert explain(trained(), np.full((5, 8), np.nan)) == []


def test_a_missing_value_is_held_then_there_is_no_verdict() -> None:
    learned = fit(GOOD, NAMES, hold=3)
    rows = plant(60, 5)
    rows[20:30, 2] = np.nan
    known = np.isfinite(score(learned, rows).t2)
    wide = len(learned.whiten) // 8
    expected = np.ones(60, np.bool_)
    expected[: wide - 1] = False
    expected[23 : 30 + wide - 1] = False
    assert (known == expected).all()


def test_gaps_in_the_good_period_are_left_out() -> None:
    holed = GOOD.copy()
    holed[np.random.default_rng(6).random(GOOD.shape) < 0.02] = np.nan
    holed[700:800] = np.inf
    learned = fit(holed, NAMES)
    assert learned.chosen[1] == 1405  # the last values are held for five rows
    assert score(learned, plant(4000, 7)).alarm.mean() < 0.03


def test_constant_signals_are_dropped_and_named() -> None:
    rows = np.column_stack([np.full(1500, 7.25), GOOD, np.full(1500, np.nan)])
    learned = fit(rows, ["flat", *NAMES, "dead"])
    assert learned.dropped == ("flat", "dead") and learned.names == tuple(NAMES)
    tested = np.column_stack([np.full(400, 9.0), faulty(), np.full(400, np.nan)])
    assert score(learned, tested).t2.tobytes() == score(trained(), faulty()).t2.tobytes()


def test_one_signal_is_enough() -> None:
    learned = fit(GOOD[:, :1], ["s0"])
    assert score(learned, plant(4000, 8)[:, :1]).alarm.mean() < 0.05
    assert score(learned, GOOD[:50, :1] + 40).alarm[-1]


def test_signals_that_repeat_one_another_and_one_without_size() -> None:
    rows = np.column_stack([GOOD, GOOD[:, 0], 1e300 * GOOD[:, 1]])
    learned = fit(rows, [*NAMES, "twice", "huge"])
    assert learned.dropped == ("huge",)
    tested = plant(2000, 9)
    tested = np.column_stack([tested, tested[:, 0], tested[:, 1]])
    assert score(learned, tested).alarm.mean() < 0.03
    tested[:, 8] += 0.5
    assert score(learned, tested).alarm[20:].all()


def test_kept_exactly() -> None:
    again = from_bytes(Monitor, to_bytes(trained()))
    assert again.names == trained().names and again.dropped == ()
    assert to_bytes(again) == to_bytes(trained())
    assert score(again, faulty()).t2.tobytes() == score(trained(), faulty()).t2.tobytes()
    for bad in (b"", b"PK nonsense", to_bytes(trained())[:-30]):
        with pytest.raises(Refused):
            from_bytes(Monitor, bad)


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(Refused, match="99 whole rows; 8 signals need 100"):
        fit(GOOD[:99], NAMES)
    with pytest.raises(Refused, match="no signal changes"):
        fit(np.ones((500, 8)), NAMES)
    with pytest.raises(Refused, match="fit 7 different signals"):
        fit(GOOD, NAMES[:7])
    with pytest.raises(Refused, match="too few to smooth"):
        fit(GOOD[:400], NAMES, smooth=60)
    with pytest.raises(Refused, match="700 signals are more than the 600"):
        fit(np.random.default_rng(0).normal(size=(3000, 700)), [str(i) for i in range(700)])
    with pytest.raises(Refused, match="trained on 8"):
        score(trained(), np.ones((3, 7)))
