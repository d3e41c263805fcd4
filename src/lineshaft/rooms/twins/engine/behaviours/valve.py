"""Control valve: a positioner without stiction and the flow through the trim.

The stem follows its command with τ dz/dt = r - z, solved exactly. Flow by IEC 60534-2-1 (turbulent,
incompressible, not choked): q = Kv·f(z)·√(Δp/G), with the inherent characteristic of IEC 60534-2-4
as f(z) = (R^z - 1)/(R - 1): R → 1 is linear, R = 50 equal percentage with tight shut-off, R < 1
quick opening. Near Δp = 0 the root is rounded off as in laminar flow.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["VALVE"]

_LAMINAR_BAR: Final = 1e-3


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step exactly: the stem approaches the command, which ends at the stops."""
    command = min(max(u[0], 0.0), 100.0)
    out[0] = command + (x[0] - command) * math.exp(-dt / p[0])


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the stem and the flow; the flow turns with the pressure difference."""
    travel = min(max(0.01 * x[0], 0.0), 1.0)
    bend = math.log(p[2])
    share = travel
    if abs(bend) > 1e-8:
        share = math.expm1(bend * travel) / math.expm1(bend)
    drop = u[1] - u[2]
    y[0] = x[0]
    y[1] = p[1] * share * drop / math.sqrt(p[3] * math.sqrt(drop * drop + _LAMINAR_BAR**2))


VALVE: Final = Behaviour(
    name="valve",
    title="Control valve with positioner",
    source="IEC 60534-2-1 and IEC 60534-2-4",
    states=(State("stem", "%", 50.0, 50.0, 0.05, 0.0, 100.0),),
    inputs=(
        Input("command", "%", 50.0, delay="dead_time"),
        Input("upstream", "bar", 2.0),
        Input("downstream", "bar", 1.0),
    ),
    outputs=(Output("stem", "%", 0.5), Output("flow", "m3/h", 0.2)),
    parameters=(
        Parameter("time_constant", "s", 3.0, 1e-2, 600.0, text="Time constant of the positioner"),
        Parameter("flow_coefficient", "m3/h", 25.0, 1e-4, 1e5,
                  text="Kv: flow of water through the open valve at 1 bar"),
        Parameter("rangeability", "1", 50.0, 0.01, 500.0,
                  text="R of the characteristic; 1 is linear, 50 equal percentage"),
        Parameter("relative_density", "1", 1.0, 0.05, 20.0, is_fitted=False,
                  text="Density of the fluid over that of water"),
        Parameter("dead_time", "s", 0.0, 0.0, 60.0, text="Time until the positioner answers"),
    ),
    advance=advance,
    measure=measure,
)  # fmt: skip
