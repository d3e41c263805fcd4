"""How a plant answers in time: its modes, found in its own record.

Rules: a mode is a first-order lag, or an oscillation that dies away, given by its time constant and
its cycle in blocks (0: none); each handle is seen through every mode, and a plant's answer is a
weighted sum of what is seen. A fixed pair of lags is always there; further modes are added one by
one, each that which makes the record most likely, until none is worth its weights. So settling time
and ringing are learned; none is presumed but that a cycle is between `CYCLES` blocks.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.linalg.lapack import dtbtrs, ztbtrs

from lineshaft.rooms.decide.engine.method import Floats

__all__ = ["CYCLES", "START", "Mode", "filtered", "search", "settling"]

Mode = tuple[float, float]
"""Time constant and cycle, in blocks."""

START: Final[tuple[Mode, ...]] = ((2.0, 0.0), (8.0, 0.0))
CYCLES: Final = (8.0, 160.0)
_MORE: Final = 3
_GAIN: Final = 5.0
"""By how much a mode must raise the log evidence."""


def filtered(x: Floats, mode: Mode) -> np.ndarray:
    """Return `x (T, handles)` through a mode of gain one; complex where it oscillates."""
    lag, cycle = mode
    keep = np.exp(-1.0 / lag + (2j * np.pi / cycle if cycle else 0.0))
    if not cycle:
        keep = float(keep.real)
    # y[k] = keep y[k-1] + (1 - keep) x[k], from y[-1] = x[0], as a triangular band: loading
    # scipy.signal for the same would cost the process 25 MB.
    right = (1 - keep) * x
    right[0] += keep * x[0]
    band = np.empty((2, len(x)), right.dtype, order="F")
    band[0], band[1] = 1.0, -keep
    solve = ztbtrs if cycle else dtbtrs
    return np.asarray(solve(band, right, uplo="L", diag="U")[0])


def search(evidence: Callable[[tuple[Mode, ...]], float], longest: float) -> tuple[Mode, ...]:
    """Return the modes that make a record most likely; cycles up to `longest` blocks and time
    constants up to half of it, for slower ones could not be told from a drift."""
    modes = START
    best = evidence(modes)
    top = min(CYCLES[1], longest)
    if top <= CYCLES[0]:
        return modes
    cycles = np.geomspace(CYCLES[0], top, 12)
    offers = [(d * c, c) for c in cycles.tolist() for d in (0.4, 1.2)]
    offers += [(lag, 0.0) for lag in (4.0, 16.0, 40.0)]
    offers = [one for one in offers if one[0] <= longest / 2]
    for _ in range(_MORE):
        value, mode = max((evidence((*modes, one)), one) for one in offers)
        if value < best + _GAIN:
            break
        value, mode = _refined(evidence, modes, mode, value, longest)
        best, modes = value, (*modes, mode)
    return modes


def _refined(evidence: Callable[[tuple[Mode, ...]], float], modes: tuple[Mode, ...], mode: Mode,
             value: float, longest: float) -> tuple[float, Mode]:  # fmt: skip
    """Return a mode near `mode` that is likelier still."""
    step = 1.35
    for _ in range(4):
        lags = (mode[0] / step, mode[0], mode[0] * step)
        cycles = (mode[1] / step**0.5, mode[1], mode[1] * step**0.5) if mode[1] else (0.0,)
        near = [(a, b) for a in lags for b in cycles if (a, b) != mode and a <= longest / 2]
        if not near:
            break
        found = max((evidence((*modes, one)), one) for one in near)
        if found[0] > value:
            value, mode = found
        else:
            step = step**0.5
    return value, mode


def settling(modes: tuple[Mode, ...], gain: Floats, moving: list[np.ndarray], share: float) -> int:
    """Return after how many blocks all but `share` of a change has come. `gain (handles,)`, and
    for each mode its weights, complex where it oscillates."""
    last = int(6 * max(lag for lag, _ in modes)) + 1
    after = np.arange(1, last + 1)
    missing = np.zeros((len(gain), last))
    for (lag, cycle), weight in zip(modes, moving, strict=True):
        keep = np.exp(-1.0 / lag + (2j * np.pi / cycle if cycle else 0.0))
        missing += np.real(np.conj(weight)[:, None] * keep**after)
    size = np.abs(gain).sum() or 1.0
    late = np.flatnonzero(np.abs(missing).sum(axis=0) > share * size)
    return int(after[late[-1]]) if len(late) else 1
