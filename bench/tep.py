"""`tep`: how cheaply the steady-state optimiser runs the Tennessee Eastman Process.

It is given ten handles with bounds and rates, the limits below, the cost signal, and nothing else.
The plant starts at its base case (169.5 $/h). Production rate and product mix are demands. Limits
are Downs & Vogel's normal operating limits with the reactor pressure at 2,800 kPa; a violation is a
5-minute mean past one of them. The score is the mean cost of the last 40 h of a hold of 80 h.

`--blind`: all signals have other names, units with scales and offsets drawn by seed, and the cost
is a sum of its four parts with weights drawn from 0.5 to 2; `regret` is against the best point of
that draw, found offline (`tep_optimum`). `--disturbances`: each disturbance comes after a day, with
the loop on and off; what it cost over the whole run is compared.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from bench.closed_loop import Process, Told, drive, hold
from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.plants.tep import TepPlant
from lineshaft.rooms.decide.engine.method import Floats, Handle, Limit, Problem
from lineshaft.rooms.decide.engine.optimise.steady import make

__all__ = ["HANDLES", "LIMITS", "PARTS", "PERIOD_H", "TepProcess", "problem", "run"]

PARTS = ("purge", "product", "compressor", "steam")
"""What the cost is made of."""
_SEEDS, _BUDGET_H = 5, 2500.0
_SETTLE_H, _JUDGE_H = 40.0, 40.0
_IDV, _IDV_H, _IDV_FROM_H = (1, 2, 4, 5, 8, 12, 13), 400.0, 24.0
PERIOD_H = 1 / 12
_SAMPLES = 10
_STEP_H = 1 / 240
_RANGE_H = 80.0
"""Hours in which a handle may cross its range."""

HANDLES = (
    "reactor/pressure-sp", "reactor/temperature-sp", "reactor/level-sp", "separator/level-sp",
    "stripper/level-sp", "reactor/ya-sp", "reactor/yac-sp", "compressor/recycle-valve",
    "stripper/steam-valve", "reactor/agitator",
)  # fmt: skip
_FLOW, _G = 22.949, 53.72
LIMITS = (
    Limit("reactor/pressure", high=2800.0),
    Limit("reactor/temperature", high=150.0),
    Limit("reactor/level", 50.0, 100.0),
    Limit("separator/level", 30.0, 100.0),
    Limit("stripper/level", 30.0, 100.0),
    Limit("product/flow", 0.95 * _FLOW, 1.05 * _FLOW),
    Limit("product/composition-g", _G - 5.0, _G + 5.0),
)


def problem() -> Problem:
    """Return what the optimiser is told."""
    spec = TepPlant().spec
    handles = []
    for key in HANDLES:
        low, high = spec[key].low, spec[key].high
        assert low is not None
        assert high is not None
        handles.append(Handle(key, low, high, (high - low) / _RANGE_H))
    return Problem(tuple(handles), LIMITS, PERIOD_H)


class TepProcess(Process):
    """The plant as the driver needs it; the cost is the plant's own or a weighted sum of parts."""

    def __init__(self, seed: int, weights: Floats | None = None) -> None:
        self.plant = TepPlant(seed=4651 + seed, step_h=_STEP_H)
        keys = self.plant.spec.model_keys
        parts = [keys.index(f"economics/cost-{part}") for part in PARTS]
        self._cost = [keys.index("economics/cost")] if weights is None else parts
        self._weights = np.ones(1) if weights is None else weights
        self._where = [keys.index(one.key) for one in LIMITS]

    @property
    def hours(self) -> float:
        """Plant time."""
        return self.plant.hours

    @property
    def trip(self) -> str | None:
        """Cause of the shutdown."""
        return self.plant.trip

    def u(self) -> Floats:
        """Return the handles in force."""
        force = self.plant.commands()
        return np.array([force[key] for key in HANDLES])

    def command(self, u: Floats) -> None:
        """Put handles in force."""
        for key, value in zip(HANDLES, u.tolist(), strict=True):
            self.plant.command(key, value)

    def period(self) -> Floats:
        """Run five minutes; return what was seen in them."""
        samples = []
        for _ in range(_SAMPLES):
            self.plant.advance(PERIOD_H / _SAMPLES)
            values = self.plant.values()
            samples.append(np.append(self._weights @ values[self._cost], values[self._where]))
        return np.array(samples)


class _Blind(Process):
    """The plant behind other names and units; `draw` says which."""

    def __init__(self, seed: int) -> None:
        dice = np.random.default_rng([seed, 5])
        self.weights = np.exp(dice.uniform(np.log(0.5), np.log(2.0), len(PARTS)))
        self._inner = TepProcess(seed, self.weights)
        n, m = len(HANDLES), 1 + len(LIMITS)
        self.by = np.exp(dice.uniform(-3, 3, n))
        self.off = dice.uniform(-100, 100, n)
        self.out_by, self.out_off = np.exp(dice.uniform(-3, 3, m)), dice.uniform(-100, 100, m)

    @property
    def hours(self) -> float:
        """Plant time."""
        return self._inner.hours

    @property
    def trip(self) -> str | None:
        """Cause of the shutdown."""
        return self._inner.trip

    def u(self) -> Floats:
        """Return the handles in force, in their new units."""
        return self._inner.u() * self.by + self.off

    def command(self, u: Floats) -> None:
        """Put handles in force."""
        self._inner.command((u - self.off) / self.by)

    def period(self) -> Floats:
        """Run five minutes."""
        return self._inner.period() * self.out_by + self.out_off

    def problem(self) -> Problem:
        """Return the problem in the new units."""
        told = problem()
        handles = [
            Handle(f"h{i}", one.low * by + off, one.high * by + off, one.rate * by)
            for i, (one, by, off) in enumerate(zip(told.handles, self.by, self.off, strict=True))
        ]
        scales = zip(told.limits, self.out_by[1:], self.out_off[1:], strict=True)
        limits = [
            Limit(f"y{j}", None if one.low is None else one.low * by + off,
                  None if one.high is None else one.high * by + off)
            for j, (one, by, off) in enumerate(scales)
        ]  # fmt: skip
        return Problem(tuple(handles), tuple(limits), PERIOD_H)


def run(seconds: float, runs: int, *, blind: bool = False, disturbances: bool = False
        ) -> list[Figure]:  # fmt: skip
    """Return the figures of the seeds, several processes at a time."""
    os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        if disturbances:
            return _disturbed(list(pool.map(_with_and_without, (*_IDV, 6))))
        if blind:
            return _regrets(list(pool.map(_blind_seed, range(1, _SEEDS + 1))))
        return _costs(list(pool.map(one_seed, range(1, _SEEDS + 1))))


def one_seed(seed: int) -> dict[str, Any]:
    """Return what one run came to."""
    process, told_problem = TepProcess(seed), problem()
    method = make(told_problem, {}, seed)
    return _judged(process, told_problem, drive(process, told_problem, method, _BUDGET_H))


def _judged(process: Process, of: Problem, told: Told) -> dict[str, Any]:
    spent = float(np.mean(told.cost))
    hours = told.settled_at or process.hours
    cost = float("nan") if told.trip else hold(process, of, told, _SETTLE_H, _JUDGE_H)
    return {"cost": cost, "integral": spent, "hours": hours, "trips": int(told.trip is not None),
            "violations": told.violations, "u": process.u()}  # fmt: skip


def _costs(found: list[dict[str, Any]]) -> list[Figure]:
    say("settled by seed: " + ", ".join(f"{one['cost']:.1f}" for one in found))
    column = {key: [one[key] for one in found] for key in found[0]}
    return [
        judge("tep", "settled_cost", column["cost"], "$/h", 120.0, 115.5, lower=True),
        judge("tep", "integral_cost", column["integral"], "$/h", np.inf, np.inf, lower=True),
        judge("tep", "hours_to_settle", column["hours"], "h", 3000.0, 500.0, lower=True),
        judge("tep", "trips", [sum(column["trips"])], "", 0, 0, lower=True),
        judge("tep", "violations", [sum(column["violations"])], "", 0, 0, lower=True,
              note="5-minute means past a limit, all seeds together"),
    ]  # fmt: skip


def _blind_seed(seed: int) -> dict[str, Any]:
    from bench.tep_optimum import best

    process = _Blind(seed)
    told_problem = process.problem()
    method = make(told_problem, {}, seed)
    found = _judged(process, told_problem, drive(process, told_problem, method, _BUDGET_H))
    cost = (found["cost"] - process.out_off[0]) / process.out_by[0]
    low, high = (np.array([getattr(one, side) for one in problem().handles])
                 for side in ("low", "high"))  # fmt: skip
    high[0] = 2800.0
    start = np.array([TepPlant().commands()[key] for key in HANDLES])
    least = best(process.weights, low, high, start)[0]
    return found | {"regret": cost / least - 1}


def _regrets(found: list[dict[str, Any]]) -> list[Figure]:
    regrets = [one["regret"] for one in found]
    say("regret by seed: " + ", ".join(f"{one:.3f}" for one in regrets))
    return [
        judge("tep --blind", "regret", regrets, "", 0.05, 0.01, lower=True),
        judge("tep --blind", "trips", [sum(one["trips"] for one in found)], "", 0, 0, lower=True),
        judge("tep --blind", "violations", [sum(one["violations"] for one in found)], "", 0, 0,
              lower=True),
    ]  # fmt: skip


def _with_and_without(idv: int) -> dict[str, Any]:
    """Return what a disturbance cost with the loop on and off, and whether the plant tripped."""
    result: dict[str, Any] = {"idv": idv}
    for name in ("off", "on"):
        process, told_problem, told = TepProcess(idv), problem(), Told()
        method = make(told_problem, {}, idv) if name == "on" else None
        for hours in (_IDV_FROM_H, _IDV_H - _IDV_FROM_H):
            if method is None:
                hold(process, told_problem, told, 0.0, hours)
            else:
                drive(process, told_problem, method, hours, told=told, stop=False)
            process.plant.set_disturbance(idv, True)
        result |= {f"{name}_cost": float(np.mean(told.cost)), f"{name}_trip": told.trip,
                   f"{name}_hours": process.hours, f"{name}_past": told.violations}  # fmt: skip
    return result


def _disturbed(found: list[dict[str, Any]]) -> list[Figure]:
    for one in found:
        say(", ".join(f"{key} {value}" for key, value in one.items()))
    wins = [one["on_cost"] < one["off_cost"] and one["on_trip"] is None for one in found[:-1]]
    more = sum((one["on_trip"] is not None) - (one["off_trip"] is not None) for one in found[:-1])
    return [
        judge("tep --disturbances", "wins", [sum(wins)], "", 6, 7, note="of 7"),
        judge("tep --disturbances", "trips_more", [more], "", 0, 0, lower=True),
    ]
