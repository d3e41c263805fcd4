"""Rotating machine in a bearing: speed, bearing temperature, and vibration that grows with wear.

J dω/dt = Md - Ml·ω/√(ω² + 1) - b·ω, a load that only resists, (Krämer: Dynamics of Rotors and
Foundations, ch. 1); the bearing warms by its friction b·ω² and cools to its surroundings (ISO
15312). Vibration velocity at rated speed grows exponentially with the revolutions run (N. Gebraeel
et al., IIE Trans. 37 (2005) 543); it is in proportion to speed, as the e·ω of ISO 21940-11.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["ROTOR"]

_RAD_S: Final = math.pi / 30.0


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step speed with the resistance of half-way, then temperature and wear exactly."""
    load = max(u[1], 0.0)
    start = x[0] * _RAD_S
    speed = start
    for half in range(2):
        brake = p[1] + load / math.sqrt(speed * speed + 1.0)
        decay = -math.expm1(-(1.0 + half) * 0.5 * dt * brake / p[0])
        speed = start + (u[0] / brake - start) * decay
        if half == 0:
            middle = speed
    capacity = 1000.0 * p[2]
    slope = (p[1] * middle * middle - p[3] * (x[1] - u[2])) / capacity
    run = abs(middle) / (_RAD_S * p[4])
    out[0] = speed / _RAD_S
    out[1] = x[1] + slope * -math.expm1(-dt * p[3] / capacity) * capacity / p[3]
    out[2] = min(x[2] * math.exp(min(p[5] * run * dt / 3600.0, 50.0)), 1e4)


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show speed, bearing temperature and vibration at this speed."""
    y[0] = x[0]
    y[1] = x[1]
    y[2] = x[2] * abs(x[0]) / p[4]


ROTOR: Final = Behaviour(
    name="rotating-machine",
    title="Rotating machine with bearing",
    source="Krämer: Dynamics of Rotors and Foundations, ch. 1; ISO 15312; ISO 21940-11; "
           "N. Gebraeel et al., IIE Trans. 37 (2005) 543",
    states=(
        State("speed", "1/min", 0.0, 1000.0, 0.5),
        State("bearing", "Cel", 20.0, 20.0, 0.005),
        State("vibration", "mm/s", 1.0, 1.0, 1e-4, 1e-3, 1e4),
    ),
    inputs=(
        Input("drive_torque", "N.m", 0.0),
        Input("load_torque", "N.m", 0.0),
        Input("surroundings", "Cel", 20.0),
    ),
    outputs=(
        Output("speed", "1/min", 2.0),
        Output("bearing", "Cel", 0.2),
        Output("vibration", "mm/s", 0.05),
    ),
    parameters=(
        Parameter("inertia", "kg.m2", 2.0, 1e-6, 1e7,
                  text="Moment of inertia of everything on the shaft"),
        Parameter("friction", "N.m.s", 0.02, 1e-9, 1e5,
                  text="Viscous friction torque of the bearing per angular speed"),
        Parameter("bearing_capacity", "kJ/K", 2.0, 1e-3, 1e5,
                  text="Heat that warms bearing and housing by one kelvin"),
        Parameter("bearing_cooling", "W/K", 10.0, 1e-3, 1e5,
                  text="Heat lost per kelvin above the surroundings"),
        Parameter("rated_speed", "1/min", 1500.0, 10.0, 1e5, is_fitted=False,
                  text="Speed for which vibration is given"),
        Parameter("wear_rate", "1/h", 1e-3, 0.0, 10.0,
                  text="Growth of vibration per hour at rated speed"),
    ),
    advance=advance,
    measure=measure,
    longest_s=5.0,
)  # fmt: skip
