"""Is a process as it was in its good period? One verdict a row over all its signals.

Canonical variate analysis (Larimore 1983; Russell, Chiang, Braatz 2000): of a window of the newest
rows, the combinations that tell most of the rows to come are the state. T² is the size of the
state, Q that of the rest of the window, both in units of the good period and smoothed over rows.

Rules: everything is learned from the good period alone. How many rows a window has, how many
combinations are state and how far the covariance is drawn to the identity is what predicts
left-out blocks of the good period best; limits come from the scores of left-out blocks too, so
the rate asked is the rate met on data never seen, which neighbours in time that are alike do not
flatter. Rows are scored one by one in one fixed order of sums: cutting a stream into chunks
changes no bit. A missing value is the last one for at most `hold` rows; then there is no verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine import moments, tail
from lineshaft.rooms.twins.engine.contributions import rank, weigh

__all__ = ["Memory", "Monitor", "Scores", "begin", "explain", "fit", "score"]

Floats = NDArray[np.float64]

_FOLDS = 8
_LIMIT_Z = 1e3  # a value further off is as abnormal as this one; keeps squares finite
_WIDTHS = 5  # rows a window may have at most
_WIDEST = 600  # columns a window may have at most


@dataclass(frozen=True, slots=True)
class Monitor:
    """What a good period taught. `d` signals, windows of `p` rows, newest first.

    names, dropped: the signals it looks at, and those that never changed in the good period.
    columns (d,): where the signals stand in a row as given; width (): signals in such a row.
    centre, scale (d,); whiten (p·d, p·d): rows `< order` give the state, the others the rest.
    limits (2,): of T² and Q; still (2,): their mean in the good period.
    rate, smooth, hold, order (): what was asked, smoothing 1/rows, rows held, size of the state.
    chosen (3,): share of identity in the covariance, rows kept, rate met on left-out blocks.
    metric (p·d, p·d): the index of dynamic PCA that explains an alarm.
    """

    names: tuple[str, ...]
    dropped: tuple[str, ...]
    columns: NDArray[np.int64]
    width: NDArray[np.int64]
    centre: Floats
    scale: Floats
    whiten: Floats
    limits: Floats
    still: Floats
    rate: Floats
    smooth: Floats
    hold: NDArray[np.int64]
    order: NDArray[np.int64]
    chosen: Floats
    metric: Floats


@dataclass(frozen=True, slots=True)
class Memory:
    """What scoring remembers between chunks: the newest window, values held, ages, scores."""

    window: Floats
    values: Floats
    ages: NDArray[np.int64]
    filled: NDArray[np.int64]
    smoothed: Floats


@dataclass(frozen=True, slots=True)
class Scores:
    """One entry a row: T² and Q (NaN without a verdict), whether one is over its limit."""

    t2: Floats
    q: Floats
    alarm: NDArray[np.bool_]
    memory: Memory


def fit(
    rows: ArrayLike, names: Sequence[str], *, rate: float = 0.01, smooth: int = 9, hold: int = 5
) -> Monitor:
    """Return the monitor of a good period, `rows (n_samples, n_signals)` evenly spaced in time.

    `rate` is the share of healthy rows that may alarm, `smooth` the rows that T² and Q are averaged
    over, `hold` the rows a missing value is held. Refused: too few rows, no signal that changes.
    """
    values = np.array(rows, np.float64)
    if values.ndim != 2 or values.shape[1] != len(names) or len(set(names)) != len(names):
        raise Refused(
            f"rows of shape {values.shape} do not fit {len(names)} different signals",
            hint="Give one column a signal and each name once", code="shape",
        )  # fmt: skip
    if not (1e-5 <= rate <= 0.2 and 1 <= smooth <= 1000 and 0 <= hold <= 10_000):
        raise Refused("rate must lie in 0.00001–0.2, smooth in 1–1000, hold in 0–10000 rows")
    values[~np.isfinite(values)] = np.nan
    columns, dropped = _moving(values)
    if not columns.size:
        raise Refused("no signal changes in the good period", hint="Choose another period")
    kept = values[:, columns]
    bare = Monitor(
        tuple(names[i] for i in columns), tuple(names[i] for i in dropped), columns,
        np.array(len(names)), np.nanmean(kept, axis=0), np.nanstd(kept, axis=0), np.eye(1),
        np.ones(2), np.ones(2), np.array(rate), np.array(2 / (smooth + 1)), np.array(hold),
        np.array(0), np.zeros(3), np.eye(1),
    )  # fmt: skip
    return _trained(bare, _whole_segments(bare, values))


def _moving(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns that change, and those that do not, were hardly seen or have no size."""
    seen = np.isfinite(values).sum(axis=0) >= 0.5 * len(values)
    spread, size = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # no finite spread: unfit, like none
        spread[seen] = np.nanstd(values[:, seen], axis=0)
    size[seen] = np.nanmax(np.abs(values[:, seen]), axis=0)
    moves = np.isfinite(spread) & (spread > 1e-12 * size)
    return np.flatnonzero(moves), np.flatnonzero(~moves)


def _whole_segments(monitor: Monitor, values: Floats) -> list[Floats]:
    """Return the stretches of standardised rows in which every signal is known or held."""
    filled, known = _standardised(monitor, values, begin(monitor))
    edges = np.flatnonzero(np.diff(np.r_[False, known, False].astype(np.int8)))
    return [filled[a:b] for a, b in edges.reshape(-1, 2) if b - a > 2 * _WIDTHS]


def _trained(bare: Monitor, segments: list[Floats]) -> Monitor:
    signals, rows = bare.columns.size, sum(map(len, segments))
    need = max(100, 4 * signals)
    if rows < need:
        raise Refused(
            f"the good period has {rows} whole rows; {signals} signals need {need}",
            hint="Choose a longer good period or fewer signals", code="too_little_data",
        )  # fmt: skip
    most = min(_WIDTHS, rows // (4 * signals), _WIDEST // signals)
    if most < 1:
        raise Refused(
            f"{signals} signals are more than the {_WIDEST} that one monitor watches",
            hint="Choose fewer signals", code="too_wide",
        )  # fmt: skip
    folds = moments.cut(segments, _FOLDS)
    chosen, share = moments.choose(folds, range(1, most + 1))
    order = moments.order(folds, chosen, share)
    left_out = []
    for number, fold in enumerate(folds):
        others = [part for other in folds[:number] + folds[number + 1 :] for part in other]
        learned = _with_model(bare, moments.model(others, chosen, share), order)
        left_out += [_left_out(learned, part - moments.mean(others)) for part in fold]
    scores = np.vstack(left_out)
    if len(scores) < max(50, 0.4 * rows):
        raise Refused(
            f"{rows} rows of the good period are too few to smooth over {2 / bare.smooth - 1:.0f}",
            hint="Choose a longer good period or smooth over fewer rows", code="too_little_data",
        )  # fmt: skip
    limits, met = _limits(scores, float(bare.rate))
    whole = _with_model(bare, moments.model(segments, chosen, share), order)
    return replace(whole, limits=limits, chosen=np.array([share, rows, met]))


def _with_model(bare: Monitor, model: moments.Model, order: int) -> Monitor:
    size = len(model.whiten)
    return replace(
        bare, centre=bare.centre + model.mean * bare.scale, whiten=model.whiten,
        order=np.array(order), still=np.array([order, size - order], np.float64),
        metric=weigh(model.covariance),
    )  # fmt: skip


def _left_out(monitor: Monitor, part: Floats) -> Floats:
    """Return (T², Q) of standardised rows (n, 2), without the first ones, smoothed over too few."""
    memory = begin(monitor)
    t2, q = _run(monitor, part, np.ones(len(part), np.bool_), memory)
    scores = np.column_stack([t2, q])[len(memory.window) - 1 :]
    cold = int(2 / monitor.smooth)
    return scores[cold:] if len(scores) > 2 * cold else scores[:0]


def _limits(scores: Floats, rate: float) -> tuple[Floats, float]:
    """Return the limits of T² and Q that together are passed at `rate`, and the rate met."""
    each = np.array([tail.quantiles(column, np.array([rate / 2]))[0] for column in scores.T])
    each = np.maximum(each, 1e-9)  # of a single signal all is state
    worst = (scores / each).max(axis=1)
    limits = each * tail.quantiles(worst, np.array([rate]))[0]
    return limits, float((scores > limits).any(axis=1).mean())


def begin(monitor: Monitor) -> Memory:
    """Return the memory of a monitor that has seen no row."""
    signals = monitor.columns.size
    window = np.zeros((max(1, len(monitor.whiten) // signals), signals))
    never = np.full(signals, np.iinfo(np.int64).max // 2)
    return Memory(window, np.zeros(signals), never, np.zeros(1, np.int64), monitor.still.copy())


def score(monitor: Monitor, rows: ArrayLike, memory: Memory | None = None) -> Scores:
    """Return the verdict on each of `rows (n, n_signals)`, the columns as at training.

    `memory` is that of the rows before (None: there are none); it is left as it is.
    """
    values = _checked(monitor, rows)
    now = _copied(memory) if memory else begin(monitor)
    filled, known = _standardised(monitor, values, now)
    t2, q = _run(monitor, filled, known, now)
    alarm = (t2 > monitor.limits[0]) | (q > monitor.limits[1])
    return Scores(t2, q, alarm, now)


def explain(
    monitor: Monitor, rows: ArrayLike, memory: Memory | None = None
) -> list[tuple[str, float]]:
    """Return the signals of the windows that end in `rows`, by their share in what is abnormal.

    Windows without a verdict count nothing; without any the list is empty.
    """
    values = _checked(monitor, rows)
    now = _copied(memory) if memory else begin(monitor)
    wide, before = len(now.window), int(now.filled[0])
    filled, known = _standardised(monitor, values, now)
    whole = np.vstack([now.window[::-1], filled])
    sure = np.r_[np.arange(wide) >= wide - before, known]
    windows = np.array(
        [whole[i - wide + 1 : i + 1][::-1] for i in range(wide, len(whole))
         if sure[i - wide + 1 : i + 1].all()]
    )  # fmt: skip
    return rank(monitor.metric, windows, monitor.names)


def _checked(monitor: Monitor, rows: ArrayLike) -> Floats:
    values = np.ascontiguousarray(rows, np.float64)
    if values.ndim != 2 or values.shape[1] != int(monitor.width):
        raise Refused(
            f"rows of shape {values.shape}; this monitor was trained on {int(monitor.width)} "
            "signals", hint="Give the columns as at training", code="shape",
        )  # fmt: skip
    return values


def _copied(memory: Memory) -> Memory:
    return Memory(memory.window.copy(), memory.values.copy(), memory.ages.copy(),
                  memory.filled.copy(), memory.smoothed.copy())  # fmt: skip


def _standardised(
    monitor: Monitor, values: Floats, memory: Memory
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the rows in units of the good period, gaps held, and which of them are whole."""
    filled = np.empty((len(values), monitor.columns.size))
    known = np.empty(len(values), np.bool_)
    _fill(values, monitor.columns, monitor.centre, monitor.scale, int(monitor.hold),
          memory.values, memory.ages, filled, known)  # fmt: skip
    return filled, known


def _run(
    monitor: Monitor, filled: Floats, known: NDArray[np.bool_], memory: Memory
) -> tuple[Floats, Floats]:
    t2, q = np.empty(len(filled)), np.empty(len(filled))
    _judge(filled, known, monitor.whiten, int(monitor.order), float(monitor.smooth),
           monitor.still, memory.window, memory.filled, memory.smoothed, t2, q)  # fmt: skip
    return t2, q


@njit(cache=True)
def _fill(
    values: Any, columns: Any, centre: Any, scale: Any, hold: int, last: Any, ages: Any,
    filled: Any, known: Any,
) -> None:  # fmt: skip
    for i in range(len(values)):
        known[i] = True
        for j in range(columns.size):
            value = values[i, columns[j]]
            if np.isfinite(value):
                far = value / scale[j] - centre[j] / scale[j]
                last[j] = min(max(far, -_LIMIT_Z), _LIMIT_Z)
                ages[j] = 0
            else:
                ages[j] += 1
                known[i] &= ages[j] <= hold
            filled[i, j] = last[j]


@njit(cache=True)
def _judge(
    rows: Any, known: Any, whiten: Any, order: int, smooth: float, still: Any, window: Any,
    filled: Any, smoothed: Any, t2: Any, q: Any,
) -> None:  # fmt: skip
    wide, signals = window.shape
    flat = window.reshape(wide * signals)
    for i in range(len(rows)):
        t2[i] = q[i] = np.nan
        if not known[i]:
            filled[0] = 0
            smoothed[:] = still
            continue
        for k in range(flat.size - 1, signals - 1, -1):
            flat[k] = flat[k - signals]
        flat[:signals] = rows[i]
        filled[0] = min(filled[0] + 1, wide)
        if filled[0] < wide:
            continue
        state = rest = 0.0
        for a in range(flat.size):
            inner = 0.0
            for b in range(flat.size):
                inner += whiten[a, b] * flat[b]
            if a < order:
                state += inner * inner
            else:
                rest += inner * inner
        smoothed[0] += smooth * (state - smoothed[0])
        smoothed[1] += smooth * (rest - smoothed[1])
        t2[i], q[i] = smoothed
