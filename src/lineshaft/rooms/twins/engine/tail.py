"""How rare a value is: quantiles far out, from few and dependent samples.

The body is empirical. Beyond it excesses over a threshold follow the generalised Pareto law
(Pickands 1975). Its two parameters are not fixed at their estimate but averaged over their
posterior: the rate asked is then the rate met on average over repeated good periods, where
plugging in an estimate alarms too often. Dependent samples weigh as many as they have clusters.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["LEVELS", "quantiles", "rarity"]

Floats = NDArray[np.float64]

# Tail probabilities of a table, descending; scores are read between them.
LEVELS: Floats = np.array(
    [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 1e-5, 1e-6]
)
_SHAPES = np.linspace(-0.45, 0.85, 18) + 0.0012  # none is zero
_SPREADS = np.exp(np.linspace(-1.3, 1.3, 21))
_MOST = 400  # excesses that shape a tail; more only take time
_REACH = np.exp(np.linspace(np.log(1e-3), np.log(2e3), 90))


def quantiles(sample: Floats, levels: Floats = LEVELS, body: float = 0.1) -> Floats:
    """Return what is exceeded at each tail probability; `body` is where the Pareto tail begins.

    `sample` in the order of time, finite, at least 20 values; `levels` descending.
    """
    values = np.ascontiguousarray(sample, np.float64)
    share = max(min(body, _MOST / values.size), min(0.5, 15 / values.size))
    found: Floats = _quantiles(values, np.ascontiguousarray(levels), share)
    return np.maximum.accumulate(found)


@njit(cache=True)
def _quantiles(values: Floats, levels: Floats, share: float) -> Floats:
    found = np.empty(levels.size)
    start = np.quantile(values, 1 - share)
    over = values[values > start] - start
    if over.size == 0:
        for i in range(levels.size):
            found[i] = start if levels[i] >= share else start + abs(start) * 1e-9
        return found
    clusters, before = 0, -1
    for i in range(values.size):
        if values[i] > start:
            clusters += before < 0 or i - before > 2
            before = i
    tail = _predictive(over, min(1.0, 1.5 * clusters / over.size))
    for i in range(levels.size):
        if levels[i] >= share:
            found[i] = np.quantile(values, 1 - levels[i])
        else:
            found[i] = start + np.interp(-np.log(levels[i] / share), tail[0], tail[1])
    return found


@njit(cache=True)
def _predictive(over: Floats, weight: float) -> Floats:
    """Return (−log survival, excess), averaged over the posterior of the Pareto parameters."""
    middle = over.mean()
    logs = np.empty((_SHAPES.size, _SPREADS.size))
    for a in range(_SHAPES.size):
        shape = _SHAPES[a]
        for b in range(_SPREADS.size):
            spread = middle * _SPREADS[b]
            total = -over.size * np.log(spread)
            for x in over:
                inner = 1 + shape * x / spread
                if inner <= 0:
                    total = -np.inf
                    break
                total -= (1 + 1 / shape) * np.log(inner)
            # A prior that only keeps the shape where residuals of machines have theirs.
            logs[a, b] = weight * total - 0.5 * ((shape - 0.1) / 0.25) ** 2
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    line = np.empty((2, _REACH.size + 1))
    line[:, 0] = 0.0
    for i in range(_REACH.size):
        x, survival = middle * _REACH[i], 1e-300
        for a in range(_SHAPES.size):
            for b in range(_SPREADS.size):
                if weights[a, b] > 1e-9:
                    inner = 1 + _SHAPES[a] * x / (middle * _SPREADS[b])
                    if inner > 0:
                        survival += weights[a, b] * inner ** (-1 / _SHAPES[a])
        line[0, i + 1] = max(line[0, i], -np.log(survival))
        line[1, i + 1] = x
    return line


@njit(cache=True)
def rarity(value: float, table: Floats, scale: Floats) -> float:
    """Return −log10 of how rarely healthy data exceed `value`; `scale` is −log10 of the levels."""
    if value <= table[0]:
        return 0.0
    for i in range(1, table.size):
        if value < table[i]:
            share = (value - table[i - 1]) / (table[i] - table[i - 1])
            return float(scale[i - 1] + share * (scale[i] - scale[i - 1]))
    return float(scale[-1])
