"""The fit finds the parameters of simulated machines, and says how well it knows them."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviours import LIBRARY
from lineshaft.rooms.twins.engine.compiled import compile_behaviour
from lineshaft.rooms.twins.engine.fit import Fitted, fit
from lineshaft.rooms.twins.engine.simulate import simulate

Floats = NDArray[np.float64]
History = tuple[Floats, Floats, Floats, Floats]

# Sample period (s) and the range of each input.
MOVES: dict[str, tuple[float, list[tuple[float, float]]]] = {
    "lag": (5.0, [(0, 2)]),
    "thermal-mass": (20.0, [(0, 5), (15, 25)]),
    "tank": (10.0, [(5, 25), (30, 100)]),
    "four-tanks": (5.0, [(2, 4), (2, 4)]),
    "valve": (1.0, [(5, 95), (2, 4), (0.5, 1.5)]),
    "pump": (1.0, [(800, 1500), (30, 100)]),
    "compressor": (5.0, [(8000, 10500), (20, 60), (1, 1.03), (10, 30)]),
    "heat-exchanger": (3.0, [(0.5, 1.5), (70, 90), (0.5, 1.5), (15, 25)]),
    "rotating-machine": (5.0, [(5, 20), (2, 8), (15, 25)]),
    "station": (60.0, [(40, 110), (0, 18), (0, 1)]),
    "conveyor": (5.0, [(20, 100), (6, 14), (0, 1)]),
    "buffer": (20.0, [(20, 100), (20, 100)]),
    "production-line": (20.0, [(40, 130), (0, 1), (0, 1), (0, 1)]),
}


def _history(name: str, seed: int, rows: int = 400) -> History:
    """Return times, inputs that move in steps, noisy outputs, and the parameters behind them."""
    behaviour, (period, ranges) = LIBRARY[name], MOVES[name]
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, rows)) * period
    u = np.column_stack([
        np.repeat(rng.uniform(low, high, rows), rng.integers(20, 40))[:rows] for low, high in ranges
    ])  # fmt: skip
    p = behaviour.defaults()
    for i, one in enumerate(behaviour.parameters):
        if i in behaviour.delays():
            p[i] = rng.uniform(0, 5) * period
        elif one.is_fitted and one.low > 0:
            p[i] *= math.exp(rng.uniform(-0.5, 0.5))
    code, delays = compile_behaviour(behaviour), np.array(behaviour.delays(), np.int64)
    x, y = np.empty((rows, len(behaviour.states))), np.empty((rows, len(behaviour.outputs)))
    simulate(code.advance, code.measure, behaviour.start(), p, times, u, delays,
             behaviour.longest_s, x, y)  # fmt: skip
    return times, u, y + rng.normal(size=y.shape) * [one.noise for one in behaviour.outputs], p


def _fit(name: str, history: History) -> Fitted:
    return fit(LIBRARY[name], *history[:3], LIBRARY[name].defaults())


def _held(name: str, found: Fitted, truth: Floats) -> Floats:
    fitted = [one.is_fitted for one in LIBRARY[name].parameters]
    return ((found.low <= truth) & (truth <= found.high))[fitted]


@pytest.mark.parametrize(("name", "seeds"), [("lag", 32), ("tank", 32), ("heat-exchanger", 32)])
def test_the_95_percent_interval_holds_the_truth(name: str, seeds: int) -> None:
    held, off = [], []
    fitted = [one.is_fitted for one in LIBRARY[name].parameters]
    for seed in range(seeds):
        history = _history(name, seed)
        found = _fit(name, history)
        assert found.unknown == ()
        held.append(_held(name, found, history[3]))
        off.append((found.parameters - history[3])[fitted] / found.sigma[fitted])
    assert np.mean(held) >= 0.9
    assert 0.7 < np.std(off) < 1.3  # neither too sure nor too careful


def test_a_hollow_on_the_way_is_not_taken_for_the_minimum() -> None:
    # Four tanks have false minima in which an upper tank starts empty.
    for seed in range(32):
        history = _history("four-tanks", seed)
        found = _fit("four-tanks", history)
        noises = [one.noise for one in LIBRARY["four-tanks"].outputs]
        assert (found.rmse < 1.3 * np.array(noises)).all(), seed


@pytest.mark.parametrize("name", LIBRARY)
def test_every_kind_of_machine_is_found_again(name: str) -> None:
    history = _history(name, 7)
    found = _fit(name, history)
    off = (found.parameters - history[3]) / np.where(found.sigma > 0, found.sigma, 1.0)
    assert (np.abs(off) < 4.0).all()
    assert found.r2.max() > 0.8  # a level that stood still in the last fifth has nothing to tell
    noises = [one.noise for one in LIBRARY[name].outputs]
    assert found.noises == pytest.approx(noises, rel=0.25)
    assert (found.rmse_held < 2.0 * np.array(noises)).all()


def test_of_two_lags_that_show_the_same_the_sensor_has_the_shorter() -> None:
    behaviour, history = LIBRARY["thermal-mass"], _history("thermal-mass", 5)
    swapped = behaviour.defaults()
    swapped[[0, 2]] = 0.2, 4500.0  # a light body behind a sensor that takes an hour
    found = fit(behaviour, *history[:3], swapped)
    assert found.parameters[:2] == pytest.approx(history[3][:2], rel=0.02)
    assert found.parameters[2] == pytest.approx(history[3][2], abs=20.0)  # one sample period
    held = fit(behaviour, *history[:3], swapped, ["heat_capacity", "heat_loss", "dead_time"])
    assert held.parameters[2] == 4500.0, "what a person set stays"


def test_outliers_and_gaps_do_little_harm() -> None:
    held = []
    for seed in range(32):
        times, u, y, truth = _history("tank", 100 + seed)
        rng = np.random.default_rng(seed)
        y = np.where(rng.random(y.shape) < 0.05, y + rng.normal(size=y.shape) * 50.0, y)
        y[rng.random(y.shape) < 0.3] = np.nan
        y[rng.random(y.shape) < 0.01] = np.inf
        same = np.vstack([np.zeros((1, 2), bool), u[1:] == u[:-1]])
        u = np.where(same, np.nan, u)  # sent on change only
        held.append(_held("tank", _fit("tank", (times, u, y, truth)), truth))
    assert np.mean(held) >= 0.9


def test_a_machine_that_wanders_widens_the_interval_and_shows_its_walk() -> None:
    held, walks, widths = [], [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        times, u, _, _ = _history("lag", seed, rows=600)
        steps, x, y = np.diff(times, prepend=times[0]), 0.0, np.empty((600, 1))
        truth = np.array([2.5, 60.0, 1.0, 0.0])
        for k, dt in enumerate(steps):
            keep = math.exp(-dt / truth[1])
            x = keep * x + (1 - keep) * (truth[0] * u[k - 1, 0] + truth[2])
            x += rng.normal() * 0.03 * math.sqrt(dt)
            y[k] = x + rng.normal() * 0.05
        found = fit(LIBRARY["lag"], times, u, y, LIBRARY["lag"].defaults(),
                    {"gain", "time_constant", "bias"})  # fmt: skip
        held.append(((found.low <= truth) & (truth <= found.high))[:3])
        walks.append(found.walks[0])
        widths.append(found.sigma[0])
    assert np.mean(held) >= 0.85
    assert np.median(walks) == pytest.approx(0.03, rel=0.25)
    assert np.median(widths) > 3 * _fit("lag", _history("lag", 0, rows=600)).sigma[0]


def test_what_the_history_cannot_tell_is_named() -> None:
    behaviour = LIBRARY["thermal-mass"]
    times, u, _, p = _history("thermal-mass", 3)
    u[:, 0] = 2.0  # power never moves, so its dead time cannot show; the surroundings do
    code, x, y = compile_behaviour(behaviour), np.empty((400, 2)), np.empty((400, 1))
    simulate(code.advance, code.measure, np.array([40.0, 40.0]), p, times, u,
             np.array(behaviour.delays()), math.inf, x, y)  # fmt: skip
    y += np.random.default_rng(1).normal(size=y.shape) * 0.1
    found = fit(behaviour, times, u, y, behaviour.defaults())
    place = [one.name for one in behaviour.parameters].index("dead_time")
    assert "dead_time" in found.unknown
    assert found.sigma[place] == math.inf
    assert (found.low[place], found.high[place]) == (0.0, 3600.0)
    assert {"heat_capacity", "heat_loss"}.isdisjoint(found.unknown)
    assert found.parameters[1] == pytest.approx(p[1], rel=0.02)


def test_a_history_that_tells_nothing_is_refused() -> None:
    times, u = np.arange(100.0), np.ones((100, 1))
    y = 3.0 + 0.01 * np.random.default_rng(0).normal(size=(100, 1))
    start = LIBRARY["lag"].defaults()
    with pytest.raises(Refused, match=r"cannot tell gain.*not identifiable.*inputs move"):
        fit(LIBRARY["lag"], times, u, y, start)


@pytest.mark.parametrize(("change", "words"), [
    ({"times_s": np.arange(100.0)[::-1]}, "do not ascend"),
    ({"u": np.ones((100, 2))}, "1 inputs and 1 outputs"),
    ({"y": np.full((100, 1), np.nan)}, "at least 20 rows"),
    ({"free": ["speed"]}, "no such parameters"),
    ({"free": []}, "no such parameters"),
    ({"start": np.ones(3)}, "takes 4 parameters"),
    ({"start": np.array([1.0, -1.0, 0.0, 0.0])}, "out of range"),
])  # fmt: skip
def test_wrong_histories_are_refused(change: dict[str, object], words: str) -> None:
    given: dict[str, object] = {
        "times_s": np.arange(100.0), "u": np.ones((100, 1)), "y": np.ones((100, 1)),
        "start": LIBRARY["lag"].defaults(),
    }  # fmt: skip
    with pytest.raises(Refused, match=words):
        fit(LIBRARY["lag"], **{**given, **change})  # type: ignore[arg-type]


def test_an_output_without_sensor_and_data_without_noise_are_no_trouble() -> None:
    behaviour = LIBRARY["tank"]
    times, u, y, truth = _history("tank", 4)
    y[:, 1] = np.nan
    found = fit(behaviour, times, u, y, behaviour.defaults())
    assert _held("tank", found, truth).sum() >= 2
    assert np.isnan([found.rmse_held[1], found.r2[1]]).all()
    assert found.noises[1] == behaviour.outputs[1].noise
    code, x = compile_behaviour(behaviour), np.empty((400, 1))
    simulate(code.advance, code.measure, behaviour.start(), truth, times, u,
             np.array(behaviour.delays()), behaviour.longest_s, x, y)  # fmt: skip
    clean = fit(behaviour, times, u, y, behaviour.defaults())
    assert clean.parameters == pytest.approx(truth, rel=1e-4)
    assert np.isfinite(clean.walks).all()


@pytest.mark.filterwarnings("error")
def test_a_behaviour_without_inputs_is_fitted() -> None:
    lag = LIBRARY["lag"]
    free = dataclasses.replace(lag, name="decay", inputs=(), advance=_decay)
    times = np.arange(200.0) * 2
    y = 5.0 * np.exp(-times / 50.0)[:, None]
    y += np.random.default_rng(0).normal(size=y.shape) * 0.01
    found = fit(free, times, np.empty((200, 0)), y, lag.defaults(), {"time_constant"})
    assert found.low[1] < 50.0 < found.high[1] < 52.0
    assert found.start == pytest.approx([5.0], abs=0.02)


def _decay(x: list[float], u: object, p: list[float], dt: float, out: list[float]) -> None:
    """Decay."""
    out[0] = x[0] * math.exp(-dt / p[1])


def test_the_same_history_gives_the_same_fit() -> None:
    first, second = (_fit("valve", _history("valve", 5)) for _ in range(2))
    for name in Fitted.__slots__:
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
