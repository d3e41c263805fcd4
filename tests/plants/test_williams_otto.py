"""The Williams-Otto reactor: its known optimum, and a plant that behaves like one."""

import math

import numpy as np
import pytest

from lineshaft.plants.williams_otto import WilliamsOttoPlant
from lineshaft.plants.williams_otto.model import (
    FEED_A,
    HOLDUP,
    Inputs,
    Parameters,
    fraction_rates,
    profit,
)

optimize = pytest.importorskip("scipy.optimize", reason="scipy, of the extra 'plants', is missing")


def steady_profit(feed_b: float, temperature: float) -> float:
    """Solve the balances at steady state; an independent path to the model's fixed point."""
    outflow = FEED_A + feed_b
    inputs = Inputs(FEED_A, feed_b, outflow, 0.0)

    def balance(x: list[float]) -> tuple[float, ...]:
        rates, _ = fraction_rates(tuple(x), temperature, HOLDUP, inputs, Parameters())
        return tuple(1000 * r for r in rates)

    found = optimize.root(balance, [0.09, 0.39, 0.015, 0.29, 0.1, 0.11], tol=1e-12)
    assert found.success
    assert sum(found.x) == pytest.approx(1.0, abs=1e-9)  # mass is neither made nor lost
    income, cost = profit(FEED_A, feed_b, outflow, found.x[3], found.x[5])
    return income - cost


def test_steady_optimum_is_the_literatures() -> None:
    found = optimize.minimize(
        lambda u: -steady_profit(u[0], u[1]), [4.2, 84.0], method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-6},
    )  # fmt: skip
    assert -found.fun == pytest.approx(190.99, abs=0.01)
    assert found.x[0] == pytest.approx(4.7875, abs=2e-3)
    assert found.x[1] == pytest.approx(89.70, abs=0.02)


def at(plant: WilliamsOttoPlant, key: str) -> float:
    return float(plant.values()[plant.spec.model_keys.index(key)])


def mean_profit(plant: WilliamsOttoPlant, hours: float) -> float:
    seen = []
    for _ in range(round(hours * 60)):
        plant.advance(1 / 60)
        seen.append(at(plant, "economics/profit"))
    return float(np.mean(seen))


def test_the_dynamic_plant_settles_at_the_optimum() -> None:
    plant = WilliamsOttoPlant()
    plant.command("feed/b-flow-sp", 4.7875)
    plant.command("reactor/temperature-sp", 89.70)
    plant.advance(4)
    assert at(plant, "reactor/temperature") == pytest.approx(89.70, abs=0.3)
    assert at(plant, "reactor/level") == pytest.approx(100.0, abs=0.5)
    assert mean_profit(plant, 3) == pytest.approx(190.99, abs=1.0)


def test_the_base_case_is_steady_and_below_the_optimum() -> None:
    plant = WilliamsOttoPlant()
    expected = steady_profit(4.2, 84.0)
    assert expected < 189
    assert mean_profit(plant, 2) == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize(("feed_b", "temperature"), [(2, 70), (2, 100), (8, 70), (8, 100)])
def test_every_corner_of_the_set_points_is_reached(feed_b: float, temperature: float) -> None:
    plant = WilliamsOttoPlant()
    plant.command("feed/b-flow-sp", feed_b)
    plant.command("reactor/temperature-sp", temperature)
    plant.advance(3)
    assert plant.trip is None
    assert at(plant, "reactor/temperature") == pytest.approx(temperature, abs=0.5)
    assert 1 < at(plant, "jacket/mixing-valve") < 99


@pytest.mark.parametrize(
    ("number", "key", "sign"),
    [
        (1, "jacket/inlet-temperature", 1),
        (2, "jacket/mixing-valve", -1),
        (3, "economics/profit", -1),
        (4, "product/fraction-g", 1),
        (5, "feed/a-valve", 1),
        (6, "product/fraction-g", 1),
    ],
)
def test_disturbances_are_felt(number: int, key: str, sign: int) -> None:
    calm, disturbed = WilliamsOttoPlant(), WilliamsOttoPlant()
    disturbed.set_disturbance(number, True)
    calm.advance(1)
    disturbed.advance(1)
    assert (at(disturbed, key) - at(calm, key)) * sign > 0.02 * abs(at(calm, key))


def test_it_trips_stands_still_and_starts_again() -> None:
    plant = WilliamsOttoPlant()
    plant.set_disturbance(9, True)
    plant.advance(5)
    assert plant.trip == "High Reactor Temperature"
    stopped = plant.hours
    assert 0 < stopped < 5
    plant.advance(1)
    assert plant.hours == stopped
    plant.restart()
    assert plant.trip is None
    assert plant.active() == frozenset()
    plant.advance(0.5)
    assert plant.hours == pytest.approx(stopped + 0.5)


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second, other = (WilliamsOttoPlant(seed=s) for s in (1, 1, 2))
    for plant in (first, second, other):
        plant.advance(0.2)
    assert np.array_equal(first.values(), second.values())
    assert not np.array_equal(first.values(), other.values())


def test_margins_are_the_distance_to_trip_and_limit() -> None:
    plant = WilliamsOttoPlant()
    plant.advance(0.1)
    level, temperature = at(plant, "reactor/level"), at(plant, "reactor/temperature")
    assert at(plant, "reactor/level-low-trip-margin") == pytest.approx(level - 50)
    assert at(plant, "reactor/level-high-margin") == pytest.approx(105 - level)
    assert at(plant, "reactor/temperature-low-margin") == pytest.approx(temperature - 70)
    assert all(map(math.isfinite, plant.values()))


def test_unknown_commands_and_disturbances_are_errors() -> None:
    plant = WilliamsOttoPlant()
    with pytest.raises(KeyError):
        plant.command("reactor/temperature", 90.0)
    with pytest.raises(KeyError):
        plant.set_disturbance(0, True)
