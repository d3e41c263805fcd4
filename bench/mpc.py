"""`mpc`: how long a decision of predictive control takes, and whether it keeps what it promises.

One thread; the time is that of `step`, from a View to a Proposal. `lmpc_p95_ms`: random stable
plants of 20 outputs, 8 handles and 30 states, horizon 40, eight targets that change, limits on all
outputs, unmeasured disturbances and noise; 10 plants, 100 periods each. `nmpc_p95_ms`: the tank of
Klatt & Engell, horizon 20, two points of Radau, its catalyst weaker and its feed colder than
believed; 400 periods with changing targets. `offset`: how far that tank's mean output is from its
target at the end, as a share of it; `over`: the most by which its temperature passes the limit.
"""

import time

import numpy as np

from bench.cstr import TANK, Tank
from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.rooms.decide.engine.method import Handle, Limit, Problem, View
from lineshaft.rooms.decide.engine.mpc import linear, nonlinear
from lineshaft.rooms.decide.engine.mpc.model import Model

__all__ = ["run"]

_PLANTS, _PERIODS, _SEED, _HOURS = 10, 100, 20_261_130, 0.005
_TARGETS = (0.8, 0.95, 0.7, 0.9)


def run(seconds: float, runs: int) -> list[Figure]:
    """Return `lmpc_p95_ms`, `nmpc_p95_ms`, `offset` and `over`."""
    lmpc, nmpc, offsets, overs = [], [], [], []
    for number in range(runs):
        plants = [_linear(_SEED + 100 * number + i) for i in range(_PLANTS)]
        lmpc.append(float(np.percentile(np.concatenate(plants), 95)))
        times, offset, over = _nonlinear(_SEED + number)
        nmpc.append(float(np.percentile(times, 95)))
        offsets.append(offset)
        overs.append(over)
        say(f"run {number + 1}/{runs}: linear {lmpc[-1]:.2f} ms, median "
            f"{np.median(np.concatenate(plants)):.2f}; nonlinear {nmpc[-1]:.2f} ms, median "
            f"{np.median(times):.2f}")  # fmt: skip
    return [
        judge("mpc", "nmpc_p95_ms", nmpc, "ms", 25, 10, lower=True),
        judge("mpc", "lmpc_p95_ms", lmpc, "ms", 15, 5, lower=True),
        judge("mpc", "offset", offsets, "of target", 0.005, 0.001, lower=True),
        judge("mpc", "over", overs, "K", 0.5, 0, lower=True, note="the back-off is 0.5 K"),
    ]


def _linear(seed: int) -> list[float]:
    """Return the times of the periods of one random plant."""
    random, n, m, p = np.random.default_rng(seed), 30, 8, 20
    turn, modes = random.normal(size=(n, n)), np.exp(-1 / random.uniform(2, 20, n))
    a = turn @ np.diag(modes) @ np.linalg.inv(turn)
    b, c = random.normal(size=(n, m)) * 0.1, random.normal(size=(p, n)) / np.sqrt(n)
    names, seen = [f"u{i}" for i in range(m)], [f"y{i}" for i in range(p)]
    model = Model.at_instants(names, seen, a, b, c, 0.1)
    reach = np.abs(model.steps(60)).sum(axis=2).max(axis=0)
    limits = tuple(Limit(key, -r / 4, r / 4, r / 50) for key, r in zip(seen, reach, strict=True))
    problem = Problem(tuple(Handle(key, -1.0, 1.0, 2.0) for key in names), limits, 0.1)
    wished = model.steps(200)[-1] @ random.uniform(-0.6, 0.6, m)
    wishes = {key: {"value": float(wished[i])} for i, key in enumerate(seen[:m])}
    control = linear.make(problem, {"model": model, "targets": wishes, "reads": "last"})
    x, u, push, times = np.zeros(n), np.zeros(m), np.zeros(p), []
    for k in range(_PERIODS):
        push = random.normal(size=p) * 0.05 * reach if k % 25 == 0 else push
        y = c @ x + push + random.normal(size=p) * 0.003 * reach
        began = time.perf_counter()
        u = control.step(View(0.1 * k, u, 0.0, y, y)).u
        times.append(1e3 * (time.perf_counter() - began))
        x = a @ x + b @ u
    return times[1:]  # the first compiles


def _nonlinear(seed: int) -> tuple[list[float], float, float]:
    """Return times, offset and by how much the temperature was over its limit."""
    random, high = np.random.default_rng(seed), 118.0
    handles = (Handle("feed", 3.0, 35.0, 2000.0), Handle("cooling", -9000.0, 0.0, 400_000.0))
    limits = (Limit("b"), Limit("temperature", 100.0, high, 0.5))
    problem = Problem(handles, limits, _HOURS)
    plant, u, times, ends, over = Tank(0.95, 103.0), np.array([14.19, -1113.5]), [], [], 0.0
    saved, read = b"", plant.step(u, _HOURS)
    for part, target in enumerate(_TARGETS):
        settings = {"model": TANK, "targets": {"b": {"value": target}}, "move_weight": 0.02,
                    "rest": {"feed": {"value": 14.0, "weight": 1e-3}}}  # fmt: skip
        control = nonlinear.make(problem, settings, 0, saved)
        tail = []
        for k in range(100):
            view = View(_HOURS * (100 * part + k), u, 0.0, read, read)
            began = time.perf_counter()
            u = control.step(view).u
            times.append(1e3 * (time.perf_counter() - began))
            seen = plant.step(u, _HOURS)
            over = max(over, float(seen[1]) - high)
            tail.append(float(seen[0]))
            read = seen + random.normal(size=2) * (0.001, 0.05)
        ends.append(abs(np.mean(tail[-30:]) / target - 1))
        saved = control.save()
    return times[1:], float(max(ends)), over
