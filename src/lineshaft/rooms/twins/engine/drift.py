"""How well twins still predict their machines: a calibrated score each, from their innovations.

A channel is one output of one twin; what comes in are its innovations over their standard
deviation, with their stamps. Two questions are asked of it:

- *fast*: is the newest handful of innovations larger than healthy ones? The smoothed logarithm
  of one plus their square (outliers weigh little), freed of what the innovation before foretells,
  is read off a table of healthy tail probabilities.
- *slow*: has the mean left its place? Means of whole bins of time, outliers clipped, are smoothed
  and held against their own long-run spread.

Rules: a score is −log10 of how rarely a healthy channel is that high, so 3 is "1 in 1,000"; it is
0 until a good period was learned. A filter is never exactly right, so centre, scale and dependence
are learned, not assumed. A value that is not finite is counted and otherwise never was. Arrays
only, one thread, one fixed order of sums: the same events give the same bits, saved or not.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine import tail

__all__ = [
    "Healthy", "State", "Verdicts", "begin", "learn", "report", "slow_limits", "update",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST = 300  # innovations, and
_LEAST_BINS = 24  # bins of time that a good period must have
_FAR = 30.0  # a whitened innovation further off says no more
_CLIP = 4.0  # the same for the mean, where one outlier must not look like a drift
_SLOW = 0.1  # weight of the newest bin


class Healthy(NamedTuple):
    """What the good period taught, one entry a channel; `ready` is 0 where it was too short.

    centre, scale: median and robust deviation; follow: correlation of neighbours, which are at
    most `reach` µs apart; table (n, levels): their sizes at `tail.LEVELS`; mean, spread,
    freedom: of the slow statistic, as Student's t; least: innovations a bin must have; bin_us: how
    long a bin is. weight (): of the newest size.
    """

    ready: Ints
    centre: Floats
    scale: Floats
    follow: Floats
    reach: Ints
    table: Floats
    mean: Floats
    spread: Floats
    freedom: Floats
    least: Floats
    bin_us: Ints
    weight: Floats


class State(NamedTuple):
    """Where the channels stand: newest innovation and stamp, smoothed size, the open bin, the
    smoothed mean, how many values were bad."""

    last: Floats
    at: Ints
    size: Floats
    bin: Ints
    bin_sum: Floats
    bin_count: Ints
    mean: Floats
    bad: Ints


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One entry an event: the fast score (NaN for a bad value), and the two alarms."""

    score: Floats
    fast: NDArray[np.bool_]
    slow: NDArray[np.bool_]


def learn(
    channel: ArrayLike, z: ArrayLike, at: ArrayLike, channels: int, *,
    bin_us: int = 600_000_000, memory: int = 8,
) -> Healthy:  # fmt: skip
    """Return what a good period teaches about each of `channels` channels.

    `channel (E,)`, `z (E,)` innovations over their deviation, `at (E,)` µs. About a day is right;
    less than 300 innovations or 24 bins leaves a channel not ready. `memory`: innovations smoothed.
    """
    who, values, stamps = _events(channel, z, at, channels)
    fine = np.isfinite(values)
    who, values, stamps = who[fine], values[fine], stamps[fine]
    turn = np.lexsort((stamps, who))
    edges = np.searchsorted(who[turn], np.arange(channels + 1))
    one = Healthy(
        np.zeros(channels, np.int64), np.zeros(channels), np.ones(channels), np.zeros(channels),
        np.zeros(channels, np.int64), np.ones((channels, tail.LEVELS.size)), np.zeros(channels),
        np.ones(channels), np.ones(channels), np.ones(channels),
        np.full(channels, bin_us, np.int64), np.array(2 / (memory + 1)),
    )  # fmt: skip
    for i in range(channels):
        mine = turn[edges[i] : edges[i + 1]]
        if mine.size >= _LEAST:
            _learn_one(one, i, values[mine], stamps[mine])
    return one


def _learn_one(healthy: Healthy, i: int, values: Floats, at: Ints) -> None:
    """Write the entry of one channel, its innovations in the order of time."""
    centre = float(np.median(values))
    scale = float(1.4826 * np.median(np.abs(values - centre)))
    bins, counts = np.unique(at // int(healthy.bin_us[i]), return_counts=True)
    least = 0.5 * float(np.median(counts))
    if not 0 < scale < np.inf or (counts >= least).sum() < _LEAST_BINS:
        return
    near = np.clip((values - centre) / scale, -_CLIP, _CLIP)
    steps = np.diff(at)
    reach = int(3 * np.median(steps))
    pairs = steps <= reach
    follow = _correlation(near[:-1][pairs], near[1:][pairs])
    healthy.centre[i], healthy.scale[i] = centre, scale
    healthy.follow[i], healthy.reach[i], healthy.least[i] = follow, reach, least
    sizes = np.empty(values.size)
    _smooth(values, at, centre, scale, follow, reach, float(healthy.weight), sizes)
    healthy.table[i] = tail.quantiles(sizes[int(4 / healthy.weight) :])
    sums = np.bincount(np.searchsorted(bins, at // int(healthy.bin_us[i])), near)
    means = (sums / counts)[counts >= least]
    tied = max(0.0, _correlation(means[:-1], means[1:]))
    tied = min(0.9, tied + (1 + 3 * tied) / means.size)  # the estimate is low by that much
    # Variances, over that of one bin, of a smoothed first-order series and of the mean it is held
    # against.
    held = (1 - _SLOW) * tied
    moving = _SLOW / (2 - _SLOW) * (1 + held) / (1 - held)
    path = _smoothed(means - means.mean())[10:]
    moving = max(moving, float(np.mean(path**2) / means.var()))  # slower ties than the first order
    resting = (1 + tied) / (1 - tied) / means.size
    healthy.mean[i] = means.mean()
    healthy.spread[i] = max(means.std(ddof=1), 1e-9) * np.sqrt(moving + resting)
    healthy.freedom[i] = max(3.0, means.size * (1 - tied**2) / (1 + tied**2) - 1)
    healthy.ready[i] = 1


def _smoothed(means: Floats) -> Floats:
    """Return the path of the smoothed mean over bins, from zero."""
    path, at = np.empty(means.size), 0.0
    for k, mean in enumerate(means.tolist()):
        at += _SLOW * (mean - at)
        path[k] = at
    return path


def _correlation(before: Floats, after: Floats) -> float:
    if before.size < 3 or before.std() <= 0 or after.std() <= 0:
        return 0.0
    return float(np.clip(np.corrcoef(before, after)[0, 1], -0.95, 0.95))


def begin(healthy: Healthy) -> State:
    """Return the state of channels that nothing was heard of since."""
    n = healthy.ready.size
    return State(
        np.full(n, np.nan), np.zeros(n, np.int64), healthy.table[:, 0].copy(),
        np.full(n, np.iinfo(np.int64).min), np.zeros(n), np.zeros(n, np.int64),
        healthy.mean.copy(), np.zeros(n, np.int64),
    )  # fmt: skip


def slow_limits(
    healthy: Healthy, slow_rate: float = 1e-7, least_shift: float = 0.75
) -> Floats:  # fmt: skip
    """Return how far the mean of each channel may leave its place, for `update`.

    `slow_rate`: share of healthy bins that may call a drift (the default: one machine in 70,000 a
    day of ten-minute bins); `least_shift`: what the mean must be off by at least, in deviations of
    an innovation, so that an operating point which the good period did not show is not called a
    drift at once.
    """
    limits: Floats = -stdtrit(healthy.freedom, slow_rate / 2) * healthy.spread
    return np.maximum(limits, least_shift)


def update(
    healthy: Healthy, state: State, channel: ArrayLike, z: ArrayLike, at: ArrayLike, *,
    rate: float = 1e-3, limits: Floats | None = None,
) -> Verdicts:  # fmt: skip
    """Take events in their order, change `state`, return the verdict on each.

    `rate`: share of healthy innovations that may alarm; `limits`: of `slow_limits`, which takes a
    while with many channels and is worth keeping.
    """
    who, values, stamps = _events(channel, z, at, healthy.ready.size)
    score, slow = np.full(values.size, np.nan), np.zeros(values.size, np.bool_)
    limits = slow_limits(healthy) if limits is None else limits
    _take(healthy, state, limits, -np.log10(tail.LEVELS), who, values, stamps, score, slow)
    return Verdicts(score, score >= -np.log10(rate) - 1e-12, slow)


def report(
    healthy: Healthy, state: State, channels: Ints | None = None
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return the fast and the slow score of these channels (all where None) as they stand, both
    −log10 and ≤ 300."""
    which = np.arange(healthy.ready.size) if channels is None else channels
    fast = np.zeros(which.size)
    _rarities(state.size, healthy.table, -np.log10(tail.LEVELS), which, fast)
    off = np.abs(state.mean - healthy.mean)[which] / healthy.spread[which]
    with np.errstate(divide="ignore"):  # further off than a float can tell: 300
        slow = -np.log10(2 * stdtr(healthy.freedom[which], -off))
    ready = healthy.ready[which] > 0
    return np.where(ready, fast, 0.0), np.where(ready, np.clip(slow, 0, 300) + 0.0, 0.0)  # no -0


@njit(cache=True)
def _rarities(size: Any, table: Any, lines: Any, which: Any, fast: Any) -> None:
    for k in range(which.size):
        fast[k] = tail.rarity(size[which[k]], table[which[k]], lines)


def _events(
    channel: ArrayLike, z: ArrayLike, at: ArrayLike, channels: int
) -> tuple[Ints, Floats, Ints]:
    who = np.ascontiguousarray(channel, np.int64)
    values, stamps = np.ascontiguousarray(z, np.float64), np.ascontiguousarray(at, np.int64)
    if not who.shape == values.shape == stamps.shape or who.ndim != 1:
        raise Refused("channels, innovations and stamps must be as many", code="shape")
    if who.size and not (who.min() >= 0 and who.max() < channels):
        raise Refused(f"a channel lies outside 0–{channels - 1}", code="unknown_channel")
    return who, values, stamps


@njit(cache=True)
def _whitened(near: float, before: float, follow: float) -> float:
    """Return what is new in an innovation (both standardised); `before` is NaN where unknown."""
    if np.isfinite(before):
        near = (near - follow * before) / np.sqrt(1 - follow * follow)
    return min(max(near, -_FAR), _FAR)


@njit(cache=True)
def _smooth(
    values: Any, at: Any, centre: float, scale: float, follow: float, reach: int, weight: float,
    sizes: Any,
) -> None:  # fmt: skip
    before, size = np.nan, 1.0
    for k in range(values.size):
        near = min(max((values[k] - centre) / scale, -_FAR), _FAR)
        is_next = k > 0 and at[k] - at[k - 1] <= reach
        fresh = _whitened(near, before if is_next else np.nan, follow)
        size += weight * (np.log1p(fresh * fresh) - size)
        sizes[k], before = size, near


@njit(cache=True)
def _take(
    good: Any, state: Any, limits: Any, lines: Any, who: Any, values: Any, at: Any, score: Any,
    slow: Any,
) -> None:  # fmt: skip
    weight, bin_us = good.weight[()], good.bin_us[()]
    for k in range(who.size):
        i = who[k]
        if not np.isfinite(values[k]):
            state.bad[i] += 1
            continue
        score[k] = 0.0
        if good.ready[i] == 0:
            continue
        near = min(max((values[k] - good.centre[i]) / good.scale[i], -_FAR), _FAR)
        is_next = 0 <= at[k] - state.at[i] <= good.reach[i]
        fresh = _whitened(near, state.last[i] if is_next else np.nan, good.follow[i])
        state.size[i] += weight * (np.log1p(fresh * fresh) - state.size[i])
        state.last[i], state.at[i] = near, at[k]
        score[k] = tail.rarity(state.size[i], good.table[i], lines)
        number = at[k] // bin_us[i]
        if number > state.bin[i]:
            count = state.bin_count[i]
            if count > 0 and count >= good.least[i]:
                state.mean[i] += _SLOW * (state.bin_sum[i] / count - state.mean[i])
            state.bin[i], state.bin_sum[i], state.bin_count[i] = number, 0.0, 0
        state.bin_sum[i] += min(max(near, -_CLIP), _CLIP)
        state.bin_count[i] += 1
        slow[k] = abs(state.mean[i] - good.mean[i]) > limits[i]
