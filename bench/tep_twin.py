"""`tep-twin`: how well an identified twin of the demo plant foretells runs it has not seen.

The plant runs in closed loop at full speed. Every two hours all its set-points and free valves are
drawn anew, each within 8 % of its range around its base case. A twin is identified from some runs:
inputs are what was drawn, outputs all measurements and the other valves. It then follows other
runs, with other seeds for the moves and for the plant's own noise, and foretells every measurement
30 minutes on. Of the future it knows nothing: inputs are held as they are at that moment.

`error_ratio` is its error over that of the last value kept, RMS over the continuously measured
signals (the analysers', which repeat values, count as outputs but are not judged), each in units of
its standard deviation. Judged are the moments after which the inputs did stay as they were for the
30 minutes, which is what the forecast presumes; what comes out over all moments (moves that nobody
foresees included), and where the moves are told beforehand, is printed beside it.
"""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.plants.signals import Role
from lineshaft.plants.tep import TepPlant
from lineshaft.rooms.twins.engine.identify import identify
from lineshaft.rooms.twins.engine.linear import follow
from lineshaft.rooms.twins.engine.state_space import Model

__all__ = ["run"]

_LEARNED, _JUDGED, _HOURS = range(1, 12), range(101, 105), 50.0
_MOVE_H, _SHARE = 2.0, 0.08
_STEP_S, _AHEAD_S = 120.0, 1800.0
_AHEAD, _WARM = round(_AHEAD_S / _STEP_S), 40
Floats = NDArray[np.float64]


def run(seconds: float, runs: int) -> list[Figure]:
    """Return `error_ratio`; the plant and its moves are seeded, so there is nothing to repeat."""
    began = time.perf_counter()
    before = {name: os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))  # as in the platform's own processes
    try:
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
            tables = list(pool.map(_table, [*_LEARNED, *_JUDGED]))
            took = time.perf_counter() - began
            hours = sum(map(len, tables)) * _STEP_S / 3600
            say(
                f"{hours:.0f} h of plant in {took:.0f} s, {len(_JUDGED)} of {len(tables)} runs kept"
            )
            model = pool.submit(_learn, tables[: len(_LEARNED)]).result()
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    took = time.perf_counter() - began
    say(
        f"{len(model.a)} states from {int(model.chosen[0])} rows, "
        f"{len(model.inputs)} inputs, {len(model.outputs)} outputs; {took:.0f} s"
    )
    ratio, share = _judge(model, tables[len(_LEARNED) :])
    return [judge("tep-twin", "error_ratio", [ratio], "", 0.7, 0.4, lower=True,
                  note=f"{share:.0%} of the moments, {_AHEAD_S / 60:.0f} minutes on")]  # fmt: skip


def _names(plant: TepPlant) -> tuple[list[str], list[str]]:
    """Return the keys of inputs and outputs."""
    seen = [s.key for s in plant.spec.of(Role.MEASUREMENT, Role.MANIPULATED)]
    inputs = list(plant.spec.command_keys)
    return inputs, [key for key in seen if key not in inputs]


def _table(seed: int) -> Floats:
    """Return a run of the plant `(T, inputs + outputs)`, up to its trip where it has one."""
    dice, plant = np.random.default_rng(seed), TepPlant(seed=1000 + seed)
    inputs, outputs = _names(plant)
    base = np.array([plant.commands()[key] for key in inputs])
    low = np.array([plant.spec[key].low for key in inputs], float)
    high = np.array([plant.spec[key].high for key in inputs], float)
    where = [plant.spec.model_keys.index(key) for key in outputs]
    rows, now, due = list[Floats](), base, dice.uniform(0, _MOVE_H)
    for number in range(int(_HOURS * 3600 / _STEP_S)):
        if number * _STEP_S >= due * 3600:
            due += _MOVE_H
            moved = dice.uniform(-_SHARE, _SHARE, len(base)) * (high - low)
            now = np.clip(base + moved, low, high)
            for key, value in zip(inputs, now.tolist(), strict=True):
                plant.command(key, value)
        plant.advance(_STEP_S / 3600)
        if plant.trip:
            break
        rows.append(np.append(now, plant.values()[where]))
    return np.array(rows)


def _learn(tables: list[Floats]) -> Model:
    gap = np.full((1, tables[0].shape[1]), np.nan)
    joined = np.concatenate([part for table in tables for part in (table, gap)])
    inputs, outputs = _names(TepPlant())
    return identify(joined, inputs, outputs, sample_us=round(_STEP_S * 1e6), ahead=_AHEAD)[0]


def _judge(model: Model, tables: list[Floats]) -> tuple[float, float]:
    """Return the ratio where inputs are held, and of how many moments that is; print the rest."""
    m = len(model.inputs)
    found: list[Any] = [_errors(model, (table - model.centre) / model.scale) for table in tables]
    kept, blind, told = (np.concatenate([one[i] for one in found]) for i in range(3))
    held = np.concatenate([one[3] for one in found])
    whole = np.concatenate([(table - model.centre) / model.scale for table in tables])[:, m:]
    repeats = np.mean(np.diff(whole, axis=0) == 0, axis=0)
    of = [i for i, key in enumerate(model.outputs) if repeats[i] < 0.01 and key in _measured()]
    unit = whole[:, of].std(axis=0)

    def size(errors: Floats) -> float:
        return float(np.sqrt(np.mean((errors[:, of] / unit) ** 2)))

    each = [size(b[h]) / size(k[h]) for k, b, _, h in found]
    say(f"{len(of)} signals, inputs held: {size(blind[held]):.3f} over {size(kept[held]):.3f}, "
        f"by run {min(each):.3f} to {max(each):.3f}")  # fmt: skip
    say(f"all moments: ratio {size(blind) / size(kept):.3f}; with the moves told beforehand "
        f"{size(told) / size(kept):.3f}")  # fmt: skip
    return size(blind[held]) / size(kept[held]), float(held.mean())


def _measured() -> set[str]:
    return {signal.key for signal in TepPlant().spec.of(Role.MEASUREMENT)}


def _errors(model: Model, table: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Return the errors `(moments, r)` of the last value kept, of the forecast with inputs held,
    of that with the inputs that came, and whether the inputs were held."""
    m, at = len(model.inputs), np.arange(_WARM, len(table) - _AHEAD)
    x, e = follow(model, table)
    u, y = table[:, :m], table[:, m:]
    blind = told = x[at] @ model.a.T + u[at] @ model.b.T + e[at] @ model.k.T
    held = np.ones(len(at), bool)
    for step in range(1, _AHEAD):
        blind = blind @ model.a.T + u[at] @ model.b.T
        told = told @ model.a.T + u[at + step] @ model.b.T
    for step in range(1, _AHEAD + 1):
        held &= (u[at + step] == u[at]).all(axis=1)
    end = y[at + _AHEAD]
    return (end - y[at], end - blind @ model.c.T - u[at] @ model.d.T,
            end - told @ model.c.T - u[at + _AHEAD] @ model.d.T, held)  # fmt: skip
