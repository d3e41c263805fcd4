"""State space: what was identified of a machine, and what it foretells.

Rules: a model is a linear one in innovations form (Ljung, System Identification, 2nd ed. 1999,
§4.3): x+ = A x + B u + K e, y = C x + D u + e, one step every `sample_us` of plant time, in units
of spread about the mean. Without news (e = 0) it foretells; how sure it is follows from the
covariance of e carried through A and K. No compiler here: the doors may read a model.
"""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.kept import from_bytes
from lineshaft.rooms.twins.model import Twin

__all__ = ["Band", "Model", "band", "foretell", "model_of", "spreads", "states_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """n states, m inputs, r outputs, in the order of the names.

    a (n, n), b (n, m), c (r, n), d (r, m), k (n, r): as above; `cov` (r, r) that of e.
    centre, scale (m + r,): mean and spread of inputs, then outputs, in their signals' units.
    first (n, m + r): the state that a single row tells, where nothing older is known.
    hold (r,): steps for which a value of an output stands. sample_us (): the step.
    wide (r,), ahead (): spread of predictions `ahead` steps on, over what `cov` says of it.
    chosen (2,): rows of the past the states were found from, rows learned from.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    a: Floats
    b: Floats
    c: Floats
    d: Floats
    k: Floats
    cov: Floats
    centre: Floats
    scale: Floats
    first: Floats
    hold: NDArray[np.int64]
    sample_us: NDArray[np.int64]
    wide: Floats
    ahead: NDArray[np.int64]
    chosen: NDArray[np.int64]

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states."""
        return states_of(len(self.a))


@dataclass(frozen=True, slots=True)
class Band:
    """What an output may be at each time, each `(T, r)` in the signals' units."""

    low: Floats
    middle: Floats
    high: Floats


def states_of(order: int) -> tuple[str, ...]:
    """Return the names of that many states."""
    return tuple(f"x{number}" for number in range(1, order + 1))


@lru_cache(maxsize=64)
def _read(kept: bytes) -> Model:
    return from_bytes(Model, kept)


def model_of(twin: Twin) -> Model:
    """Return what was identified of a twin; Refused where nothing was, or for other ports."""
    if not twin.model:
        raise Refused(f"'{twin.name}' has not been identified yet", code="twin.model",
                      hint="Identify it from a period of history")  # fmt: skip
    model = _read(twin.model)
    if (model.inputs, model.outputs) != (tuple(sorted(twin.inputs)), tuple(sorted(twin.outputs))):
        raise Refused(f"'{twin.name}' was identified with other ports", code="twin.model",
                      hint="Identify it again")  # fmt: skip
    return model


def foretell(model: Model, x: Floats, u: Floats, steps: int) -> Floats:
    """Return the outputs `(…, r)` that many steps on, where the inputs `u (…, m)` are held from
    the states `x (…, n)` on; all in units of spread."""
    drive = u @ model.b.T
    for _ in range(steps):
        x = x @ model.a.T + drive
    told: Floats = x @ model.c.T + u @ model.d.T
    return told


def spreads(model: Model, steps: int, p: Floats | None = None) -> Floats:
    """Return the standard deviations `(steps + 1, r)` of the outputs 0 to `steps` steps on, in
    units of spread; `p (n, n)` is what is not known of the state (None: nothing)."""
    p = np.zeros_like(model.a) if p is None else p
    news, found = model.k @ model.cov @ model.k.T, np.empty((steps + 1, len(model.c)))
    for step in range(steps + 1):
        found[step] = np.sqrt(np.einsum("ij,jk,ik->i", model.c, p, model.c) + np.diag(model.cov))
        p = model.a @ p @ model.a.T + news
    along = np.minimum(np.arange(steps + 1) / max(int(model.ahead), 1), 1.0)[:, None]
    wider: Floats = found * (1 + along * (model.wide - 1))
    return wider


def band(model: Model, x: Floats, u: Floats, share: float, p: Floats | None = None) -> Band:
    """Return what the outputs are with the inputs `u (T, m)`, in the signals' units, from the
    state `x (n,)` on; `share` of what may happen lies within."""
    m = len(model.inputs)
    driven = (u - model.centre[:m]) / model.scale[:m]
    middle = np.empty((len(u), len(model.c)))
    for step, row in enumerate(driven):
        middle[step] = model.c @ x + model.d @ row
        x = model.a @ x + model.b @ row
    reach = NormalDist().inv_cdf((1 + share) / 2) * spreads(model, len(u) - 1, p)
    centre, scale = model.centre[m:], model.scale[m:]
    return Band(*((middle + side * reach) * scale + centre for side in (-1.0, 0.0, 1.0)))
