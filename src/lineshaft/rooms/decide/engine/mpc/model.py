"""The linear model that a controller predicts with.

Rules: one step is one period of the loop. `x+ = A x + B u`, `y = C x + D u`, all as changes from
any point of rest: levels do not matter, since only differences are predicted from (velocity form).
`y` of a period is what the loop reads at its end, after `u` was in force from its beginning. A
model of values at instants (`y = C x`, read before `u` is put in force) becomes one by
`at_instants`. A mode outside the unit circle is Refused; one on it (a level that integrates) is
welcome.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats

__all__ = ["Model"]


@dataclass(frozen=True, slots=True)
class Model:
    """Names of inputs (m) and outputs (p); a (n, n), b (n, m), c (p, n), d (p, m)."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    a: Floats
    b: Floats
    c: Floats
    d: Floats
    period_h: float

    def __post_init__(self) -> None:
        n, m, p = len(self.a), len(self.inputs), len(self.outputs)
        shapes = (self.a.shape, self.b.shape, self.c.shape, self.d.shape)
        if shapes != ((n, n), (n, m), (p, n), (p, m)) or not (m and p):
            raise Refused(
                f"matrices of the shapes {shapes} do not fit {m} inputs and {p} outputs",
                hint="Give a (n, n), b (n, inputs), c (outputs, n), d (outputs, inputs)",
                code="mpc.model",
            )
        if not all(np.isfinite(each).all() for each in (self.a, self.b, self.c, self.d)):
            raise Refused("the model holds values that are not finite", code="mpc.model")
        if len(set(self.inputs)) < m or len(set(self.outputs)) < p or not self.period_h > 0:
            raise Refused("the model names a signal twice, or has no period", code="mpc.model")
        if n and np.abs(np.linalg.eigvals(self.a)).max() > 1 + 1e-6:
            raise Refused(
                "the model runs away by itself: a mode lies outside the unit circle",
                hint="Stabilise the plant by its own controllers first, and model what is left",
                code="mpc.unstable",
            )

    @classmethod
    def of(cls, told: Any) -> "Model":
        """Return the model that a setting tells, as a Model or as a mapping of its fields."""
        if isinstance(told, Model):
            return told
        if not isinstance(told, Mapping) or set(told) != set(cls.__slots__):
            raise Refused(
                "the model is not told whole", code="mpc.model",
                hint=f"Give {', '.join(cls.__slots__)}",
            )  # fmt: skip
        try:
            a, b, c, d = (np.array(told[key], np.float64) for key in "abcd")
            period_h = float(told["period_h"])
        except (TypeError, ValueError) as error:
            raise Refused(f"the model is no matrix of numbers: {error}", code="mpc.model") from None
        inputs, outputs = tuple(map(str, told["inputs"])), tuple(map(str, told["outputs"]))
        m, p = len(inputs), len(outputs)
        a = a.reshape(0, 0) if a.size == 0 else a
        b, c = (b.reshape(0, m), c.reshape(p, 0)) if not len(a) else (b, c)
        return cls(inputs, outputs, a, b, c, d, period_h)

    @classmethod
    def at_instants(
        cls, inputs: Sequence[str], outputs: Sequence[str], a: Floats, b: Floats, c: Floats,
        period_h: float,
    ) -> "Model":  # fmt: skip
        """Return the model of a plant sampled at instants, `y = C x`, as read a period later."""
        return cls(tuple(inputs), tuple(outputs), a, b, c @ a, c @ b, period_h)

    def ordered(self, inputs: Sequence[str]) -> "Model":
        """Return the same model with its inputs in this order; Refused where they differ."""
        if set(inputs) != set(self.inputs):
            odd = sorted(set(inputs) ^ set(self.inputs))
            raise Refused(
                f"the handles of the loop and the inputs of the model differ in {odd}",
                hint="Give a model of exactly the handles", code="mpc.inputs",
            )  # fmt: skip
        at = [self.inputs.index(key) for key in inputs]
        b, d = self.b[:, at], self.d[:, at]
        return Model(tuple(inputs), self.outputs, self.a, b, self.c, d, self.period_h)

    def steps(self, count: int) -> Floats:
        """Return the step responses `(count, p, m)`: outputs after 1 … count periods of a step."""
        x, total = np.zeros_like(self.b), np.zeros((count, *self.d.shape))
        for k in range(count):
            total[k] = self.c @ x + self.d
            x = self.a @ x + self.b
        return total
