"""What the moments of a good period tell: its covariance, how long a window pays, what is state.

Rows are standardised. A window holds `p` rows, newest first, as one vector (p·d). Sums of windows
and of their products are all that is needed, so long periods cost no memory, and leaving a block
out is a subtraction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["SHARES", "Model", "Moments", "choose", "cut", "gather", "mean", "model", "order"]

Floats = NDArray[np.float64]

SHARES: Floats = np.geomspace(1e-5, 0.3, 14)
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Moments:
    """Number of windows, their sum (m,) and the sum of their products (m, m)."""

    number: int
    total: Floats
    product: Floats

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.number - other.number, self.total - other.total,
                        self.product - other.product)  # fmt: skip

    def about(self, mean: Floats) -> Floats:
        """Return the mean product of deviations from `mean`."""
        cross = np.outer(self.total / self.number, mean)
        found: Floats = self.product / self.number - cross - cross.T + np.outer(mean, mean)
        return found

    @property
    def mean(self) -> Floats:
        """The mean window."""
        return self.total / self.number


@dataclass(frozen=True, slots=True)
class Model:
    """Mean row (d,), covariance of a window (m, m), and its whitening, state rows first (m, m)."""

    mean: Floats
    covariance: Floats
    whiten: Floats


def cut(segments: Sequence[Floats], number: int) -> list[list[Floats]]:
    """Return the rows in `number` neighbouring folds of about equal size."""
    total, done = sum(map(len, segments)), 0
    folds: list[list[Floats]] = [[] for _ in range(number)]
    edges = np.linspace(0, total, number + 1).round().astype(int)
    for segment in segments:
        for fold, first, last in zip(folds, edges[:-1], edges[1:], strict=True):
            part = segment[max(0, first - done) : max(0, last - done)]
            if len(part):
                fold.append(part)
        done += len(segment)
    return folds


def mean(parts: Sequence[Floats]) -> Floats:
    """Return the mean row."""
    found: Floats = sum(part.sum(axis=0) for part in parts) / sum(map(len, parts))
    return found


def gather(parts: Iterable[Floats], rows: int, signals: int) -> Moments:
    """Return the moments of all windows of that many rows."""
    number, total = 0, np.zeros(rows * signals)
    product = np.zeros((total.size, total.size))
    for part in parts:
        if len(part) < rows:
            continue
        windows = sliding_window_view(part, rows, axis=0)[:, :, ::-1].transpose(0, 2, 1)
        for start in range(0, len(windows), _CHUNK):
            flat = windows[start : start + _CHUNK].reshape(-1, total.size)
            number, total = number + len(flat), total + flat.sum(axis=0)
            product += flat.T @ flat
    return Moments(number, total, product)


def _folds(folds: Sequence[Sequence[Floats]], rows: int) -> list[tuple[Moments, Moments]]:
    """Return the moments of each fold beside those of all others."""
    signals = folds[0][0].shape[1]
    each = [gather(fold, rows, signals) for fold in folds]
    whole = gather([], rows, signals)
    for one in each:
        whole = Moments(whole.number + one.number, whole.total + one.total,
                         whole.product + one.product)  # fmt: skip
    return [(one, whole - one) for one in each if one.number]


def choose(folds: Sequence[Sequence[Floats]], widths: range) -> tuple[int, float]:
    """Return the rows of a window and the share of identity that left-out blocks make likeliest.

    A longer window is better where its newest row is likelier, given the others: the log-likelihood
    of a window less that of a window one shorter.
    """
    best, before = (-np.inf, widths[0], SHARES[-1]), 0.0
    for width in widths:
        found, windows = np.zeros(SHARES.size), 0
        for one, rest in _folds(folds, width):
            found += one.number * _likelihoods(one, rest)
            windows += one.number
        at = int(np.argmax(found))
        likely = float(found[at]) / windows
        best = max(best, (likely - before, width, float(SHARES[at])))
        before = likely
    return best[1], best[2]


def _likelihoods(one: Moments, rest: Moments) -> Floats:
    """Return the mean log-likelihood of a block under the others, one entry a share."""
    values, vectors = np.linalg.eigh(rest.about(rest.mean))
    held = np.einsum("ij,ik,kj->j", vectors, one.about(rest.mean), vectors, optimize=True)
    spread = (1 - SHARES[:, None]) * np.maximum(values, 0) + SHARES[:, None]
    found: Floats = -0.5 * (np.log(spread) + held / spread).sum(axis=1)
    return found


def _root(covariance: Floats) -> Floats:
    """Return the symmetric inverse root."""
    values, vectors = np.linalg.eigh(covariance)
    found: Floats = (vectors / np.sqrt(values)) @ vectors.T
    return found


def _drawn(covariance: Floats, share: float) -> Floats:
    found: Floats = (1 - share) * covariance + share * np.eye(len(covariance))
    return found


def _canonical(both: Floats, share: float) -> tuple[Floats, Floats, Floats]:
    """Return directions of the past, correlations, directions of the future.

    `both` is the covariance of a window twice as wide; its older half is the past.
    """
    half = len(both) // 2
    past, future = (
        _root(_drawn(both[half:, half:], share)),
        _root(_drawn(both[:half, :half], share)),
    )
    left, values, right = np.linalg.svd(past @ both[half:, :half] @ future)
    return left.T @ past, values, right @ future


def order(folds: Sequence[Sequence[Floats]], width: int, share: float) -> int:
    """Return how many canonical variates predict the future of left-out blocks; at least one."""
    gains = np.zeros(width * folds[0][0].shape[1])
    for one, rest in _folds(folds, 2 * width):
        past, strength, future = _canonical(rest.about(rest.mean), share)
        half, held = len(past), one.about(rest.mean)
        together = np.einsum("ij,jk,ik->i", past, held[half:, :half], future, optimize=True)
        alone = np.einsum("ij,jk,ik->i", past, held[half:, half:], past, optimize=True)
        gains += one.number * (2 * strength * together - strength**2 * alone)
    return min(int(np.argmax(np.cumsum(gains))) + 1, gains.size - 1) if gains.size > 1 else 1


def model(parts: Sequence[Floats], width: int, share: float) -> Model:
    """Return the model of these rows, its canonical variates strongest first."""
    signals = parts[0].shape[1]
    double = gather(parts, 2 * width, signals)
    single = gather(parts, width, signals)
    covariance = _drawn(single.about(single.mean), share)
    past, _, _ = _canonical(double.about(double.mean), share)
    # Of the directions only the turn is taken: T² + Q is then exactly the Mahalanobis distance.
    left, _, right = np.linalg.svd(past @ np.linalg.inv(_root(covariance)))
    return Model(single.mean[:signals], covariance, left @ right @ _root(covariance))
