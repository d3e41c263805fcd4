"""Identification: known systems come back, unseen stretches are foretold, bad data is refused."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.identify import identify
from lineshaft.rooms.twins.engine.kept import from_bytes, to_bytes
from lineshaft.rooms.twins.engine.linear import follow
from lineshaft.rooms.twins.engine.state_space import Model, band

Floats = NDArray[np.float64]
INPUTS, OUTPUTS = ("u1", "u2"), ("y1", "y2")
AHEAD = 10


def system(seed: int, order: int = 3) -> dict[str, Floats]:
    """A random system in innovations form whose A and A - KC are stable."""
    dice = np.random.default_rng(seed)
    turn = np.linalg.qr(dice.normal(size=(order, order)))[0]
    a = turn @ np.diag(dice.uniform(0.5, 0.95, order)) @ turn.T
    b, c = dice.normal(size=(order, 2)), dice.normal(size=(2, order))
    d, k = 0.3 * dice.normal(size=(2, 2)), 0.1 * dice.normal(size=(order, 2))
    while np.abs(np.linalg.eigvals(a - k @ c)).max() > 0.95:
        k *= 0.5
    return {"a": a, "b": b, "c": c, "d": d, "k": k}


def run(s: dict[str, Floats], rows: int, seed: int, noise: float = 0.3) -> Floats:
    """A table (rows, 4) of that system: inputs that move now and then, then outputs."""
    dice = np.random.default_rng(seed)
    moves = dice.random((rows, 2)) < 0.15
    u = dice.normal(size=(rows, 2))[np.maximum.accumulate(np.arange(rows)[:, None] * moves, 0),
                                    np.arange(2)]  # fmt: skip
    e, x, y = noise * dice.normal(size=(rows, 2)), np.zeros(len(s["a"])), np.zeros((rows, 2))
    for i in range(rows):
        y[i] = s["c"] @ x + s["d"] @ u[i] + e[i]
        x = s["a"] @ x + s["b"] @ u[i] + s["k"] @ e[i]
    return np.hstack([50 + 4 * u, 1000 + 20 * y])


def learn(table: Floats, **more: Any) -> Any:
    return identify(table, INPUTS, OUTPUTS, sample_us=1_000_000, ahead=AHEAD, **more)


def markov(a: Floats, b: Floats, c: Floats, d: Floats, count: int = 12) -> Floats:
    return np.array([d, *(c @ np.linalg.matrix_power(a, n) @ b for n in range(count))])


@pytest.mark.parametrize("seed", range(6))
def test_a_known_system_comes_back(seed: int) -> None:
    true = system(seed)
    table = run(true, 6000, seed)
    table[2500:2510] = np.nan
    table[4000, 3] = np.nan
    model, quality = learn(table)
    unit = model.scale[2:, None] / model.scale[:2]
    found = markov(model.a, model.b, model.c, model.d) * unit * 4 / 20
    wanted = markov(true["a"], true["b"], true["c"], true["d"])
    assert np.abs(found - wanted).max() < 0.08 * np.abs(wanted).max()
    assert quality.rmse == pytest.approx(20 * 0.3, rel=0.15)
    assert np.sqrt(np.diag(model.cov)) * model.scale[2:] == pytest.approx(20 * 0.3, rel=0.15)
    assert (quality.rmse_ahead < 0.8 * quality.persistence).all()


@pytest.mark.parametrize("seed", [1, 4])
def test_unseen_rows_lie_within_the_bands_and_nearer_than_the_last_value(seed: int) -> None:
    true = system(seed)
    model, _ = learn(run(true, 4000, seed))
    unseen = run(true, 3000, seed + 100)
    x, _ = follow(model, (unseen - model.centre) / model.scale)
    inside, missed, kept = [], [], []
    for begin in range(50, 2900, 7):
        future = unseen[begin : begin + AHEAD + 1]
        told = band(model, x[begin], future[:, :2], 0.9)
        inside.append((told.low <= future[:, 2:]) & (future[:, 2:] <= told.high))
        missed.append(future[-1, 2:] - told.middle[-1])
        kept.append(future[-1, 2:] - unseen[begin - 1, 2:])
    assert 0.86 < np.mean(inside) < 0.95
    assert np.std(missed) < 0.7 * np.std(kept)


def test_what_runs_away_is_followed_by_a_stable_model() -> None:
    dice = np.random.default_rng(2)
    u = dice.normal(size=(3000, 2))
    y = np.cumsum(u @ [[1.0, 0.2], [0.0, 1.0]], 0) + dice.normal(size=(3000, 2))
    model, quality = learn(np.hstack([u, y]))
    assert np.abs(np.linalg.eigvals(model.a)).max() < 1
    assert np.abs(np.linalg.eigvals(model.a - model.k @ model.c)).max() < 1
    assert (quality.rmse < quality.persistence).all()


def test_without_inputs_it_is_a_time_series() -> None:
    table = run(system(3), 3000, 3)[:, 2:]
    model, quality = identify(table, (), OUTPUTS, sample_us=10, ahead=1)
    assert model.b.shape == (len(model.a), 0)
    assert (quality.rmse < quality.persistence).all()


def test_it_is_kept_exactly_and_learned_alike() -> None:
    table = run(system(0), 1500, 0)
    model, _ = learn(table)
    kept = from_bytes(Model, to_bytes(model))
    again, _ = learn(table)
    for field in fields(Model):
        for other in (kept, again):
            assert np.array_equal(getattr(model, field.name), getattr(other, field.name))


TABLE = run(system(0), 1200, 0)


def _with(column: int, value: float) -> Floats:
    table = TABLE.copy()
    table[:, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE[:150], "needs? "),
        (_with(1, 7.0), "'u2' never moves"),
        (_with(3, np.nan), "'y2' has no values"),
        (np.where(np.arange(1200)[:, None] % 3, TABLE, np.nan), "need"),
        (np.where(np.arange(4800).reshape(1200, 4) == 2403, 1e300, TABLE), "beyond all bounds"),
    ],
)
def test_bad_data_is_refused(table: Floats, words: str) -> None:
    with pytest.raises(Refused, match=words):
        learn(table)
