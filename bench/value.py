"""`value`: is the gain that an account of a loop tells the gain there is?

500 simulated plants (`bench.value_plants`), 12 weeks in periods of an hour: two weeks without the
loop, then with it, but for a day or so in every three. `coverage`: share of the plants whose
interval of 95 % holds the true mean gain of the settled hours. `half_width`: median of half the
interval by the true gain. `false_claims`: share of the same plants, with a gain of zero, of which
the account ever claimed one, asked once a day. `claims`: share of the plants with a gain that it
claims in the end. Every run has other plants.
"""

import numpy as np

from bench.figures import Figure, judge
from bench.ground import say
from bench.value_plants import Plant, plant
from lineshaft.rooms.decide.engine.value import Period, Terms, Value, Worth

__all__ = ["run"]

_PLANTS, _HOURS, _DAY, _FIRST = 500, 12 * 168, 24, 10_000


def run(seconds: float, runs: int) -> list[Figure]:
    """Return the figures; a run takes minutes, and one is enough."""
    coverage, widths, false, claims = [], [], [], []
    for number in range(min(runs, 1)):
        first = _FIRST + number * _PLANTS
        told = [_judge(plant(first + i, _HOURS)) for i in range(_PLANTS)]
        coverage.append(float(np.mean([one[0] for one in told])))
        widths.append(float(np.median([one[1] for one in told])))
        claims.append(float(np.mean([one[2] for one in told])))
        none = [_ever_claims(plant(first + i, _HOURS, 0.0)) for i in range(_PLANTS)]
        false.append(float(np.mean(none)))
        say(f"run {number + 1}: coverage {coverage[-1]:.3f}, half width {widths[-1]:.3f}, claimed "
            f"{claims[-1]:.3f}, with no gain {false[-1]:.3f}")  # fmt: skip
    return [
        judge("value", "coverage", coverage, "", 0.93, 0.95, note="0.97 at most"),
        judge("value", "half_width", widths, "of gain", 0.5, 0.25, lower=True),
        judge("value", "false_claims", false, "", 0.05, 0.05, lower=True, note="at any time"),
        judge("value", "claims", claims, "", 0, 1, note="not judged"),
    ]


def _account(one: Plant) -> Value:
    return Value(Terms(1.0, one.settle_h, explain=("load", "weather"), seasons_h=(24.0, 168.0)))


def _judge(one: Plant) -> tuple[bool, float, bool]:
    account, truth = _account(one), []
    before = 0.0
    for hour in range(len(one.cost)):
        _feed(account, one, hour)
        if account.on_h > before:
            truth.append(one.saving[hour])
        before = account.on_h
    worth, true = account.report(), float(np.mean(truth))
    low, high, _ = _interval(worth)
    return low <= true <= high, (high - low) / 2 / true, worth.verdict == "gain"


def _interval(worth: Worth) -> tuple[float, float, float]:
    if worth.low is None or worth.high is None or worth.rate is None:
        return -np.inf, np.inf, 0.0
    return worth.low, worth.high, worth.rate


def _ever_claims(one: Plant) -> bool:
    account = _account(one)
    for hour in range(len(one.cost)):
        _feed(account, one, hour)
        if hour % _DAY == _DAY - 1 and account.report().verdict == "gain":
            return True
    return False


def _feed(account: Value, one: Plant, hour: int) -> None:
    account.update(Period(float(hour), float(one.cost[hour]), bool(one.on[hour]),
                          one.explain[hour]))  # fmt: skip
