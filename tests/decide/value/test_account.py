"""The account of a loop, on plants small enough to see through."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.value import (
    Conversion,
    Period,
    SwitchBack,
    Terms,
    Value,
    Worth,
)

TERMS = Terms(1.0, 3.0, unit="USD/h", explain=("load",), conversions=(
    Conversion("money", "EUR", 0.9, "controller"), Conversion("emissions", "t", -0.001),
))  # fmt: skip
PLAN = SwitchBack(120.0, 48.0, 16.0, 7, 8.0)
Floats = NDArray[np.float64]


def noise(random: np.random.Generator, hours: int, memory: float) -> Floats:
    out, state = np.empty(hours), 0.0
    for hour in range(hours):
        state = memory * state + random.normal() * np.sqrt(1 - memory**2)
        out[hour] = state
    return out


def play(
    account: Value, seed: int, hours: int = 700, gain: float = 3.0, memory: float = 0.7,
    lag_h: float = 0.0, false_saving: float = 0.0, moved: float = 0.0, first: int = 0,
) -> Worth:  # fmt: skip
    """A load explains the cost; the loop's gain comes in with a lag, over a false saving."""
    random = np.random.default_rng(seed)
    load = 10 + 2 * noise(random, hours, 0.9)
    cost = 100 + 3 * load + noise(random, hours, memory)
    shown, since, was = 0.0, 1e9, False
    for hour in range(hours):
        on = PLAN.on(float(hour))
        since, was = (0.0 if on != was else since + 1), on
        shown += (gain * on - shown) * (1 - np.exp(-1 / lag_h) if lag_h else 1.0)
        false = false_saving * np.exp(-since / 0.5) * (1 if on else -1)
        seen = float(cost[hour] - shown - false)
        if hour >= first:
            account.update(Period(float(hour), seen, on, load[hour : hour + 1], moved=moved,
                                  moves=int(on)))  # fmt: skip
    return account.report()


def holds(worth: Worth, true: float) -> bool:
    assert worth.low is not None and worth.high is not None
    return worth.low <= true <= worth.high


def width(worth: Worth) -> float:
    assert worth.low is not None and worth.high is not None
    return worth.high - worth.low


def test_a_gain_is_found_and_accumulated_in_what_people_declared() -> None:
    worth = play(Value(TERMS), 1)
    assert worth.verdict == "gain" and holds(worth, 3.0) and width(worth) < 1.8
    assert worth.now is not None and abs(worth.now - 3.0) < 0.5 and worth.rate is not None
    money, emissions = worth.amounts
    assert (money.unit, emissions.unit) == ("EUR", "t")
    assert money.amount == pytest.approx(0.9 * worth.rate * worth.on_h)
    assert money.low < money.amount < money.high
    assert emissions.low < emissions.amount < emissions.high < 0
    assert worth.on_h > 200 and worth.off_h > 200 and worth.unsettled_h > 0


def test_what_makes_it_worse_is_a_loss() -> None:
    worth = play(Value(TERMS), 2, gain=-2.0)
    assert worth.verdict == "loss" and holds(worth, -2.0)


def test_the_intervals_hold_the_truth_and_no_gain_is_not_claimed() -> None:
    held, claimed = [], []
    for seed in range(5):
        held.append(holds(play(Value(TERMS), seed, 500, 1.0), 1.0))
        claimed.append(play(Value(TERMS), seed, 500, 0.0).verdict != "unknown")
    assert sum(held) >= 4 and sum(claimed) == 0


def test_hours_with_memory_are_not_taken_for_independent() -> None:
    worth = play(Value(TERMS), 3, memory=0.9)
    independent = 1.96 * np.sqrt(1 / worth.on_h + 1 / worth.off_h)  # noise of deviation one
    assert holds(worth, 3.0) and width(worth) / 2 > 2 * independent


def test_what_seems_saved_while_it_settles_is_not_saved() -> None:
    worth = play(Value(TERMS), 4, gain=0.0, false_saving=50.0)
    assert worth.verdict == "unknown" and holds(worth, 0.0)


def test_a_plant_slower_than_declared_is_noticed() -> None:
    worth = play(Value(replace(TERMS, settle_h=1.0)), 5, 1500, gain=10.0, memory=0.3, lag_h=1.0)
    assert worth.settles_within_h == 4.0 and holds(worth, 10.0)


def test_a_loop_that_never_rests_saves_nothing_yet() -> None:
    worth = play(Value(TERMS), 6, moved=0.05)
    assert (worth.verdict, worth.rate, worth.on_h) == ("unknown", None, 0)
    assert "settled" in worth.why
    calm = play(Value(TERMS), 6, moved=0.0)
    assert calm.on_h > 0


def test_nothing_is_known_without_a_time_without_the_loop() -> None:
    account = Value(TERMS)
    for hour in range(400):
        account.update(Period(float(hour), 50.0 + hour % 7, True, np.ones(1)))
    worth = account.report()
    assert (worth.verdict, worth.rate, worth.amounts) == ("unknown", None, ())


def test_moves_cost_what_people_say() -> None:
    free, dear = play(Value(TERMS), 1), play(Value(replace(TERMS, move_cost=0.5)), 1)
    assert free.rate == dear.rate and free.net is not None and dear.net is not None
    assert dear.move_cost == 0.5 * dear.moves > 0
    assert free.net - dear.net == pytest.approx(dear.move_cost)


def test_a_twin_that_foretells_the_cost_makes_it_surer() -> None:
    random, hours = np.random.default_rng(8), 600
    swings = 8 * noise(random, hours, 0.95)
    cost = 100 + swings + noise(random, hours, 0.5)
    blind, told = Value(replace(TERMS, explain=())), Value(replace(TERMS, explain=()))
    for hour in range(hours):
        on = PLAN.on(float(hour))
        seen, none = float(cost[hour] - 2.0 * on), np.empty(0)
        blind.update(Period(float(hour), seen, on, none))
        told.update(Period(float(hour), seen, on, none, expected=float(90 + swings[hour])))
    assert width(told.report()) < 0.7 * width(blind.report())
    assert holds(told.report(), 2.0)


def test_one_absurd_value_does_not_own_the_answer() -> None:
    account = Value(TERMS)
    before = play(account, 9)
    last = account.report().on_h
    account.update(Period(700.0, 1e6, PLAN.on(700.0), np.full(1, 10.0)))
    after = account.report()
    assert holds(after, 3.0) and after.rate is not None and before.rate is not None
    assert abs(after.rate - before.rate) < width(before) and after.on_h >= last


def test_missing_values_count_for_nothing() -> None:
    account = Value(TERMS)
    before = play(account, 10)
    for hour in range(700, 740):
        account.update(Period(float(hour), np.nan, PLAN.on(float(hour)), np.full(1, np.nan)))
    after = account.report()
    assert (after.on_h, after.off_h) == (before.on_h, before.off_h)
    assert holds(after, 3.0)


@pytest.mark.parametrize("at", [5, 47, 300])
def test_it_goes_on_after_a_save_as_if_nothing_had_been(at: int) -> None:
    whole = Value(TERMS)
    play(whole, 11, 400)
    part = Value(TERMS)
    play_until(part, 11, at)
    part = Value(TERMS, part.save())
    play(part, 11, 400, first=at)
    assert part.report() == whole.report() and part.save() == whole.save()


def play_until(account: Value, seed: int, end: int) -> None:
    """Feed the first hours of the plant that `play` makes of this seed with 400 hours."""
    fed = 0

    class Stop(Exception):
        pass

    class Counted:
        def update(self, period: Period) -> None:
            nonlocal fed
            if fed == end:
                raise Stop
            fed += 1
            account.update(period)

    with pytest.raises(Stop):
        play(Counted(), seed, 400)  # type: ignore[arg-type]


def test_what_cannot_be_is_refused() -> None:
    account = Value(TERMS)
    account.update(Period(1.0, 5.0, False, np.ones(1)))
    with pytest.raises(Refused, match="not later"):
        account.update(Period(1.0, 5.0, False, np.ones(1)))
    with pytest.raises(Refused, match="explain"):
        account.update(Period(2.0, 5.0, False, np.ones(2)))
    account.update(Period(2.0, 5.0, False, np.ones(1)))  # what was refused left no trace
    with pytest.raises(Refused, match="other terms"):
        Value(replace(TERMS, explain=("load", "rain")), account.save())
    for torn in (b"", b"{}\n", account.save()[:-1], account.save() + b"x", b"\xff\x00"):
        if torn:
            with pytest.raises(Refused, match="saved state"):
                Value(TERMS, torn)


@pytest.mark.parametrize(
    "wrong",
    [{"period_h": 0.0}, {"settle_h": -1.0}, {"settle_h": np.nan}, {"seasons_h": (2.0,)},
     {"still": 0.0}, {"learn": 3}, {"move_cost": -1.0}, {"explain": ("a", "a")}],
)  # fmt: skip
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Refused):
        replace(TERMS, **wrong)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="factor"):
        Conversion("money", "EUR", float("inf"))
