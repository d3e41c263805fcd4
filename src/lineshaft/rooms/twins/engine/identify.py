"""Identify: a state-space model of a machine from a table of its inputs and outputs.

Rules: predictor-based subspace identification. A long regression of each row on the rows before it
(VARX) is whole in closed loop too; what it foretells of the rows to come, over several distances,
is a map from the past; its strongest directions are the states (canonical variates: W. E. Larimore,
ACC 1983; in closed loop: M. Jansson, SYSID 2003; A. Chiuso, Automatica 43 (2007) 1034). The
matrices follow by least squares on the states, the gain K from the covariance of what is left by a
Riccati equation (P. Van Overschee, B. De Moor, Subspace Identification, 1996, §4.4), so A - KC is
stable; A is made so by drawing its eigenvalues into the unit circle. How far back to look and how
many states there are is what foretells left-out stretches best; how good that is, is measured on
other stretches, the newest, and then all is learned again from everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine import moments
from lineshaft.rooms.twins.engine.linear import follow
from lineshaft.rooms.twins.engine.state_space import Floats, Model, foretell, spreads

__all__ = ["Quality", "identify"]

_PASTS: Final = (1, 2, 3, 4, 6, 8, 12, 16)
_ORDERS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 20, 25, 30, 40, 50)
_WIDEST: Final = 900  # columns of the regression
_FOLDS, _TUNED, _JUDGED = 20, (4, 9, 14), (16, 17, 18, 19)
_RIDGE: Final = 1e-4
_STABLE: Final = 0.9999
_WORSE: Final = 0.02  # a model whose squares are by this share larger is taken where it is simpler
_EXACT: Final = 1e-4  # of the variance: what is foretold as well as this needs no better
_DISTANCES: Final = 8
_ORIGINS: Final = 4000


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the newest fifth of the rows, not learned from, was foretold, by output `(r,)` and
    in its unit: one step and `ahead` steps on with the inputs that came, and the last value kept
    instead. r2 is the share of the variance that was told."""

    rmse: Floats
    r2: Floats
    rmse_ahead: Floats
    r2_ahead: Floats
    persistence: Floats


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Stretches of whole rows in units of spread, and how many columns are inputs; the window
    that the regression looks at is (y, u) newest first."""

    parts: list[list[Floats]]
    m: int

    def of(self, *folds: int) -> list[Floats]:
        return [part for fold in folds for part in self.parts[fold]]


def identify(
    table: Floats, inputs: Sequence[str], outputs: Sequence[str], *, sample_us: int, ahead: int,
    hold: NDArray[np.int64] | None = None,
) -> tuple[Model, Quality]:  # fmt: skip
    """Return the model of `table (T, m + r)` and how good it is `ahead` steps on.

    Rows are `sample_us` apart; NaN is unknown and ends a stretch. `hold (r,)` is for how many steps
    an output's value stands (None: one). Raises Refused where there is too little to learn from or
    a column never moves.
    """
    m, r = len(inputs), len(outputs)
    centre, scale = _units(table, (*inputs, *outputs))
    segments = _stretches((table - centre) / scale, 2 * (ahead + 1))
    rows, width = sum(map(len, segments)), m + r
    pasts = [p for p in _PASTS if p * width <= min(_WIDEST, rows // 5)]
    need = max(200, 5 * width, 2 * _FOLDS * (ahead + 2))
    if rows < need or not pasts:
        raise Refused(
            f"the period has {rows} whole rows; {width} signals foretold {ahead} steps ahead need "
            f"{need}", code="twin.identify",
            hint="Take a longer period, a shorter step, or fewer signals",
        )  # fmt: skip
    scaled = _Scaled(moments.cut(segments, _FOLDS), m)
    none = np.zeros((0, 0))
    bare = Model(
        tuple(inputs), tuple(outputs), none, none, none, none, none, none, centre, scale, none,
        np.ones(r, np.int64) if hold is None else hold, np.array(sample_us), np.ones(r),
        np.array(ahead), np.zeros(2, np.int64),
    )  # fmt: skip
    past, order = _choose(bare, scaled, pasts)
    judged = range(_FOLDS - len(_JUDGED))
    trial = _Learner(bare, scaled.of(*judged), m, past).model(order)
    quality, surprise, wide = _judged(trial, scaled.of(*_JUDGED), ahead)
    whole = _Learner(bare, segments, m, past).model(order)
    # What is left over of rows learned from flatters; the rows judged tell how much.
    cov = whole.cov * np.outer(surprise, surprise)
    return replace(whole, cov=cov, wide=wide, chosen=np.array([past, rows])), quality


def _units(table: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Return mean and spread of each column; Refused where one never moves."""
    known = np.isfinite(table)
    for name, column, there in zip(names, table.T, known.T, strict=True):
        seen = column[there]
        if not seen.size or not np.ptp(seen) > 1e-9 * np.abs(seen).max():
            what = "never moves" if seen.size else "has no values"
            raise Refused(
                f"'{name}' {what} in this period",
                code="twin.identify", hint="Take a period in which it moved, or leave it out",
            )  # fmt: skip
    with np.errstate(over="ignore", invalid="ignore"):
        centre, scale = np.nanmean(table, 0), np.nanstd(table, 0)
    if not (np.isfinite(centre) & np.isfinite(scale) & (scale > 0)).all():
        raise Refused("some values of this period are beyond all bounds", code="twin.identify",
                      hint="Leave the signal with the spikes out")  # fmt: skip
    return centre, scale


def _stretches(table: Floats, least: int) -> list[Floats]:
    """Return the stretches of whole rows that are long enough to foretell anything."""
    whole = np.isfinite(table).all(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[False, whole, False].astype(np.int8)))
    return [table[a:b] for a, b in edges.reshape(-1, 2) if b - a >= least]


def _choose(bare: Model, scaled: _Scaled, pasts: Sequence[int]) -> tuple[int, int]:
    """Return how many rows of the past and how many states foretell left-out stretches best; of
    about equals the simplest."""
    learned = [n for n in range(_FOLDS) if n not in (*_TUNED, *_JUDGED)]
    left_out, found = scaled.of(*_TUNED), dict[tuple[int, int], float]()
    for past in pasts:
        learner = _Learner(bare, scaled.of(*learned), scaled.m, past)
        for order in (n for n in _ORDERS if n <= learner.most):
            model = learner.model(order)
            errors = _errors(model, left_out, int(bare.ahead))[:2]
            found[order, past] = float(np.mean(np.log(errors + _EXACT)))
    least = min(found.values())
    order, past = min(pair for pair, error in found.items() if error <= least + _WORSE)
    return past, order


class _Learner:
    """Finds models of several orders from the same rows and the same past."""

    def __init__(self, bare: Model, parts: list[Floats], m: int, past: int) -> None:
        self._bare, self._m, self._r = bare, m, parts[0].shape[1] - m
        turned = [np.roll(part, -m, axis=1) for part in parts]  # y, u
        width = m + self._r
        found = moments.gather(turned, past + 1, width)
        self._gram = found.product / max(found.number, 1)
        told = self._foretelling(past)
        seen = self._gram[width:, width:] + _RIDGE * np.eye(past * width)
        u, s, _ = np.linalg.svd(told @ np.linalg.cholesky(seen), full_matrices=False)
        strong = s > 1e-6 * s[0]
        self._states = (u.T @ told)[strong] / s[strong, None]
        self.most = len(self._states)

    def _foretelling(self, past: int) -> Floats:
        """Return the map from a window of the past to the outputs at some distances, in units of
        what one step leaves untold."""
        r, m = self._r, self._m
        known = np.arange(r, len(self._gram))
        inner = self._gram[np.ix_(known, known)] + _RIDGE * np.eye(len(known))
        rule = _solved(inner, self._gram[known, :r]).T
        left = np.diag(self._gram)[:r] - (rule * self._gram[:r, known]).sum(1)
        one = rule[:, m:].reshape(r, past, m + r)
        maps = list[Floats]()
        for step in range(int(self._bare.ahead) + 1):
            told = np.zeros_like(one)
            told[:, : max(past - step, 0)] = one[:, step:]
            for back in range(min(step, past)):
                told += np.tensordot(one[:, back, :r], maps[step - 1 - back], 1)
            maps.append(told)
        far = np.unique(np.geomspace(1, len(maps), _DISTANCES).astype(int)) - 1
        weight = 1 / np.sqrt(np.maximum(left, 0) + 1e-3)
        shown = np.concatenate([maps[step] * weight[:, None, None] for step in far])
        return shown.reshape(-1, past * (m + r))

    def model(self, order: int) -> Model:
        """Return the model with that many states."""
        r, m, width = self._r, self._m, len(self._gram)
        step = r + m
        before, after = np.zeros((order, width)), np.zeros((order, width))
        before[:, step:] = self._states[:order]
        after[:, : width - step] = self._states[:order]
        y, u = np.eye(width)[:r], np.eye(width)[r:step]
        known = np.concatenate([before, u])
        cd = self._least(known, y)
        ab = self._least(known, after)
        a, e, w = _stable(ab[:, :order]), y - cd @ known, after - ab @ known
        left = np.concatenate([w, e])
        cov = left @ self._gram @ left.T
        k, news = _gain(a, cd[:, :order], (cov + cov.T) / 2)
        first = self._least(np.roll(np.eye(width)[:step], m, axis=0), after, ridge=1e-2)
        return replace(
            self._bare, a=a, b=ab[:, order:], c=cd[:, :order], d=cd[:, order:], k=k, cov=news,
            first=first,
        )  # fmt: skip

    def _least(self, known: Floats, wanted: Floats, ridge: float = 1e-6) -> Floats:
        """Return the least-squares map between two sets of combinations of a window."""
        seen = known @ self._gram
        return _solved(seen @ known.T + ridge * np.eye(len(known)), seen @ wanted.T).T


def _solved(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.linalg.solve(left, right), np.float64)


def _radius(a: Floats) -> float:
    return float(np.abs(np.linalg.eigvals(a)).max(initial=0))


def _stable(a: Floats) -> Floats:
    """Return a matrix with its eigenvalues drawn into the unit circle."""
    if _radius(a) <= _STABLE:
        return a
    values, vectors = np.linalg.eig(a)
    size = np.maximum(np.abs(values), _STABLE)
    drawn = (vectors * (values * _STABLE / size)) @ np.linalg.pinv(vectors)
    found: Floats = np.ascontiguousarray(drawn.real)
    reached = _radius(found)  # of nearly parallel vectors it may miss
    return found if reached <= _STABLE + 1e-9 else found * (_STABLE / reached)


def _gain(a: Floats, c: Floats, cov: Floats) -> tuple[Floats, Floats]:
    """Return K and the covariance of e from that `(n + r, n + r)` of what rows leave untold."""
    n = len(a)
    q, s = cov[:n, :n] + 1e-9 * np.eye(n), cov[:n, n:]
    noise = cov[n:, n:] + 1e-6 * np.eye(len(c))
    try:
        p = linalg.solve_discrete_are(a.T, c.T, q, noise, s=s)
        news: Floats = noise + c @ p @ c.T
        k = _solved(news, (a @ p @ c.T + s).T).T
    except (np.linalg.LinAlgError, ValueError):
        k, news = _solved(noise, s.T).T, noise
    # Where the equation has no good answer, less of it: without a gain it is A, which is stable.
    k = np.where(np.isfinite(k), k, 0.0)
    shares = np.linspace(1.0, 0.0, 21)
    share = next(one for one in shares if _radius(a - one * k @ c) <= _STABLE + 1e-9)
    return share * k, (news + news.T) / 2


def _errors(model: Model, parts: list[Floats], ahead: int) -> Floats:
    """Return mean squares `(3, r)` over these stretches: one step on, `ahead` steps on with the
    inputs that came, and where the last value is kept that long."""
    m, total, number = len(model.inputs), np.zeros((3, len(model.outputs))), np.zeros(3)
    every = max(1, sum(map(len, parts)) // _ORIGINS)
    for part in parts:
        x, e = follow(model, part)
        warm = min(len(part) // 4, 50)
        begin = np.arange(warm, len(part) - ahead, every)
        if not begin.size:
            continue
        at, u = x[begin], part[:, :m]
        at = at @ model.a.T + u[begin] @ model.b.T + e[begin] @ model.k.T
        for step in range(1, ahead):
            at = at @ model.a.T + u[begin + step] @ model.b.T
        y = part[begin + ahead, m:]
        told = foretell(model, at, u[begin + ahead], 0)
        for row, error in enumerate((e[warm:], y - told, y - part[begin, m:])):
            total[row] += (error**2).sum(0)
            number[row] += len(error)
    return total / np.maximum(number, 1)[:, None]


def _judged(model: Model, parts: list[Floats], ahead: int) -> tuple[Quality, Floats, Floats]:
    """Return how good a model is on these stretches, how much larger its surprises are than it
    says, and how much further off it is `ahead` steps on than these surprises explain."""
    one, far, kept = np.sqrt(_errors(model, parts, ahead))
    rows = np.concatenate(parts)[:, len(model.inputs) :]
    spread, unit = rows.std(0) + 1e-12, model.scale[len(model.inputs) :]
    quality = Quality(one * unit, 1 - (one / spread) ** 2, far * unit, 1 - (far / spread) ** 2,
                      kept * unit)  # fmt: skip
    surprise = np.clip(one / np.sqrt(np.diag(model.cov)), 0.5, 10.0)
    louder = replace(model, cov=model.cov * np.outer(surprise, surprise))
    wide = np.clip(far / spreads(louder, ahead - 1)[-1], 1.0, 10.0)
    return quality, surprise, wide
