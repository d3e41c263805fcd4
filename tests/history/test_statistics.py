"""Statistics of a range against plain Python, and their joining."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.rooms.history.engine.grid import Holding, Rule, hold
from lineshaft.rooms.history.engine.statistics import Limits, integral_unit, join, summarise
from tests.history.test_grid import Sample, Slow, _held, samples, spans


@settings(max_examples=200)
@given(samples, spans, st.sampled_from([Rule.GOOD, Rule.USABLE]), st.integers(1, 120))
def test_a_summary_is_what_looking_at_every_sample_gives(
    told: list[Sample], gaps: list[tuple[int, int]], rule: Rule, end: int
) -> None:
    lost = {t for start, stop in gaps for t in range(start + 1, stop)}
    told = [one for one in told if one[0] not in lost]
    slow = Slow(told, gaps, Holding(), rule)
    found = summarise(_held(told, gaps, Holding()), 0, end, rule, Limits(-2, 3))
    inside = [(t, v) for t, v, q in told if 0 <= t < end and slow.counts((v, q))]
    values = [v for _, v in inside]
    over = [slow.now[t] for t in range(end)]
    held = [one[0] for one in over if one is not None and slow.counts(one)]
    good = [one for one in over if one is not None and one[1] < 256 and not math.isnan(one[0])]
    assert found.samples.weight == len(values) and found.time.weight == len(held)
    assert found.good_share == pytest.approx(len(good) / end)
    assert found.above == sum(v > 3 for v in held) and found.below == sum(v < -2 for v in held)
    if held:
        assert found.time.mean == pytest.approx(statistics.fmean(held))
        assert found.time_deviation == pytest.approx(statistics.pstdev(held), abs=1e-9)
        assert found.integral_hours == pytest.approx(sum(held) / 3.6e9)
    if not values:
        assert found.least is found.greatest is found.first is found.last is None
        return
    assert found.samples.mean == pytest.approx(statistics.fmean(values))
    assert found.least and found.greatest and found.first and found.last
    assert (found.least.v, found.greatest.v) == (min(values), max(values))
    assert (found.least.ts, found.least.v) in inside
    assert (found.greatest.ts, found.greatest.v) in inside
    assert (found.first.ts, found.last.ts) == (inside[0][0], inside[-1][0])
    if len(values) > 1:
        assert found.deviation == pytest.approx(statistics.stdev(values), abs=1e-9)


@settings(max_examples=100)
@given(samples, st.lists(st.integers(1, 99), max_size=5, unique=True))
def test_parts_joined_say_what_the_whole_says(told: list[Sample], cuts: list[int]) -> None:
    whole = summarise(_held(told, [], Holding()), 0, 100, Rule.USABLE, Limits(0, 2))
    edges = [0, *sorted(cuts), 100]
    joined = None
    for start, end in itertools.pairwise(edges):
        part = [one for one in told if one[0] < end]
        one = summarise(_held(part, [], Holding()), start, end, Rule.USABLE, Limits(0, 2))
        joined = one if joined is None else join(joined, one)
    assert joined is not None
    assert (joined.start, joined.end, joined.good) == (0, 100, whole.good)
    assert (joined.above, joined.below) == (whole.above, whole.below)
    assert (joined.least, joined.greatest) == (whole.least, whole.greatest)
    assert (joined.first, joined.last) == (whole.first, whole.last)
    for one, other in ((joined.samples, whole.samples), (joined.time, whole.time)):
        assert one.weight == other.weight
        assert one.mean == pytest.approx(other.mean)
        assert one.squares == pytest.approx(other.squares, abs=1e-6)


def test_a_large_level_does_not_swallow_a_small_deviation() -> None:
    ts = np.arange(100_000, dtype=np.int64)
    v = 1e9 + np.tile([0.0, 1.0], 50_000)
    holds = hold(ts, v, np.zeros(len(ts), np.int32), [], Holding())
    found = summarise(holds, 0, 100_000, Rule.USABLE, Limits())
    assert found.time_deviation == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("unit", "same"),
    [("kg/h", "kg"), ("m3/h", "m**3"), ("kg/s", "kg"), ("kW", "kW*hour"), ("l/min", "liter"),
     ("t/d", "tonne"), ("kPa", "kPa*hour"), ("kg/m3", "kg/m**3*hour"), ("m/s", "m")],
)  # fmt: skip
def test_the_integrals_unit_is_the_units_times_hours(unit: str, same: str) -> None:
    from pint import UnitRegistry

    pint = UnitRegistry()
    name, factor = integral_unit(unit)
    plain = {"kg/h": "kg/hour", "m3/h": "m**3/hour", "l/min": "liter/minute", "t/d": "tonne/day",
             "kg/m3": "kg/m**3"}.get(unit, unit)  # fmt: skip
    whole = pint.Quantity(1, plain) * pint.Quantity(1, "hour")
    assert pint.Quantity(factor, same).to(whole.units).magnitude == pytest.approx(whole.magnitude)
    assert name.startswith(("(", same[0])) or name == "t"
