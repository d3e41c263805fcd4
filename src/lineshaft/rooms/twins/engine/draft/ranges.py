"""Ranges: the unit of a signal that has none, and the range it lives in, from its samples.

Rules: a unit written in a name counts most. Without one, the name's quantity says which units are
usual, and the samples which of them can be; how sure that is falls with how many others could be.
A range is that of all samples, with a margin; how sure it is, is how much of the later half of the
samples lies in the range of the first half.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.twins.engine.draft.words import concepts

__all__ = ["UNITS", "Guess", "Range", "range_of", "unit_of"]

Floats = NDArray[np.float64]

# By quantity: unit, least and most that such a signal is likely to have, and how usual the unit is.
_USUAL: Final[Mapping[str, tuple[tuple[str, float, float, float], ...]]] = {
    "temperature": (("Cel", -40.0, 260.0, 1.0), ("K", 260.0, 1500.0, 0.3)),
    "pressure": (("bar", 0.0, 60.0, 1.0), ("kPa", 60.0, 6000.0, 0.7), ("Pa", 6000.0, 1e8, 0.5)),
    "flow": (("m3/h", 0.0, 5000.0, 1.0), ("kg/s", 0.0, 200.0, 0.5), ("L/min", 0.0, 5000.0, 0.3)),
    "level": (("%", 0.0, 100.0, 1.0), ("m", 0.0, 20.0, 0.8)),
    "speed": (("1/min", 20.0, 60_000.0, 1.0),),
    "power": (("kW", 0.0, 20_000.0, 1.0), ("W", 20_000.0, 1e9, 0.5)),
    "torque": (("N.m", -1e6, 1e6, 1.0),),
    "vibration": (("mm/s", 0.0, 60.0, 1.0),),
    "opening": (("%", 0.0, 100.0, 1.0), ("1", 0.0, 1.0, 0.5)),
    "head": (("m", 0.0, 1000.0, 1.0),),
    "throughput": (("1/h", 0.0, 1e5, 1.0),),
}
_WRITTEN: Final = {
    "degc": "Cel", "°c": "Cel", "℃": "Cel", "c": "Cel", "k": "K", "bar": "bar", "mbar": "mbar",
    "kpa": "kPa", "mpa": "MPa", "pa": "Pa", "m3/h": "m3/h", "m³/h": "m3/h", "kg/s": "kg/s",
    "kg/h": "kg/h", "t/h": "t/h", "l/min": "L/min", "l/s": "L/s", "%": "%", "rpm": "1/min",
    "1/min": "1/min", "r/min": "1/min", "kw": "kW", "w": "W", "mw": "MW", "nm": "N.m", "m": "m",
    "mm": "mm", "cm": "cm", "mm/s": "mm/s", "s": "s", "v": "V", "a": "A", "hz": "Hz",
}  # fmt: skip
UNITS: Final = tuple(sorted({*_WRITTEN.values(), *(one[0] for own in _USUAL.values()
                                                  for one in own)}))  # fmt: skip
_BRACKET: Final = re.compile(r"[\[(（]\s*([^\])）]{1,8}?)\s*[\])）]")
_DOUBT: Final = 0.3  # the weight of a unit that nobody thought of
_FEW: Final = 30


@dataclass(frozen=True, slots=True)
class Guess:
    """A unit, how sure that is, and whether its name says it."""

    unit: str
    confidence: float
    is_written: bool


@dataclass(frozen=True, slots=True)
class Range:
    """A range, and how sure it is; `count` samples told it."""

    low: float
    high: float
    confidence: float
    count: int


def unit_of(name: str, values: Floats) -> Guess | None:
    """Return the unit that a signal without one is likely to have; None where nothing tells.

    >>> unit_of("Oil temp (°C)", np.array([40.0, 60.0]))
    Guess(unit='Cel', confidence=0.95, is_written=True)
    """
    for text in _BRACKET.findall(name):
        if text.lower() in _WRITTEN:
            return Guess(_WRITTEN[text.lower()], 0.95, True)
    known = values[np.isfinite(values)]
    heard = concepts(name)
    found = dict[str, float]()
    for quantity in _USUAL.keys() & heard:
        for unit, low, high, usual in _USUAL[quantity]:
            if known.size:
                inside = float(np.mean((known >= low) & (known <= high)))
                found[unit] = max(found.get(unit, 0.0), usual * inside)
    if not found or max(found.values()) < 0.2:
        return None
    best = max(found, key=lambda unit: found[unit])
    return Guess(best, found[best] / (sum(found.values()) + _DOUBT), False)


def range_of(values: Floats, unit: str) -> Range | None:
    """Return the range in which a signal lives, in round figures; None where it has no samples or
    stands still."""
    known = values[np.isfinite(values)]
    if known.size < 2:
        return None
    low, high = float(known.min()), float(known.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return None
    first, last = np.array_split(known, 2)
    inside = float(np.mean((last >= first.min()) & (last <= first.max())))
    margin = 0.1 * (high - low)
    step = 10.0 ** math.floor(math.log10(high - low)) / 2
    wide = math.floor((low - margin) / step) * step, math.ceil((high + margin) / step) * step
    if low >= 0.0:
        wide = max(wide[0], 0.0), wide[1]
    if unit == "%" and low >= 0.0 and high <= 100.0:
        wide = 0.0, 100.0
    return Range(_round(wide[0]), _round(wide[1]), inside * known.size / (known.size + _FEW),
                 int(known.size))  # fmt: skip


def _round(value: float) -> float:
    return float(f"{value:.6g}")
