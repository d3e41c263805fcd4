"""A behaviour as equations, and its values and slopes along a path, found by casadi.

Rules: `slope(x, u, m)` are the states' changes an hour, `measure(x, u, m)` the outputs; x and u are
sequences, m has the functions (exp, log, sqrt, …) and may be casadi or numpy, so the same lines can
be simulated and differentiated. Everything inside is scaled: states by `scale`, handles by their
range from `low`. casadi comes with the extra `control` and is imported only here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats

__all__ = ["Behaviour", "Slopes"]

Equations = Callable[[Sequence[Any], Sequence[Any], Any], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Names of states (n), inputs (m), outputs (p); `start` and `scale` (n,) of the states,
    `reach` (p,) what counts as much of an output."""

    states: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    slope: Equations
    measure: Equations
    start: Floats
    scale: Floats
    reach: Floats

    def __post_init__(self) -> None:
        n, p = len(self.states), len(self.outputs)
        shapes = (self.start.shape, self.scale.shape, self.reach.shape)
        if shapes != ((n,), (n,), (p,)) or not (n and p and self.inputs):
            raise Refused("start and scale have a value a state, reach one an output",
                          code="mpc.behaviour")  # fmt: skip
        if not (
            (self.scale > 0).all() and (self.reach > 0).all() and np.isfinite(self.start).all()
        ):
            raise Refused("scale and reach are above zero, start is finite", code="mpc.behaviour")


class Slopes:
    """Slopes and outputs, and their derivatives, at many points in one call; all scaled."""

    def __init__(self, behaviour: Behaviour, low: Floats, span: Floats) -> None:
        casadi = _casadi()
        n, m, p = len(behaviour.states), len(behaviour.inputs), len(behaviour.outputs)
        x, u = casadi.SX.sym("x", n), casadi.SX.sym("u", m)
        real_x, real_u = x * casadi.DM(behaviour.scale), u * casadi.DM(span) + casadi.DM(low)
        told_x = [real_x[i] for i in range(n)]
        told_u = [real_u[i] for i in range(m)]
        try:
            f = casadi.vertcat(*behaviour.slope(told_x, told_u, casadi))
            y = casadi.vertcat(*behaviour.measure(told_x, told_u, casadi))
        except (TypeError, IndexError, AttributeError, RuntimeError) as error:
            raise Refused(f"the equations cannot be read: {error}", code="mpc.behaviour",
                          hint="Write plain arithmetic and functions of m") from None  # fmt: skip
        if f.shape != (n, 1) or y.shape != (p, 1):
            raise Refused(f"{n} slopes and {p} outputs are needed, {f.shape[0]} and {y.shape[0]} "
                          "came", code="mpc.behaviour")  # fmt: skip
        f, y = f / casadi.DM(behaviour.scale), y / casadi.DM(behaviour.reach)
        self._n, self._m, self._p = n, m, p
        all_f = casadi.horzcat(f, casadi.jacobian(f, x), casadi.jacobian(f, u))
        all_y = casadi.horzcat(y, casadi.jacobian(y, x), casadi.jacobian(y, u))
        self._f = casadi.Function("f", [x, u], [casadi.densify(all_f)])
        self._y = casadi.Function("y", [x, u], [casadi.densify(all_y)])
        self._maps: dict[tuple[str, int], Any] = {}

    def at(self, x: Floats, u: Floats) -> tuple[Floats, Floats, Floats]:
        """Return slopes `(k, n)` and their derivatives `(k, n, n)`, `(k, n, m)` at k points."""
        return self._call("f", self._f, x, u, self._n)

    def seen(self, x: Floats, u: Floats) -> tuple[Floats, Floats, Floats]:
        """Return outputs `(k, p)` and their derivatives `(k, p, n)`, `(k, p, m)`."""
        return self._call("y", self._y, x, u, self._p)

    def _call(
        self, name: str, function: Any, x: Floats, u: Floats, rows: int
    ) -> tuple[Floats, Floats, Floats]:
        count, n = len(x), self._n
        if (name, count) not in self._maps:
            self._maps[name, count] = function.map(count)
        flat = np.asarray(self._maps[name, count](x.T, u.T).full())
        whole = flat.reshape(rows, count, 1 + n + self._m).transpose(1, 0, 2)
        return whole[:, :, 0], whole[:, :, 1 : 1 + n], whole[:, :, 1 + n :]


def _casadi() -> Any:
    try:
        import casadi
    except ImportError:
        raise Refused(
            "nonlinear control needs casadi, which is not installed",
            hint="Install the extra: pip install 'lineshaft[control]'", code="mpc.casadi",
        ) from None  # fmt: skip
    return casadi
