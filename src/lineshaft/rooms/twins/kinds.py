"""Kinds: how each twin is run, whatever its behaviour is.

Rules: nothing here learns. The process that runs twins loads this and none of the libraries that
fits and identification need: 40 MB and a second.
"""

import hashlib

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.linear import LinearFleet
from lineshaft.rooms.twins.engine.runtime import Kind, compiled_kind
from lineshaft.rooms.twins.engine.state_space import model_of
from lineshaft.rooms.twins.fmi.runner import FmuRunner, FmuSetup
from lineshaft.rooms.twins.fmi.shelf import PREFIX, FmuShelf, ports_of
from lineshaft.rooms.twins.model import IDENTIFIED, Twin
from lineshaft.rooms.twins.plugins import behaviours

__all__ = ["kind_of"]


def kind_of(twin: Twin, fmus: FmuShelf | None = None) -> Kind:
    """Return how a twin is run; Refused where nobody knows its behaviour. `fmus` holds the FMUs,
    where those may be run."""
    if twin.behaviour.startswith(PREFIX):
        return _fmu_kind(twin, fmus)
    if twin.behaviour == IDENTIFIED:
        return _identified_kind(twin)
    behaviour = behaviours().get(twin.behaviour)
    if behaviour is None:
        raise Refused(f"'{twin.name}' behaves like '{twin.behaviour}', which is not installed",
                      code="twin.behaviour", hint="See GET /twins/behaviours")  # fmt: skip
    return compiled_kind(twin, behaviour)


def _fmu_kind(twin: Twin, fmus: FmuShelf | None) -> Kind:
    if fmus is None:
        raise Refused(f"'{twin.name}' is an FMU, which keeps its inside to itself",
                      code="twin.behaviour",
                      hint="Teach it, or take a behaviour of the library for this")  # fmt: skip
    path = fmus.path(twin.behaviour)
    inputs, outputs = ports_of(path)
    noise = np.array([twin.noises.get(name, 1.0) for name in outputs])
    values = {name: figure.value for name, figure in twin.parameters.items()}
    setup = FmuSetup(values, noise)
    return Kind(
        f"{twin.behaviour}/{twin.id}", lambda: FmuRunner(path, setup), setup, inputs, outputs, ()
    )


def _identified_kind(twin: Twin) -> Kind:
    model = model_of(twin)  # Refused where nothing was identified yet
    key = f"{IDENTIFIED}/{hashlib.sha256(twin.model).hexdigest()[:16]}"
    return Kind(key, lambda: LinearFleet(model), model, model.inputs, model.outputs, model.states)
