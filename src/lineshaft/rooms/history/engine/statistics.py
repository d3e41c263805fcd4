"""One range of one signal in some numbers, made of parts that can be joined.

The same rules of holding as on the grid. Aggregates of OPC 10000-13: count = Count, good_share =
PercentGood, least and greatest = Minimum and Maximum with their ActualTime, mean = Average, twa =
TimeAverage2, deviation = StandardDeviationSample, integral = Total2 in hours. Parts are joined with
the pairwise update of Chan, Golub and LeVeque ("Updating Formulae and a Pairwise Algorithm for
Computing Sample Variances", 1979), so that a long range needs little memory and loses no digits.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lineshaft.rooms.history.engine.grid import Holds, Rule, admitted, weights
from lineshaft.rooms.history.engine.rows import Column

__all__ = ["Limits", "Moments", "Point", "Summary", "integral_unit", "join", "summarise"]

_HOUR_US: Final = 3_600_000_000
_PER: Final = {"h": 1.0, "min": 60.0, "s": 3600.0, "d": 1 / 24}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits in the signal's unit; None where there is none."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Moments:
    """Weight, mean and sum of weighted squares about the mean."""

    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Moments") -> "Moments":
        if not other.weight or not self.weight:
            return self if self.weight else other
        weight = self.weight + other.weight
        apart = other.mean - self.mean
        share = other.weight / weight
        squares = self.squares + other.squares + apart * apart * self.weight * share
        return Moments(weight, self.mean + apart * share, squares)


@dataclass(frozen=True, slots=True)
class Point:
    """A value and its stamp (µs)."""

    v: float
    ts: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a range [start, end); durations in µs.

    `samples` weighs each sample one, `time` by how long its value held in the range; `good`,
    `above` and `below` are how long a Good value held, and one beyond a limit.
    """

    start: int
    end: int
    samples: Moments = Moments()
    time: Moments = Moments()
    good: float = 0.0
    above: float = 0.0
    below: float = 0.0
    least: Point | None = None
    greatest: Point | None = None
    first: Point | None = None
    last: Point | None = None

    @property
    def good_share(self) -> float:
        """Return for which share of the range a Good value held."""
        return self.good / (self.end - self.start) if self.end > self.start else 0.0

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation of the samples (n - 1); None below two."""
        n = self.samples.weight
        return math.sqrt(self.samples.squares / (n - 1)) if n >= 2 else None

    @property
    def time_deviation(self) -> float | None:
        """Return the standard deviation weighted by time; None where no value held."""
        return math.sqrt(self.time.squares / self.time.weight) if self.time.weight else None

    @property
    def integral_hours(self) -> float | None:
        """Return the integral of the value over hours; None where no value held."""
        return self.time.mean * (self.time.weight / _HOUR_US) if self.time.weight else None


def summarise(holds: Holds, start: int, end: int, rule: Rule, limits: Limits) -> Summary:
    """Return the summary of [start, end) of one signal."""
    chosen = admitted(holds, rule)
    edges = np.array([start, end], np.int64)
    ts, v, _ = holds.only(chosen)
    inside = slice(*np.searchsorted(ts, edges).tolist())
    ts, v = ts[inside], v[inside]
    found = Summary(
        start, end, _moments(v, np.ones(len(v))), _held(holds, edges, chosen),
        good=_duration(holds, edges, admitted(holds, Rule.GOOD)),
        above=_duration(holds, edges, chosen & (holds.v > _number(limits.high, math.inf))),
        below=_duration(holds, edges, chosen & (holds.v < _number(limits.low, -math.inf))),
    )  # fmt: skip
    if not len(v):
        return found
    least, greatest = int(v.argmin()), int(v.argmax())
    return replace(
        found, first=_point(ts, v, 0), last=_point(ts, v, -1),
        least=_point(ts, v, least), greatest=_point(ts, v, greatest),
    )  # fmt: skip


def _point(ts: Column, v: Column, at: int) -> Point:
    return Point(float(v[at]), int(ts[at]))


def _number(limit: float | None, otherwise: float) -> float:
    return otherwise if limit is None else limit


def _duration(holds: Holds, edges: Column, chosen: Column) -> float:
    return float(weights(holds, edges, chosen)[0][0])


def _held(holds: Holds, edges: Column, chosen: Column) -> Moments:
    """Return the moments of the values weighted by how long each held between the edges."""
    start, end = edges.tolist()
    weight = np.minimum(holds.until, end) - np.maximum(holds.ts, start)
    some = chosen & (weight > 0)
    return _moments(holds.v[some], weight[some].astype(float))


def _moments(v: Column, weight: Column) -> Moments:
    total = float(weight.sum())
    if not total:
        return Moments()
    mean = float((v * weight).sum()) / total
    return Moments(total, mean, float((weight * (v - mean) ** 2).sum()))


def join(one: Summary, other: Summary) -> Summary:
    """Return the summary of a range and of the one that follows it, as one."""
    firsts = [point for point in (one.first, other.first) if point]
    lasts = [point for point in (one.last, other.last) if point]
    least = [point for point in (one.least, other.least) if point]
    greatest = [point for point in (one.greatest, other.greatest) if point]
    return Summary(
        one.start, other.end, one.samples + other.samples, one.time + other.time,
        one.good + other.good, one.above + other.above, one.below + other.below,
        min(least, key=lambda point: point.v, default=None),
        max(greatest, key=lambda point: point.v, default=None),
        firsts[0] if firsts else None, lasts[-1] if lasts else None,
    )  # fmt: skip


def integral_unit(unit: str) -> tuple[str, float]:
    """Return the UCUM code of `unit` times hours, and the factor that brings it there.

    >>> integral_unit("kg/h"), integral_unit("kg/s"), integral_unit("kW"), integral_unit("")
    (('kg', 1.0), ('kg', 3600.0), ('kW.h', 1.0), ('h', 1.0))
    """
    match = re.fullmatch(r"([^/]+)/(h|min|s|d)", unit)
    if match:
        return match[1], _PER[match[2]]
    if unit in {"", "1"}:
        return "h", 1.0
    if unit == "Cel":
        return "Cel.h", 1.0
    return (f"({unit}).h" if "/" in unit else f"{unit}.h"), 1.0
