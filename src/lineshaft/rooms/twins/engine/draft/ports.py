"""Ports: which signals may feed which ports of a behaviour, and so which machines there may be.

Rules: a signal fits a port where a straight line leads from its unit to the port's and its name
says what the port's name asks; what it says of the contrary counts against it. Inputs count more
where they tell what the outputs do. Of all ways to bind, the one with the greatest sum is taken
(the assignment problem: H. W. Kuhn, Naval Res. Logist. Quart. 2 (1955) 83). A machine of a kind
needs an output and an input that moved; one kind may be found several times in one machine.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.draft.words import (
    CONCEPTS,
    OPPOSITES,
    QUANTITIES,
    concepts,
    port_concepts,
)

__all__ = ["Bound", "Lines", "Scene", "Way", "fits", "said_of", "ways"]

Floats = NDArray[np.float64]
Lines = Mapping[tuple[str, str], tuple[float, float]]

_LEAST: Final = 0.4  # of a fit, below which a port stays free
_SURE: Final = 0.5
_TELLS: Final = 0.4  # what it counts that an input tells its outputs
_MOST_OF_A_KIND: Final = 3
_AROUND: Final = 0.6  # of a word that only the machine's name says
_CONTRARY: Final = 0.6
_BESIDE: Final = 0.12  # a word that the port does not ask for
_MARKS: Final = frozenset({"bearing", "surroundings", "hot", "cold", "next", "suction", "discharge",
                           "load", "drive", "inlet", "upstream", "downstream"})  # fmt: skip
_NUMBER: Final = re.compile(r"[0-9]+")
_VAGUE: Final = frozenset({"", "1", "%", "m"})  # units that do not tell the quantity


@dataclass(frozen=True, slots=True)
class Bound:
    """A signal at a port: how well its name and unit fit, how well the next best signal would, and
    the share of the outputs' movement that it tells (an input's)."""

    sid: int
    fit: float
    runner: float
    tells: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bind a behaviour; `prior` is how much speaks for it before any fit."""

    behaviour: str
    inputs: Mapping[str, Bound]
    outputs: Mapping[str, Bound]
    prior: float


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of a machine's signals: `units` by sid as declared or guessed, which moved,
    `gain` (response, driver) the share that one tells of the other, `lines` between units."""

    signals: Sequence[Signal]
    units: Mapping[int, str]
    moves: frozenset[int]
    gain: Mapping[tuple[int, int], float]
    lines: Lines


def said_of(signal: Signal) -> frozenset[str]:
    """Return what a signal's own name says, path and title together."""
    return concepts(signal.path.rpartition("/")[2]) | concepts(signal.name)


def fits(
    signal: Signal, unit: str, port: str, port_unit: str, lines: Lines, *, is_input: bool
) -> float:
    """Return how well a signal fits a port, 1 at best and below 0 where it says the contrary."""
    if port_unit and (unit, port_unit) not in lines:
        return -1.0
    said, asked = said_of(signal), port_concepts(port)
    runs = "running" in asked
    if "other" in said or (signal.kind is Kind.BOOL and not runs):
        return -1.0
    if runs and signal.kind is not Kind.BOOL and "running" not in said:
        return -1.0
    around = concepts(signal.path.rpartition("/")[0].rpartition("/")[2]) - set(QUANTITIES)
    if not asked:
        is_named = port.replace("_", "-") in signal.path.rpartition("/")[2]
        return 1.0 if is_named else 0.3
    told = set(said)
    quantities = set(asked) & set(QUANTITIES)
    if quantities and port_unit not in _VAGUE and not said & set(QUANTITIES) - quantities:
        told |= quantities  # the unit says it
    hits = sum(1.0 if one in told else _AROUND if one in around else 0.0 for one in asked)
    value = hits / len(asked)
    if quantities and not quantities & told:
        value -= _CONTRARY / 2
    for pair in OPPOSITES:
        for own, other in (pair, pair[::-1]):
            if own in asked and other in said and own not in said:
                value -= _CONTRARY
    value -= _BESIDE * len((said & _MARKS) - set(asked) - _near(asked))
    if "command" in said and "command" not in asked:
        value += 0.1 if is_input else -_CONTRARY
    value += _numbered(signal, port)
    return value + (0.05 if is_input and signal.writable else 0.0)


def _numbered(signal: Signal, port: str) -> float:
    """Return what it counts that a port has a number and a signal the same, or another."""
    number = port.rpartition("_")[2]
    if not number.isdigit():
        return 0.0
    told = _NUMBER.findall(signal.name) or _NUMBER.findall(signal.path.rpartition("/")[2])
    return 0.0 if not told else 0.1 if number in told else -_CONTRARY


def _near(asked: tuple[str, ...]) -> set[str]:
    """Return the marks that say no more than what is asked: the words for in and out overlap."""
    into, out = {"inflow", "inlet", "suction"}, {"outflow", "outlet", "discharge"}
    return set().union(*(some for some in (into, out) if some & set(asked))) & set(CONCEPTS)


def ways(behaviour: Behaviour, scene: Scene) -> list[Way]:
    """Return the ways to bind a behaviour to a machine's signals, the best first."""
    ports = [*((one.name, one.unit, True) for one in behaviour.inputs),
             *((one.name, one.unit, False) for one in behaviour.outputs)]  # fmt: skip
    signals = [one for one in scene.signals if one.kind is not Kind.STRING]
    if not signals:
        return []
    table = np.array([
        [fits(one, scene.units[one.sid], name, unit, scene.lines, is_input=is_input)
         for name, unit, is_input in ports] for one in signals
    ])  # fmt: skip
    found, free = list[Way](), np.ones(len(signals), bool)
    while len(found) < _MOST_OF_A_KIND:
        way = _best(behaviour, scene, signals, table, free)
        if way is None:
            break
        found.append(way)
        taken = {one.sid for one in way.outputs.values()}
        free &= np.array([one.sid not in taken for one in signals])
    return found


def _best(
    behaviour: Behaviour, scene: Scene, signals: Sequence[Signal], table: Floats,
    free: NDArray[np.bool_],
) -> Way | None:  # fmt: skip
    m = len(behaviour.inputs)
    moves = np.array([one.sid in scene.moves for one in signals])
    likely = [one.sid for i, one in enumerate(signals)
              if free[i] and moves[i] and table[i, m:].max(initial=-1.0) >= _SURE]  # fmt: skip
    if not likely:
        return None
    tells = np.array([max(scene.gain.get((y, one.sid), 0.0) for y in likely) for one in signals])
    worth = table.copy()
    worth[:, :m] += _TELLS * tells[:, None] * (table[:, :m] >= _LEAST)
    worth[~free] = -1.0
    # An output that stands still says nothing.
    worth[~moves, m:] = -1.0
    rows, columns = linear_sum_assignment(-np.maximum(worth - _LEAST, 0.0))
    taken = {int(c): int(r) for r, c in zip(rows, columns, strict=True) if worth[r, c] >= _LEAST}
    inputs, outputs = dict[str, Bound](), dict[str, Bound]()
    for column, row in sorted(taken.items()):
        others = np.delete(table[:, column], row)
        runner = float(np.clip(others.max(initial=0.0), 0.0, 1.0))
        fit = float(np.clip(table[row, column], 0.0, 1.0))
        one = Bound(signals[row].sid, fit, runner, float(tells[row]) if column < m else 0.0)
        if column < m:
            inputs[behaviour.inputs[column].name] = one
        else:
            outputs[behaviour.outputs[column - m].name] = one
    driven = any(one.sid in scene.moves for one in inputs.values()) or not m
    if not outputs or not driven or max(one.fit for one in outputs.values()) < _SURE:
        return None
    bound = [*inputs.values(), *outputs.values()]
    whole = len(bound) / (m + len(behaviour.outputs))
    prior = float(np.mean([one.fit for one in bound])) * (0.5 + 0.5 * whole)
    prior += _TELLS * max((one.tells for one in inputs.values()), default=0.0)
    return Way(behaviour.name, inputs, outputs, prior)
