"""Setup: one twin's own figures as vectors in the order of its behaviour's form."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from lineshaft.core.samples import Floats
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Vector
from lineshaft.rooms.twins.model import Twin

__all__ = ["Setup", "setup_of"]


@dataclass(frozen=True, slots=True)
class Setup:
    """One twin's own figures, vectors in the order of its behaviour's form: `parameters`, the
    states it starts from with their `spread`, their random `walk` and the sensors' `noise`."""

    parameters: Vector
    start: Vector
    spread: Vector
    walk: Vector
    noise: Vector
    inputs: Vector

    @classmethod
    def of(cls, behaviour: Behaviour) -> "Setup":
        """Return what the behaviour's form says."""
        return cls(
            behaviour.defaults(),
            behaviour.start(),
            np.array([state.spread for state in behaviour.states]),
            np.array([state.noise for state in behaviour.states]),
            np.array([port.noise for port in behaviour.outputs]),
            behaviour.resting(),
        )


def setup_of(twin: Twin, behaviour: Behaviour) -> Setup:
    """Return a twin's figures in the order of its behaviour's form."""
    form = Setup.of(behaviour)
    states = [state.name for state in behaviour.states]
    outputs = [port.name for port in behaviour.outputs]
    figures = {name: figure.value for name, figure in twin.parameters.items()}

    def taken(names: Iterable[str], given: Mapping[str, float], default: Floats) -> Floats:
        return np.array([given.get(n, d) for n, d in zip(names, default, strict=True)])

    return Setup(
        taken((one.name for one in behaviour.parameters), figures, form.parameters),
        taken(states, twin.starts, form.start),
        taken(states, twin.spreads, form.spread),
        taken(states, twin.walks, form.walk),
        taken(outputs, twin.noises, form.noise),
        form.inputs,
    )
