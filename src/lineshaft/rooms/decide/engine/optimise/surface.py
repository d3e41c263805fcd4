"""What a plant does when it has settled, told from how it moves: one fitted surface an output.

Rules: an output is a quadratic of the handles, plus what the plant's modes (see `modes`) add while
it has not settled; both are fitted at once, so no settling is waited for, and an objective that
falls only for as long as something fills up is not taken for a gain. All weights are Gaussian with
one width a group; widths and noise are those that make the record most likely (D. J. C. MacKay,
"Bayesian interpolation", Neural Computation 4, 1992). Neighbouring blocks have kindred errors
(first-order autoregression, removed by differencing); blocks far from the centre count less, for a
quadratic holds only nearby; single wild blocks count less (P. J. Huber, "Robust Statistics", 1981).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.optimise.modes import START, Mode, filtered, search, settling
from lineshaft.rooms.decide.engine.optimise.record import Rows

__all__ = ["Surface", "find_modes", "fit", "terms", "terms_slope"]

_ROUNDS: Final = 10
_NEAR: Final = 0.2
"""Share of a handle's range within which a block counts in full."""
_STEEP: Final = 2.0
"""Gain over a whole range, in deviations of the output, that is thought possible whatever the
record says: it keeps what was learned about one place from being taken for all there is."""
_TURN: Final = 0.2
"""Share of a range over which a gain may change by as much: what has not been seen to be straight
is not taken for straight."""
_WILD: Final = 4.0
_RHO: Final = 0.97
_LONGEST: Final = 64.0
"""Longest cycle of a mode in blocks; slower ones would be taken for a trend."""
_RINGS: Final = 12.0
"""Blocks over which the size of a transient is told."""
_BENDS: Final = 400
"""Blocks from which on curvature is looked for beside the modes."""
_LEAST: Final = 12


@dataclass(frozen=True, slots=True)
class Surface:
    """A fitted output. `weights` and `cov` belong to `terms(x - centre)`, `moving (columns,)` to
    what `_transients` gives; `noise` is the deviation of one period's mean from the surface,
    `error` that of a block; `last` the newest block's error."""

    centre: Floats
    weights: Floats
    cov: Floats
    moving: Floats
    modes: tuple[Mode, ...]
    noise: float
    error: float
    rho: float
    last: float
    rows: int

    def settles(self, share: float = 0.1) -> int:
        """Return after how many blocks all but `share` of a change has come."""
        n = len(self.centre)
        parts, at = [], 0
        for _, cycle in self.modes:
            weight = self.moving[at : at + n].astype(complex)
            at += n
            if cycle:
                weight = weight + 1j * self.moving[at : at + n]
                at += n
            parts.append(weight)
        return settling(self.modes, self.weights[1 : n + 1], parts, share)

    def ahead(self, before: Floats, path: Floats) -> Floats:
        """Return what is to be expected block by block, with the handles so far `before (T,
        handles)` and to come `path (S, handles)`."""
        x = np.vstack([before, path])
        table = np.hstack([_settled(x, self.centre, self.modes), _transients(x, self.modes)])
        told = table[len(before) :] @ np.concatenate([self.weights, self.moving])
        return np.asarray(told + self.last * self.rho ** np.arange(1, len(path) + 1), np.float64)

    def at(self, x: Floats) -> float:
        """Return the settled value at `x (handles,)`."""
        return float(terms(x - self.centre) @ self.weights)

    def slope(self, x: Floats) -> Floats:
        """Return its gradient at `x`."""
        return terms_slope(x - self.centre).T @ self.weights

    def sure_and_slope(self, x: Floats) -> tuple[float, Floats]:
        """Return the standard deviation of what `at` says, and its gradient."""
        return self._spread(terms(x - self.centre), x)

    def sure_of_change(self, x: Floats, other: Floats) -> tuple[float, Floats]:
        """Return the standard deviation of `at(x) - at(other)`, and its gradient in `x`."""
        return self._spread(terms(x - self.centre) - terms(other - self.centre), x)

    def _spread(self, t: Floats, x: Floats) -> tuple[float, Floats]:
        wide = self.cov @ t
        size = max(1e-300, float(t @ wide)) ** 0.5
        return size, terms_slope(x - self.centre).T @ wide / size


def terms(d: Floats) -> Floats:
    """Return what a settled surface is a sum of, at `d (handles,)` or `(T, handles)`: 1, d, d²/2,
    and the products of two."""
    i, j = np.triu_indices(d.shape[-1], 1)
    one = np.ones((*d.shape[:-1], 1))
    return np.concatenate([one, d, d**2 / 2, d[..., i] * d[..., j]], axis=-1)


def terms_slope(d: Floats) -> Floats:
    """Return the derivatives of `terms` at `d (handles,)`: `(terms, handles)`."""
    n = len(d)
    i, j = np.triu_indices(n, 1)
    cross = np.zeros((len(i), n))
    at = np.arange(len(i))
    cross[at, i], cross[at, j] = d[j], d[i]
    return np.vstack([np.zeros((1, n)), np.eye(n), np.diag(d), cross])


def _settled(x: Floats, centre: Floats, modes: tuple[Mode, ...]) -> Floats:
    """Return the terms block by block; curvature comes with the slowest mode."""
    n = x.shape[1]
    slow = np.real(filtered(x, (max(lag for lag, _ in modes), 0.0)))
    return np.hstack([terms(x - centre)[:, : n + 1], terms(slow - centre)[:, n + 1 :]])


def _transients(x: Floats, modes: tuple[Mode, ...]) -> Floats:
    columns = []
    for mode in modes:
        seen = filtered(x, mode)
        columns.append(np.real(seen) - x)
        if mode[1]:
            columns.append(np.imag(seen))
    return np.hstack(columns)


def find_modes(rows: Rows) -> tuple[Mode, ...]:
    """Return the modes of the objective, from a record that may have gaps."""
    good = np.isfinite(rows.out[:, 0])
    if good.sum() < _LEAST:
        return START
    y = rows.out[good, 0]
    y = (y - y.mean()) / (float(np.std(y)) or 1.0)
    n = rows.x.shape[1]
    centre, ones = rows.x.mean(axis=0), np.ones(len(y))
    curved = len(y) >= _BENDS

    def evidence(modes: tuple[Mode, ...]) -> float:
        table = np.hstack([_settled(rows.x, centre, modes), _transients(rows.x, modes)])[good]
        groups = _groups(n, modes)
        if not curved:
            keep = np.r_[: n + 1, groups[0].stop + n + n * (n - 1) // 2 : table.shape[1]]
            table, groups = table[:, keep], _groups(n, modes, curved=False)
        return _solve(table, y, ones, groups, rounds=5, curved=curved)[3]

    return search(evidence, min(len(y) / 4, _LONGEST))


def fit(rows: Rows, output: int, centre: Floats, modes: tuple[Mode, ...]) -> Surface | None:
    """Return the surface of one output near `centre`, None where too little was seen."""
    good = np.isfinite(rows.out[:, output])
    if good.sum() < _LEAST:
        return None
    y, x = rows.out[good, output], rows.x
    offset, scale = float(np.median(y)), float(np.std(y)) or 1.0
    settled = _settled(x, centre, modes)
    table = np.hstack([settled, _transients(x, modes)])[good]
    seen = np.real(filtered(x, (max(lag for lag, _ in modes), 0.0)))
    far = np.abs(seen - centre).max(axis=1)[good]
    near = 1 / (1 + (far / _NEAR) ** 4)
    weight, p = near, settled.shape[1]
    follows = np.diff(np.flatnonzero(good), prepend=-9) == 1
    groups, target = _groups(x.shape[1], modes), (y - offset) / scale
    rho, solved = 0.0, _solve(table, target, weight, groups)
    for _ in range(2):
        rest = target - table @ solved[0]
        weight = near * _calm(rest, table[:, p:] @ solved[0][p:], near)
        rho = _kinship(rest, follows, weight)
        wild = np.minimum(1.0, _WILD * _size(rest, weight) / np.maximum(np.abs(rest), 1e-12))
        whole, t = _whitened(table, follows, rho), _whitened(target[:, None], follows, rho)[:, 0]
        solved = _solve(whole, t, weight * wild * np.where(follows, 1.0, 1 - rho**2), groups)
    mean, cov = solved[0], solved[1]
    weights = mean[:p] * scale
    weights[0] += offset
    rest = target - table @ mean
    error = _size(rest, weight) * scale
    within = float(np.nanmean(np.append(rows.within[good, output][-400:], 0.0)))
    return Surface(centre, weights, cov[:p, :p] * scale**2, mean[p:] * scale, modes,
                   float(np.hypot(error, np.sqrt(within))), error, rho, float(rest[-1]) * scale,
                   len(y))  # fmt: skip


def _groups(n: int, modes: tuple[Mode, ...], *, curved: bool = True) -> list[slice]:
    """Return which weights share a width: gains, curvatures, products, then mode by mode."""
    sizes = [1, n, *([n, n * (n - 1) // 2] if curved else []),
             *(2 * n if cycle else n for _, cycle in modes)]  # fmt: skip
    ends = np.cumsum(sizes).tolist()
    return [slice(a, b) for a, b in pairwise(ends) if b > a]


def _calm(rest: Floats, transient: Floats, near: Floats) -> Floats:
    """Return how much each block counts by how much the plant was still moving: what the modes do
    not explain of a transient grows with it. `rest` are the errors, `transient` what they say."""
    moving = np.real(filtered((transient**2)[:, None], (_RINGS, 0.0)))[:, 0]
    wrong = rest**2
    quiet = moving <= np.quantile(moving, 0.3)
    still = float(np.average(wrong[quiet], weights=near[quiet] + 1e-12))
    rises = float(np.sum(near * moving * (wrong - still)) / max(np.sum(near * moving**2), 1e-300))
    return np.asarray(still / (still + max(rises, 0.0) * moving))


def _size(rest: Floats, weight: Floats) -> float:
    return float(np.sqrt(np.sum(weight * rest**2) / np.sum(weight))) or 1e-12


def _kinship(rest: Floats, follows: np.ndarray, weight: Floats) -> float:
    """Return the correlation of neighbouring errors, 0 … `_RHO`."""
    later = np.flatnonzero(follows)
    later = later[later > 0]
    if len(later) < _LEAST:
        return 0.0
    w = weight[later]
    both = np.sum(w * rest[later] * rest[later - 1])
    return float(np.clip(both / max(np.sum(w * rest[later - 1] ** 2), 1e-300), 0.0, _RHO))


def _whitened(table: Floats, follows: np.ndarray, rho: float) -> Floats:
    """Return each row less `rho` times the one before, where there is one."""
    result = table.copy()
    later = np.flatnonzero(follows)
    later = later[later > 0]
    result[later] -= rho * table[later - 1]
    return result


def _solve(table: Floats, y: Floats, weight: Floats, groups: list[slice], rounds: int = _ROUNDS,
           curved: bool = True) -> tuple[Floats, Floats, float, float]:  # fmt: skip
    """Return mean and covariance of the weights, the deviation of the errors, the evidence."""
    root = np.sqrt(weight)[:, None]
    g = (table * root).T @ (table * root)
    right = table.T @ (weight * y)
    square, count = float(weight @ y**2), float(weight.sum())
    alpha, beta = np.full(len(groups), 1.0), 1.0 / max(square / count, 1e-12)
    precision = np.full(table.shape[1], 1e-8)
    mean, cov, evidence = right, g, -np.inf
    for _ in range(rounds):
        for a, where in zip(alpha, groups, strict=True):
            precision[where] = a
        factor = cho_factor(np.diag(precision) + beta * g, lower=True)
        cov = cho_solve(factor, np.eye(len(precision)))
        mean = beta * cov @ right
        rest = max(square - 2 * mean @ right + mean @ g @ mean, 1e-12 * square, 1e-300)
        sizes = np.array([where.stop - where.start for where in groups])
        known = np.array([sizes[k] - alpha[k] * np.trace(cov[w, w]) for k, w in enumerate(groups)])
        known = np.clip(known, 1e-6, None)
        evidence = 0.5 * float(np.log(precision).sum() + count * np.log(beta) - beta * rest
                         - precision @ mean**2 - 2 * np.log(np.diag(factor[0])).sum())  # fmt: skip
        used = np.array([float(mean[w] @ mean[w]) for w in groups])
        alpha = np.clip(known / np.maximum(used, 1e-12), 1e-4, 1e8)
        alpha[0] = min(alpha[0], _STEEP**-2)
        if curved:
            alpha[1:3] = np.minimum(alpha[1:3], np.array([1, 4]) * (_TURN / _STEEP) ** 2)
        beta = float(np.clip((count - known.sum()) / rest, 1e-8, 1e12)) if (
            count > known.sum() + 1) else beta  # fmt: skip
    return mean, cov, 1 / float(np.sqrt(beta)), evidence
