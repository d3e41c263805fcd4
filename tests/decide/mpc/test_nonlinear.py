"""Nonlinear control of the tank of Klatt & Engell, whose plant is not what the model says."""

import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("casadi")

from bench.cstr import TANK, Tank

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Handle, Limit, Problem, View
from lineshaft.rooms.decide.engine.mpc.behaviour import Slopes
from lineshaft.rooms.decide.engine.mpc.nonlinear import make
from lineshaft.rooms.decide.engine.mpc.radau import simulated

HOURS = 0.005
HANDLES = (Handle("feed", 3.0, 35.0, 1000.0), Handle("cooling", -9000.0, 0.0, 400_000.0))
PROBLEM = Problem(HANDLES, (Limit("b"), Limit("temperature", 100.0, 116.0, 0.5)), HOURS)
WISH: dict[str, Any] = {
    "model": TANK, "targets": {"b": {"value": 0.8}}, "move_weight": 0.02, "horizon": 12,
    "rest": {"feed": {"value": 14.0, "weight": 1e-3}},
}  # fmt: skip
START = np.array([14.19, -1113.5])


def test_a_period_is_what_another_integrator_says() -> None:
    slopes = Slopes(TANK, np.array([3.0, -9000.0]), np.array([32.0, 9000.0]))
    plant, u = Tank(), np.array([20.0, -2000.0])
    inner, slope = simulated(slopes, TANK.start / TANK.scale, np.array([17 / 32, 7 / 9]), HOURS)
    plant.step(u, HOURS)
    assert inner[1] * TANK.scale == pytest.approx(plant.x, rel=2e-4)
    bumped = TANK.start / TANK.scale + np.array([1e-5, 0, 0, 0])
    other, _ = simulated(slopes, bumped, np.array([17 / 32, 7 / 9]), HOURS)
    assert (other[1] - inner[1]) / 1e-5 == pytest.approx(slope[:, 0], abs=1e-4)


def test_it_tracks_without_offset_keeps_limits_and_rates_and_goes_on_after_a_save() -> None:
    control, again = make(PROBLEM, WISH), make(PROBLEM, WISH)
    plant, u = Tank(0.95, 103.0), START.copy()
    y, hottest = plant.step(u, HOURS), 0.0
    for k in range(120):
        if k == 40:
            again = make(PROBLEM, WISH, 0, again.save())
        view = View(HOURS * k, u, 0.0, y, y)
        proposal = control.step(view)
        if 35 <= k < 50:
            assert (again.step(view).u == proposal.u).all()
        elif k < 35:
            again.step(view)
        assert (np.abs(proposal.u - u) <= [1000 * HOURS, 400_000 * HOURS]).all()
        assert (proposal.u >= [3.0, -9000.0]).all() and (proposal.u <= [35.0, 0.0]).all()
        u = proposal.u
        y = plant.step(u, HOURS)
        hottest = max(hottest, float(y[1]))
    assert y[0] == pytest.approx(0.8, abs=2e-3) and hottest <= 116.0
    assert set(control.describe()["states"]) == set(TANK.states)


def test_what_is_not_read_holds() -> None:
    control, nothing = make(PROBLEM, WISH), np.full(2, np.nan)
    assert control.step(View(0.0, nothing, np.nan, nothing, nothing)).phase == "hold"
    first = control.step(View(HOURS, START, np.nan, nothing, nothing))
    assert np.isfinite(first.u).all()
    frozen = control.step(View(2 * HOURS, START, 0.0, nothing, nothing, True))
    assert frozen.u.tolist() == START.tolist() and "frozen" in frozen.reason


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="behaviour"):
        make(PROBLEM, {**WISH, "model": {}})
    with pytest.raises(Refused, match="in their order"):
        make(Problem(HANDLES[::-1], PROBLEM.limits, HOURS), WISH)
    with pytest.raises(Refused, match="saved state"):
        make(PROBLEM, WISH, 0, b"torn")
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(Refused, match=r"lineshaft\[control\]"):
        make(PROBLEM, WISH)
