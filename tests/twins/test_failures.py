"""How often a station fails and how long it stands, counted from whether it runs."""

import math
from typing import Any

import numpy as np
import pytest

from lineshaft.rooms.twins.engine.behaviours.line import LINE
from lineshaft.rooms.twins.engine.behaviours.station import STATION
from lineshaft.rooms.twins.engine.behaviours.tank import TANK
from lineshaft.rooms.twins.engine.failures import counted, spells

BETWEEN_S, REPAIR_S = 3000.0, 300.0


def station(seed: int, hours: float = 200.0) -> tuple[Any, Any]:
    """Return when a station starts and stops, and whether it then runs."""
    rng, at, times, runs = np.random.default_rng(seed), 0.0, [], []
    while at < hours * 3600:
        times.append(at)
        runs.append(float(len(runs) % 2 == 0))
        at += rng.exponential(BETWEEN_S if runs[-1] else REPAIR_S)
    return np.array(times), np.array(runs)


def test_the_deviation_says_how_far_off_the_mean_is() -> None:
    off = []
    for seed in range(60):
        up, down = spells(*station(seed, 40.0))
        assert up is not None and down is not None and up.count > 20
        off += [(up.mean - BETWEEN_S) / up.sigma, (down.mean - REPAIR_S) / down.sigma]
    assert abs(np.mean(off)) < 0.4 and 0.7 < np.std(off) < 1.3


def test_a_spell_that_the_period_cuts_off_is_no_failure() -> None:
    up, down = spells(np.array([0.0, 100.0, 150.0, 400.0]), np.array([1.0, 0.0, 1.0, 1.0]))
    assert up is not None and (up.mean, up.count) == (350.0, 1)
    assert down is not None and (down.mean, down.count) == (50.0, 1)
    assert spells(np.array([0.0, 10.0]), np.ones(2)) == (None, None)
    assert spells(np.array([0.0, 10.0]), np.full(2, math.nan)) == (None, None)


def test_only_stations_that_say_whether_they_run_are_counted() -> None:
    times, runs = station(1)
    u = np.full((len(times), 3), math.nan)
    assert list(counted(STATION, times, u)) == []
    u[:, 2] = runs
    found = dict(counted(STATION, times, u))
    assert found["between_failures"].mean == pytest.approx(BETWEEN_S, rel=0.3)
    assert found["to_repair"].mean == pytest.approx(REPAIR_S, rel=0.3)
    line = np.column_stack([np.full(len(times), 60.0), runs, np.full((len(times), 2), math.nan)])
    assert dict(counted(LINE, times, line)).keys() == {"between_failures_1", "to_repair_1"}
    assert list(counted(TANK, times, line[:, :2])) == []
