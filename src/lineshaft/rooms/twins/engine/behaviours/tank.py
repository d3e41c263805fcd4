"""Tank: a level between an inflow and an outflow through an orifice or valve at its foot.

A dh/dt = q_in - c·z·√(2gh), Torricelli's law (White: Fluid Mechanics, ch. 3 and 6). The step
is implicit and of second order (R. Alexander, SIAM J. Numer. Anal. 14 (1977) 1006); with s = √h
each of its stages is a quadratic, so it is solved in closed form, never overshoots zero and stands
any step. What is more than the tank holds spills.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["TANK"]

_GAMMA: Final = 1.0 - math.sqrt(0.5)
_ROOT_2G: Final = math.sqrt(2.0 * 9.80665)


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step by two implicit stages; the first one's slope is known from what it changed."""
    opening = min(max(0.01 * u[1], 0.0), 1.0)
    drain = 1e-4 * p[1] * opening * _ROOT_2G / p[0]
    fill = u[0] / 3600.0 / p[0]
    known = x[0]
    for stage in range(2):
        most = known + _GAMMA * dt * fill
        half = 0.5 * _GAMMA * dt * drain
        # The positive root of s² + 2·half·s - most = 0, in the form that keeps its digits.
        root = 0.0
        if most > 0.0:
            root = most / (half + math.sqrt(half * half + most))
        level = root * root
        if stage == 0:
            known = x[0] + (1.0 - _GAMMA) * dt * (fill - drain * root)
            if root == 0.0:
                known = 0.0
        else:
            out[0] = min(level, p[2])


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the level and the flow out."""
    opening = min(max(0.01 * u[1], 0.0), 1.0)
    y[0] = x[0]
    y[1] = 3600.0 * 1e-4 * p[1] * opening * _ROOT_2G * math.sqrt(max(x[0], 0.0))


TANK: Final = Behaviour(
    name="tank",
    title="Tank with outflow through a valve",
    source="White: Fluid Mechanics, ch. 3 and 6",
    states=(State("level", "m", 1.0, 1.0, 1e-4, 0.0),),
    inputs=(
        Input("inflow", "m3/h", 0.0, delay="dead_time"),
        Input("opening", "%", 100.0),
    ),
    outputs=(Output("level", "m", 0.01), Output("outflow", "m3/h", 0.1)),
    parameters=(
        Parameter("area", "m2", 1.0, 1e-3, 1e5, text="Cross-section of the tank"),
        Parameter("orifice", "cm2", 10.0, 1e-3, 1e6,
                  text="Effective outlet area at full opening, discharge coefficient included"),
        Parameter("height", "m", 3.0, 0.01, 200.0, is_fitted=False,
                  text="Level at which the tank spills"),
        Parameter("dead_time", "s", 0.0, 0.0, 3600.0,
                  text="Time until a change of the inflow arrives"),
    ),
    advance=advance,
    measure=measure,
    longest_s=60.0,
)  # fmt: skip
