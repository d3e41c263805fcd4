"""Modifier adaptation: the plant's optimum from a model that is wrong."""

import numpy as np
import pytest

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats, Handle, Limit, Problem, View
from lineshaft.rooms.decide.engine.optimise.adapt import ModifierAdaptation, make

HANDLES = (Handle("a", 0.0, 10.0, 1e4), Handle("b", 0.0, 1.0, 1e3))


def plant(u: Floats) -> float:
    return float((u[0] - 7) ** 2 + 40 * (u[1] - 0.3) ** 2 + 0.5 * (u[0] - 7) * (u[1] - 0.3))


def model(u: Floats) -> Floats:
    return np.array([1.4 * (u[0] - 4) ** 2 + 25 * (u[1] - 0.6) ** 2 - 3, 0.8 * u[0]])


def run(problem: Problem, seed: int, count: int, noise: float) -> tuple[ModifierAdaptation, Floats]:
    method = make(problem, {"model": model, "evaluations": count}, seed)
    dice, u = np.random.default_rng(seed), np.array([3.0, 0.7])
    for number in range(count + 1):
        y = np.array([u[0]][: len(problem.limits)])
        cost = plant(u) + dice.normal(0, noise)
        u = np.asarray(method.step(View(float(number), u, cost, y, y)).u)
    return method, u


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_the_plants_optimum_not_the_models(seed: int) -> None:
    method, u = run(Problem(HANDLES, (), 1.0), seed, 15, 0.1)
    assert plant(u) < 0.35
    assert plant(np.array([4.0, 0.6])) > 10
    assert method.describe()["settled"]


def test_a_limit_that_the_model_misses_is_kept() -> None:
    """The model has the limited signal a fifth too low."""
    _, u = run(Problem(HANDLES, (Limit("y", high=5.0),), 1.0), 1, 12, 0.02)
    assert 4.0 < u[0] <= 5.05


def test_what_was_saved_goes_on_the_same() -> None:
    problem = Problem(HANDLES, (), 1.0)
    method, u = run(problem, 2, 6, 0.1)
    settings = {"model": model, "evaluations": 6}
    again = make(problem, settings, 2, method.save())
    view = View(9.0, u, plant(u), np.zeros(0), np.zeros(0))
    assert np.array_equal(method.step(view).u, again.step(view).u)
    assert method.describe() == again.describe()


def test_nothing_measured_is_no_evaluation() -> None:
    method = make(Problem(HANDLES, (), 1.0), {"model": model}, 0)
    u = np.array([3.0, 0.7])
    for _ in range(3):
        assert np.array_equal(
            method.step(View(0.0, u, float("nan"), np.zeros(0), np.zeros(0))).u, u
        )
    assert method.describe()["model_version"] == 0


@pytest.mark.parametrize("wrong", [{}, {"model": 3}, {"model": model, "x": 1},
                                   {"model": model, "stride": 0.0}])  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Refused):
        make(Problem(HANDLES, (), 1.0), wrong, 0)
