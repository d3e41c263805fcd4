"""Centrifugal pump on its drive, with the system it feeds: curve and affinity laws.

Head H = H0·n² - (H0/Qr²)·Q² and shaft power P = P0·n³ + P1·n²·Q with the relative speed n obey the
affinity laws exactly (Gülich: Centrifugal Pumps, ch. 3 and 4). The water column in the pipe
follows I dQ/dt = H - Hs - k (Q/z)² behind a check valve; speed follows its set-point with a lag.
The step is implicit and of second order, each stage a quadratic (see `tank`): any step is safe.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["PUMP"]

_GAMMA: Final = 1.0 - math.sqrt(0.5)
_SHUT: Final = 1e-3


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step the speed exactly and the flow by two implicit stages."""
    opening = min(max(0.01 * u[1], _SHUT), 1.0)
    brake = p[0] / (p[1] * p[1]) + p[4] / (opening * opening)
    # From head (m) to change of flow (m3/h per s): inertance is in s2/m2.
    scale = 3600.0 / p[5]
    known = x[1]
    for stage in range(2):
        after = _GAMMA * dt if stage == 0 else dt
        out[0] = u[0] + (x[0] - u[0]) * math.exp(-after / p[8])
        speed = out[0] / p[2]
        push = scale * (p[0] * speed * speed - p[3])
        most = known + _GAMMA * dt * push
        hold = _GAMMA * dt * scale * brake
        # The positive root of hold·Q² + Q - most = 0; nothing flows back.
        flow = 0.0
        if most > 0.0:
            flow = 2.0 * most / (1.0 + math.sqrt(1.0 + 4.0 * hold * most))
        if stage == 0:
            known = x[1] + (1.0 - _GAMMA) * dt * (push - scale * brake * flow * flow)
            if flow == 0.0:
                known = 0.0
        else:
            out[1] = flow


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show speed, flow, head and shaft power."""
    speed = x[0] / p[2]
    y[0] = x[0]
    y[1] = x[1]
    y[2] = p[0] * (speed * speed - (x[1] / p[1]) * (x[1] / p[1]))
    y[3] = speed * speed * (p[6] * speed + p[7] * x[1])


PUMP: Final = Behaviour(
    name="pump",
    title="Centrifugal pump with drive and pipe",
    source="Gülich: Centrifugal Pumps, ch. 3 and 4; ISO 9906 for the curve",
    states=(
        State("speed", "1/min", 0.0, 1000.0, 0.5),
        State("flow", "m3/h", 0.0, 50.0, 0.02, 0.0),
    ),
    inputs=(
        Input("speed", "1/min", 0.0, delay="dead_time"),
        Input("opening", "%", 100.0),
    ),
    outputs=(
        Output("speed", "1/min", 2.0),
        Output("flow", "m3/h", 0.5),
        Output("head", "m", 0.2),
        Output("power", "kW", 0.1),
    ),
    parameters=(
        Parameter("shutoff_head", "m", 40.0, 0.1, 5000.0, text="Head at rated speed without flow"),
        Parameter("runout_flow", "m3/h", 120.0, 1e-3, 1e6,
                  text="Flow at rated speed at which the head is gone"),
        Parameter("rated_speed", "1/min", 1450.0, 10.0, 60000.0, is_fitted=False,
                  text="Speed for which head, flow and power are given"),
        Parameter("static_head", "m", 10.0, 0.0, 5000.0, text="Head to lift without flow"),
        Parameter("resistance", "m.h2/m6", 0.003, 1e-12, 1e6,
                  text="Friction head of the pipe at full opening over the flow squared"),
        Parameter("inertance", "s2/m2", 2000.0, 1.0, 1e7,
                  text="Length of the water column over its area and gravity"),
        Parameter("idle_power", "kW", 2.0, 1e-6, 1e5, text="Power at rated speed without flow"),
        Parameter("power_slope", "kW.h/m3", 0.08, 1e-6, 1e3,
                  text="Power per flow at rated speed; grows with wear"),
        Parameter("drive_lag", "s", 2.0, 1e-2, 600.0, text="Time constant of the drive"),
        Parameter("dead_time", "s", 0.0, 0.0, 60.0, text="Time until the drive answers"),
    ),
    advance=advance,
    measure=measure,
    longest_s=30.0,
)  # fmt: skip
