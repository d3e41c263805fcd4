"""Behaviour: what a kind of machine does, as data and two functions over plain arrays.

Rules: a behaviour is deterministic and knows no clock; its two functions read and write float
vectors in the units its form declares, use nothing but arithmetic and `math`, and are compiled by
numba when a twin of this kind first runs. Their arguments are vectors of shape `(n,)`:

- `advance(x, u, p, dt, out)`: the states `out` that follow `x` after `dt` seconds of plant time
  with the inputs `u` held, 0 < dt <= `longest_s`;
- `measure(x, u, p, y)`: the outputs `y` that sensors would show now.

Units are UCUM codes; an empty one stands for whatever unit the bound signal has.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lineshaft.core.errors import Refused

__all__ = ["Advance", "Behaviour", "Input", "Measure", "Output", "Parameter", "State"]

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
Advance = Callable[[Any, Any, Any, float, Any], None]
Measure = Callable[[Any, Any, Any, Any], None]
Canonical = Callable[[Vector], Vector]

_MOST: Final = 32


@dataclass(frozen=True, slots=True)
class State:
    """One state: `spread` is the standard deviation of what is known at the start, `noise` that of
    its random walk after one second (unit per square root of a second). Kept in [low, high]."""

    name: str
    unit: str
    start: float
    spread: float
    noise: float
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, slots=True)
class Input:
    """What moves the machine from outside, held between its samples; `delay` names the parameter
    (s) by which it acts late (dead time)."""

    name: str
    unit: str
    default: float
    delay: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What a sensor shows; `noise` is the standard deviation of its error."""

    name: str
    unit: str
    noise: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """A constant of one machine in [low, high]; one that `is_fitted` may be learned from
    history."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    is_fitted: bool = True
    text: str = ""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A kind of machine. `source` names the standard or paper of its equations; `longest_s` is the
    longest step that `advance` may be given, infinite where it solves its equation exactly.
    Where other parameters show the very same outputs, `canonical` returns for any of them the ones
    that a fit answers with."""

    name: str
    title: str
    source: str
    states: tuple[State, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    parameters: tuple[Parameter, ...]
    advance: Advance
    measure: Measure
    longest_s: float = math.inf
    canonical: Canonical | None = None

    def __post_init__(self) -> None:
        for kind, ports in (("state", self.states), ("input", self.inputs),
                            ("output", self.outputs), ("parameter", self.parameters)):  # fmt: skip
            names = [port.name for port in ports]
            if len(set(names)) != len(names) or len(names) > _MOST:
                raise self._wrong(f"names a {kind} twice or has more than {_MOST}")
        if not self.states or not self.outputs or not self.longest_s > 0:
            raise self._wrong("needs a state, an output and a step longer than nothing")
        known = {parameter.name for parameter in self.parameters}
        for port in self.inputs:
            if port.delay and port.delay not in known:
                raise self._wrong(f"the delay of '{port.name}' is no parameter")
        for one in self.parameters:
            if not one.low <= one.value <= one.high:
                raise self._wrong(f"the parameter '{one.name}' starts outside its range")
        for state in self.states:
            if not (state.spread > 0 and state.noise >= 0 and state.low <= state.start):
                raise self._wrong(f"the state '{state.name}' has no spread or starts too low")

    def _wrong(self, what: str) -> Refused:
        return Refused(f"the behaviour '{self.name}' {what}", code="twin.behaviour",
                       hint="Mend its form")  # fmt: skip

    def start(self) -> Vector:
        """Return the states to start from, shape `(n_states,)`."""
        return np.array([state.start for state in self.states])

    def defaults(self) -> Vector:
        """Return the parameters' own values, shape `(n_parameters,)`."""
        return np.array([parameter.value for parameter in self.parameters])

    def resting(self) -> Vector:
        """Return the inputs' defaults, shape `(n_inputs,)`."""
        return np.array([port.default for port in self.inputs])

    def delays(self) -> tuple[int, ...]:
        """Return for each input the index of the parameter that delays it, -1 where none does."""
        names = [parameter.name for parameter in self.parameters]
        return tuple(names.index(port.delay) if port.delay else -1 for port in self.inputs)

    def checked(self, parameters: Vector) -> Vector:
        """Return the parameters, or raise Refused that names the one outside its range."""
        if parameters.shape != (len(self.parameters),):
            raise Refused(f"'{self.name}' takes {len(self.parameters)} parameters, not "
                          f"{parameters.size}", code="twin.parameters")  # fmt: skip
        for one, value in zip(self.parameters, parameters, strict=True):
            if not one.low <= value <= one.high:
                raise Refused(f"{one.name} = {value:g} {one.unit} of '{self.name}' is out of range",
                              hint=f"{one.low:g} to {one.high:g} {one.unit}",
                              code="twin.parameters")  # fmt: skip
        return parameters
