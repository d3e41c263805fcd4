"""The active set: its answers meet the conditions of the least, whatever the question."""

import numpy as np
import pytest

from lineshaft.rooms.decide.engine.mpc.active import least


@pytest.mark.parametrize("seed", range(30))
def test_the_answer_is_feasible_and_pressed_by_nothing_but_what_binds(seed: int) -> None:
    random = np.random.default_rng(seed)
    n, m = int(random.integers(2, 12)), int(random.integers(1, 30))
    rows = random.normal(size=(m, n))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    inside = rows @ (random.normal(size=n) * 0.3)
    low, high = inside - random.uniform(0, 1, m), inside + random.uniform(0, 1, m)
    q = random.normal(size=n) * 3
    x, active, steps = least(q, rows, low, high)
    assert steps >= 0 and (rows @ x >= low - 1e-7).all() and (rows @ x <= high + 1e-7).all()
    forces = np.linalg.lstsq(rows[active].T, x + q, rcond=None)[0]
    assert rows[active].T @ forces == pytest.approx(x + q, abs=1e-7)
    side = np.where(np.abs(rows[active] @ x - low[active]) < 1e-6, 1, -1)
    assert (forces * side > -1e-7).all()
    assert least(q, rows, low, high)[0].tobytes() == x.tobytes()


def test_rows_that_exclude_each_other_and_nonsense_are_told() -> None:
    rows = np.array([[1.0, 0.0], [1.0, 0.0]])
    low, high = np.array([1.0, -3.0]), np.array([2.0, -2.0])
    assert least(np.zeros(2), rows, low, high)[2] < 0
    assert least(np.full(2, np.nan), rows, low, high)[2] < 0
