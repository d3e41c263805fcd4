"""Which signals made an alarm: reconstruction-based contributions over dynamic PCA.

The index is T² of the leading components plus the squared error of the rest, each in units of its
expectation (S. Yue, S. J. Qin, Ind. Eng. Chem. Res. 40 (2001) 4403). A signal's contribution is
how much of the index goes away when that signal, at all its lags, is put where the others want it
(C. Alcala, S. J. Qin, Automatica 45 (2009) 1593): a large fault of one signal always ranks first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["rank", "weigh"]

Floats = NDArray[np.float64]


def weigh(covariance: Floats) -> Floats:
    """Return the matrix (m, m) of the combined index; components over the mean variance lead."""
    values, vectors = np.linalg.eigh(covariance)
    leads = values > values.mean()
    size = np.where(leads, values * max(1, leads.sum()), max(values[~leads].sum(), 1e-12))
    found: Floats = (vectors / size) @ vectors.T
    return found


def rank(metric: Floats, windows: Floats, names: Sequence[str]) -> list[tuple[str, float]]:
    """Return each signal's share of the contributions, greatest first; shares sum to 1.

    `windows (n, p, d)`, newest row first; names of the d signals. No windows: an empty list.
    """
    if not len(windows):
        return []
    number, lags, signals = windows.shape
    pulled = (windows.reshape(number, -1) @ metric).reshape(number, lags, signals)
    blocks = metric.reshape(lags, signals, lags, signals)
    parts = np.empty(signals)
    for i in range(signals):
        own = pulled[:, :, i]
        parts[i] = np.einsum("ni,ni->", own, np.linalg.solve(blocks[:, i, :, i], own.T).T)
    shares = parts / max(float(parts.sum()), 1e-300)
    return [(names[i], float(shares[i])) for i in np.argsort(-shares, kind="stable")]
