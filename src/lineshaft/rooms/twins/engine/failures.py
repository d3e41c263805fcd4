"""Failures: how long a station runs between failures and stands until repaired, from what was seen.

Rules: a station that says whether it runs gives every spell of running and standing; spells that
the period cuts off count with the time they were seen, not as failures. The mean is the time over
the number of spells that ended, its relative deviation one over the root of that number, as for
exponential spells (B. Epstein, M. Sobel, J. Am. Stat. Assoc. 48 (1953) 486).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.twins.engine.behaviour import Behaviour

__all__ = ["Spell", "counted", "spells"]

Floats = NDArray[np.float64]
_RUNS = 0.5


@dataclass(frozen=True, slots=True)
class Spell:
    """The mean length of a spell (s), its standard deviation, and how many ended."""

    mean: float
    sigma: float
    count: int


def spells(seconds: Floats, running: Floats) -> tuple[Spell | None, Spell | None]:
    """Return spells of running and of standing, `running (T,)` from each of `seconds (T,)` on (NaN:
    as before); None where none ended."""
    known = np.isfinite(running)
    at, runs = seconds[known], running[known] >= _RUNS
    if len(at) < 2:
        return None, None
    took = np.diff(at, append=seconds[-1])
    ended = np.flatnonzero(runs[1:] != runs[:-1])
    found = list[Spell | None]()
    for wanted in (True, False):
        total, count = float(took[runs == wanted].sum()), int((runs[ended] == wanted).sum())
        mean = total / count if count else math.nan
        found.append(Spell(mean, mean / math.sqrt(count), count) if count else None)
    return found[0], found[1]


def counted(behaviour: Behaviour, seconds: Floats, u: Floats) -> Iterator[tuple[str, Spell]]:
    """Yield the parameters between_failures and to_repair (of station i where the input is
    running_i) that the inputs `u (T, m)` tell, inside the form's bounds."""
    bounds = {one.name: (one.low, one.high) for one in behaviour.parameters}
    for column, port in enumerate(behaviour.inputs):
        stem, _, number = port.name.partition("_")
        if stem != "running" or not np.isfinite(u[:, column]).any():
            continue
        ends = f"_{number}" if number else ""
        for name, spell in zip(("between_failures", "to_repair"), spells(seconds, u[:, column]),
                               strict=True):  # fmt: skip
            low, high = bounds.get(name + ends, (math.inf, -math.inf))
            if spell is not None and low <= spell.mean <= high:
                yield name + ends, spell
