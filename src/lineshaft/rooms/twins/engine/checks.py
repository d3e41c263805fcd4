"""Checks: what every behaviour keeps, whoever wrote it.

Rules: a check looks at a behaviour at points spread over its ranges and says what is wrong, or
nothing. `shapes` runs in plain Python, where a write beside a vector is an error and no crash: what
it finds wrong must never be compiled.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.stats import qmc

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Vector
from lineshaft.rooms.twins.engine.compiled import compile_behaviour

__all__ = ["CHECKS", "FAR", "Point", "at", "complaints", "follow", "points", "units"]

FAR: Final = 1e6
_DIGITS: Final = 1e-12
_LONGEST_S: Final = 3600.0
_CLOSE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """Where a behaviour is looked at: states, inputs, parameters and a step (s)."""

    x: Vector
    u: Vector
    p: Vector
    dt: float


def at(behaviour: Behaviour, shares: Vector, reach: float = 1.0) -> Point:
    """Return the point at `shares (n + m + k + 1,)`, each in [0, 1]: states within ten spreads and
    inputs within three times their default, both `reach` times as far; parameters in range."""
    states, n, m = behaviour.states, len(behaviour.states), len(behaviour.inputs)
    side = reach * (2.0 * shares - 1.0)
    x = behaviour.start() + side[:n] * np.array([10.0 * one.spread for one in states])
    if reach <= 1.0:
        x = np.clip(x, [one.low for one in states], [one.high for one in states])
    u = behaviour.resting()
    u = u + side[n : n + m] * 3.0 * np.maximum(np.abs(u), 1.0)
    low = np.array([one.low for one in behaviour.parameters])
    high = np.array([one.high for one in behaviour.parameters])
    part, is_log = shares[n + m : -1], low > 0
    logs = np.log(np.where(is_log, low, 1.0)), np.log(np.where(is_log, high, 1.0))
    p = np.where(is_log, np.exp(logs[0] + part * (logs[1] - logs[0])), low + part * (high - low))
    dt = max(float(shares[-1]), 1e-3) * min(behaviour.longest_s, _LONGEST_S)
    return Point(x, u, np.clip(p, low, high), dt)


def points(behaviour: Behaviour, reach: float = 1.0) -> Iterator[Point]:
    """Yield points spread evenly, always the same, and for each one a corner of the parameters."""
    first = len(behaviour.states) + len(behaviour.inputs)
    for shares in qmc.Sobol(first + len(behaviour.parameters) + 1, scramble=False).random(64):
        yield at(behaviour, shares, reach)
        shares[first:-1] = np.round(shares[first:-1])
        yield at(behaviour, shares, reach)


def follow(behaviour: Behaviour, point: Point, is_compiled: bool = False) -> tuple[Vector, Vector]:
    """Return the next states and what sensors show of them; an element never written is NaN."""
    source = compile_behaviour(behaviour) if is_compiled else behaviour
    out, y = np.full(len(behaviour.states), np.nan), np.full(len(behaviour.outputs), np.nan)
    with np.errstate(all="ignore"):
        source.advance(point.x, point.u, point.p, point.dt, out)
        source.measure(out, point.u, point.p, y)
    return out, y


def _shapes(behaviour: Behaviour) -> str:
    for point in points(behaviour):
        before = [vector.copy() for vector in (point.x, point.u, point.p)]
        try:
            found = follow(behaviour, point)
        except Exception as error:  # whatever a plug-in does wrong
            return f"does not fit its form: {type(error).__name__}: {error}"[:300]
        if not all(np.array_equal(*pair) for pair in zip(before, (point.x, point.u, point.p),
                                                         strict=True)):  # fmt: skip
            return "writes into its arguments"
        if not (np.isfinite(found[0]).all() and np.isfinite(found[1]).all()):
            return f"leaves a state or an output without a finite value at {point}"[:600]
    return ""


def _far(behaviour: Behaviour) -> str:
    for point in points(behaviour, FAR):
        found = follow(behaviour, point)
        if not (np.isfinite(found[0]).all() and np.isfinite(found[1]).all()):
            return f"is not finite at {point}: {found}"[:600]
    return ""


def _same(behaviour: Behaviour) -> str:
    for point in points(behaviour):
        plain = np.concatenate(follow(behaviour, point))
        if not np.array_equal(plain, np.concatenate(follow(behaviour, point))):
            return f"is not deterministic at {point}"[:600]
        fast = np.concatenate(follow(behaviour, point, is_compiled=True))
        size = np.append(np.maximum(np.abs(point.x), 1.0), np.ones(len(behaviour.outputs)))
        if (np.abs(fast - plain) > _DIGITS * np.maximum(np.abs(plain), size)).any():
            return f"differs when compiled: {plain} and {fast} at {point}"[:600]
    return ""


def _composes(behaviour: Behaviour) -> str:
    """Hold one longest step against two half ones, at the form's own parameters."""
    dt = min(behaviour.longest_s, 60.0)
    share = _CLOSE if math.isfinite(behaviour.longest_s) else 1e-9
    spread = np.array([one.spread for one in behaviour.states])
    for point in points(behaviour):
        start = Point(behaviour.start() + 0.1 * (point.x - behaviour.start()), point.u,
                      behaviour.defaults(), dt)  # fmt: skip
        whole = follow(behaviour, start)[0]
        half = follow(behaviour, Point(start.x, start.u, start.p, dt / 2))[0]
        twice = follow(behaviour, Point(half, start.u, start.p, dt / 2))[0]
        if (np.abs(whole - twice) > share * (spread + np.abs(whole - start.x))).any():
            return f"two half steps give {twice}, a whole one {whole} at {start}"[:600]
    return ""


def _documented(behaviour: Behaviour) -> str:
    bare = [one.name for one in behaviour.parameters if not one.text.strip()]
    bare += [word for word in ("title", "source") if not getattr(behaviour, word).strip()]
    if not (behaviour.advance.__doc__ and behaviour.measure.__doc__):
        bare.append("advance or measure")
    return f"has no text for {', '.join(bare)}" if bare else ""


CHECKS: Final[Mapping[str, Callable[[Behaviour], str]]] = MappingProxyType({
    "shapes": _shapes, "documented": _documented, "far": _far, "same": _same,
    "composes": _composes,
})  # fmt: skip


def complaints(behaviour: Behaviour) -> list[str]:
    """Return what is wrong, each by the name of its check; without right shapes no other runs."""
    found: list[str] = []
    for name, check in CHECKS.items():
        try:
            wrong = check(behaviour)
        except Refused as error:
            wrong = str(error)
        if wrong:
            found.append(f"{name}: '{behaviour.name}' {wrong}")
            if name == "shapes":
                break
    return found


def units(behaviour: Behaviour, is_known: Callable[[str], bool]) -> str:
    """Say which units of the form are no known unit codes."""
    forms = behaviour.states, behaviour.inputs, behaviour.outputs, behaviour.parameters
    named = [(one.name, one.unit) for form in forms for one in form]
    odd = [f"{name} in '{unit}'" for name, unit in named if not is_known(unit)]
    return f"has {', '.join(odd)}" if odd else ""
