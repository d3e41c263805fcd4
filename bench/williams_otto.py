"""`williams-otto`: the plant's optimum from a wrong model, in 15 noisy evaluations.

The plant is the Williams-Otto reactor at rest, solved from its balances: three reactions, 190.99
$/s at 4.7875 kg/s of B and 89.70 degrees. The model is the two-reaction approximation that the
literature uses for it (J. F. Forbes, T. E. Marlin and J. F. MacGregor, Comput. Chem. Eng. 18,
1994): A + 2B -> P + E and A + B + P -> G, its kinetics known only roughly. Each evaluation measures
the fractions of P and E, each with 0.5 % of noise, and the profit follows from them. `optimality`
is the noise-free profit at the point that the method stays at, over the best.
"""

import numpy as np
from scipy.optimize import fsolve, minimize

from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.plants.williams_otto import model as kinetics
from lineshaft.rooms.decide.engine.method import Floats, Handle, Problem, View
from lineshaft.rooms.decide.engine.optimise.adapt import make

__all__ = ["profit_at", "run", "wrong_profit_at"]

_SEEDS, _NOISE, _MOST = 10, 0.005, 15
_HANDLES = (
    Handle("feed/b-flow-sp", 3.0, 6.0, 1e3),
    Handle("reactor/temperature-sp", 70.0, 100.0, 1e4),
)
_START = np.array([3.6, 78.0])
_PRE = (2.189e8, 4.310e13)
_ACTIVATION = (8077.6, 12438.5)
"""1/s and K of the two reactions, as fitted to the reactor in the literature."""


def profit_at(u: Floats, noise: Floats | None = None) -> float:
    """Return the plant's profit in $/s at `u`, B in kg/s and temperature in degrees."""
    x = _rest(float(u[0]), float(u[1]))
    e, p = x[3], x[5]
    if noise is not None:
        e, p = e * (1 + noise[0]), p * (1 + noise[1])
    out = kinetics.FEED_A + float(u[0])
    income, cost = kinetics.profit(kinetics.FEED_A, float(u[0]), out, e, p)
    return income - cost


def _rest(feed_b: float, temperature: float) -> Floats:
    """Return the fractions at rest."""
    flows = kinetics.Inputs(kinetics.FEED_A, feed_b, kinetics.FEED_A + feed_b, 80.0)

    def rates(x: Floats) -> Floats:
        now = tuple(x.tolist())
        return np.array(kinetics.fraction_rates(now, temperature, kinetics.HOLDUP, flows,
                                                kinetics.Parameters())[0]) * 1e3  # fmt: skip

    return np.asarray(fsolve(rates, np.array([0.09, 0.39, 0.015, 0.29, 0.11, 0.11])))


def wrong_profit_at(u: Floats) -> Floats:
    """Return the objective by the two-reaction model, its sign turned."""
    feed_b, kelvin = float(u[0]), float(u[1]) + 273.15
    out, holdup = kinetics.FEED_A + feed_b, kinetics.HOLDUP
    k1, k2 = (f * np.exp(-a / kelvin) for f, a in zip(_PRE, _ACTIVATION, strict=True))

    def rest(x: Floats) -> Floats:
        a, b, p = x
        r1, r2 = holdup * k1 * a * b**2, holdup * k2 * a * b * p
        return np.array([kinetics.FEED_A - out * a - r1 - r2, feed_b - out * b - 2 * r1 - r2,
                         r1 - r2 - out * p])  # fmt: skip

    a, b, p = fsolve(rest, np.array([0.1, 0.4, 0.1]))
    e = 2 * holdup * k1 * a * b**2 / out
    income, cost = kinetics.profit(kinetics.FEED_A, feed_b, out, e, p)
    return np.array([cost - income])


def run(seconds: float, runs: int) -> list[Figure]:
    """Return `optimality` over seeds after 15 evaluations, and after how many 0.99 was reached."""
    best = -float(
        minimize(lambda u: -profit_at(u), np.array([4.8, 89.0]), method="Nelder-Mead").fun
    )
    found = [_one(seed) for seed in range(_SEEDS)]
    last = [path[-1] / best for path in found]
    wrong = minimize(lambda u: wrong_profit_at(u)[0], np.array([4.5, 85.0]), method="Nelder-Mead").x
    say(f"plant optimum {best:.2f} $/s; the model's own optimum earns {profit_at(wrong):.2f} $/s")
    say("by seed: " + ", ".join(f"{one:.4f}" for one in last))
    reached = [_reached(path, best) for path in found]
    return [
        judge("williams-otto", "optimality", last, "", 0.99, 0.997,
              note=f"worst {min(last):.4f} of {_SEEDS} seeds"),
        judge("williams-otto", "evaluations", reached, "", 15, 8, lower=True,
              note="until what it would stay at is at 0.99 for good"),
    ]  # fmt: skip


def _reached(path: list[float], best: float) -> float:
    """Return the evaluations after which all that follows is at least 0.99."""
    short = [i for i, one in enumerate(path) if one < 0.99 * best]
    return float(short[-1] + 2 if short else 1)


def _one(seed: int) -> list[float]:
    """Return the true profit, after each evaluation, at the point that would then be stayed at."""
    dice, problem = np.random.default_rng(seed), Problem(_HANDLES, (), 1.0)
    method = make(problem, {"model": wrong_profit_at, "evaluations": _MOST}, seed)
    nothing, path, u = np.zeros(0), list[float](), _START
    for number in range(1, _MOST + 1):
        cost = -profit_at(u, dice.normal(0, _NOISE, 2))
        u = method.step(View(float(number), u, cost, nothing, nothing)).u
        path.append(profit_at(np.array(method.describe()["best_u"])))
    return path
