"""First-order lag with dead time: the plainest process there is.

τ dx/dt = K·u(t - θ) + b - x, solved exactly between samples with the input held (Seborg, Edgar,
Mellichamp, Doyle: Process Dynamics and Control, ch. 5-6).
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["LAG"]


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step exactly: x decays towards K·u + b with time constant τ."""
    decay = math.exp(-dt / p[1])
    out[0] = decay * x[0] + (1.0 - decay) * (p[0] * u[0] + p[2])


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the state."""
    y[0] = x[0]


LAG: Final = Behaviour(
    name="lag",
    title="First-order lag with dead time",
    source="Seborg, Edgar, Mellichamp, Doyle: Process Dynamics and Control, ch. 5-6",
    states=(State("level", "", 0.0, 1.0, 0.01),),
    inputs=(Input("drive", "", 0.0, delay="dead_time"),),
    outputs=(Output("level", "", 0.05),),
    parameters=(
        Parameter("gain", "", 1.0, -1e6, 1e6,
                  text="Change of the output per change of the input"),
        Parameter("time_constant", "s", 60.0, 1e-3, 1e7,
                  text="Time to 63 % of a change"),
        Parameter("bias", "", 0.0, -1e9, 1e9,
                  text="Output at rest without input"),
        Parameter("dead_time", "s", 0.0, 0.0, 86_400.0,
                  text="Time until a change of the input is seen at all"),
    ),
    advance=advance,
    measure=measure,
)  # fmt: skip
