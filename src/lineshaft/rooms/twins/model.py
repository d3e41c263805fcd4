"""The words of twins: a Twin is a record that people edit; what it means is checked here.

Rules: a port is bound to a signal by its sid, so a renamed signal stays bound; between a signal's
unit and its port's lies one straight line. A twin's own signals (estimates, states, score) are
signals of the source `twin` under its machine: history, trends and rules take them like any other.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused

__all__ = [
    "FMUS", "IDENTIFIED", "LEARNED", "METHODS", "SCORE", "SOURCE", "Asked", "Binding", "Figure",
    "Future", "Twin",
]  # fmt: skip

SOURCE: Final = "twin"
FMUS: Final = "fmus"  # folder of FMUs below the room's
SCORE: Final = "score"
IDENTIFIED: Final = "identified"
LEARNED: Final = ("model", "healthy", "monitor")
METHODS: Final = ("kalman", "unscented", "open")

_NAME: Final = re.compile(r"[^\x00-\x1f]{1,120}")
_MOST_PORTS: Final = 64


@dataclass(frozen=True, slots=True)
class Binding:
    """A port's signal; port value = scale·signal value + offset."""

    sid: int
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and math.isfinite(self.offset) and self.scale):
            raise Refused("a binding needs a finite scale other than zero", code="twin.binding")


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its standard deviation, where known; `is_set` by a person, not fitted."""

    value: float
    sigma: float | None = None
    is_set: bool = False


@dataclass(frozen=True, slots=True)
class Twin:
    """One twin. Keys of `inputs`, `outputs`, `parameters` are those of its behaviour's form;
    `starts`, `spreads`, `walks` are by state and `noises` by output, each taking the form's figure
    where it has none. `clock` is the signal that tells how fast its plant runs (None: wall time).
    `estimates` holds the sids of its own signals: outputs and states by name, and SCORE.
    What was learned, empty where nothing was: `model` of an identified behaviour, `healthy` how its
    innovations look in a good period, `monitor` how its signals hang together there."""

    id: str
    name: str
    machine: str
    behaviour: str
    method: str = "unscented"
    inputs: Mapping[str, Binding] = field(default_factory=dict)
    outputs: Mapping[str, Binding] = field(default_factory=dict)
    parameters: Mapping[str, Figure] = field(default_factory=dict)
    starts: Mapping[str, float] = field(default_factory=dict)
    spreads: Mapping[str, float] = field(default_factory=dict)
    walks: Mapping[str, float] = field(default_factory=dict)
    noises: Mapping[str, float] = field(default_factory=dict)
    clock: int | None = None
    estimates: Mapping[str, int] = field(default_factory=dict)
    enabled: bool = True
    revision: int = 1
    trained_from: int | None = None
    trained_to: int | None = None
    model: bytes = b""
    healthy: bytes = b""
    monitor: bytes = b""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Refused("a twin needs a name of 1 to 120 characters", code="twin.name")
        if self.method not in METHODS:
            raise Refused(f"'{self.method}' is no way to estimate", code="twin.method",
                          hint=f"One of {', '.join(METHODS)}")  # fmt: skip
        if not self.outputs:
            raise Refused(f"the twin '{self.name}' measures nothing", code="twin.outputs",
                          hint="Bind at least one output to a signal")  # fmt: skip
        if len(self.inputs) + len(self.outputs) > _MOST_PORTS:
            raise Refused(f"the twin '{self.name}' has more than {_MOST_PORTS} ports",
                          code="twin.ports", hint="Make several twins of it")  # fmt: skip

    def to_json(self) -> str:
        """Return everything but id, revision and what was learned as JSON text."""
        body = asdict(self)
        for key in ("id", "revision", *LEARNED):
            del body[key]
        return json.dumps(body, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, id: str, revision: int, learned: Mapping[str, bytes]) -> Self:
        """Read what `to_json` wrote; raises Refused where it means nothing."""
        try:
            body: dict[str, Any] = json.loads(text)
            for ports in ("inputs", "outputs"):
                body[ports] = {name: Binding(**bound) for name, bound in body[ports].items()}
            body["parameters"] = {k: Figure(**v) for k, v in body["parameters"].items()}
            return cls(**body, **dict[str, Any](learned), id=id, revision=revision)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Refused(f"this is no twin: {error}"[:300], code="twin.form") from error

    def learned(self) -> dict[str, bytes]:
        """Return what was learned, by the names of LEARNED."""
        return {name: getattr(self, name) for name in LEARNED}

    def with_estimates(self, estimates: Mapping[str, int]) -> "Twin":
        """Return this twin with its own signals."""
        return replace(self, estimates=dict(estimates))


@dataclass(frozen=True, slots=True)
class Asked:
    """A twin as it is known when the futures begin: states and covariance, signal values held by
    its inputs (NaN: the form's)."""

    twin: Twin
    x: NDArray[np.float64]
    p: NDArray[np.float64]
    inputs: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Future:
    """A question: changes of signals (sid, at_s, value, ramp_s) in the signals' units."""

    name: str
    changes: Sequence[tuple[int, float, float, float]]
