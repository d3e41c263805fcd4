"""Thermal mass: a heated body that loses heat to its surroundings, seen through a slow sensor.

Lumped capacitance C dT/dt = P - UA (T - Ta); the sensor follows with τ dS/dt = T - S. Both are
solved exactly between samples (Bergman, Lavine, Incropera, DeWitt: Fundamentals of Heat and Mass
Transfer, ch. 5.1-5.3).
"""

import math
from typing import Any, Final

import numpy as np

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["THERMAL"]


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step exactly: the body relaxes at the rate a = UA/C, the sensor at b = 1/τ."""
    capacity = 1000.0 * p[0]
    a = p[1] / capacity
    b = 1.0 / p[2]
    slope = (1000.0 * u[0] - p[1] * (x[0] - u[1])) / capacity
    held = -math.expm1(-a * dt) / a
    # (exp(-at) - exp(-bt)) / (b - a) without loss of digits where both rates are close.
    gap = abs(b - a) * dt
    share = -math.expm1(-gap) / gap if gap > 1e-9 else 1.0
    dragged = math.exp(-min(a, b) * dt) * dt * share
    out[0] = x[0] + slope * held
    out[1] = out[0] + (x[1] - x[0]) * math.exp(-b * dt) - slope * dragged


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the sensor."""
    y[0] = x[1]


def sensor_is_faster(p: Any) -> Any:
    """Give the shorter of the two lags to the sensor: in series they show the same either way."""
    body, sensor = 1000.0 * p[0] / p[1], p[2]
    return p if sensor <= body else np.array([sensor * p[1] / 1000.0, p[1], body, p[3]])


THERMAL: Final = Behaviour(
    name="thermal-mass",
    title="Heated thermal mass",
    source="Bergman, Lavine, Incropera, DeWitt: Fundamentals of Heat and Mass Transfer, ch. 5",
    states=(
        State("body", "Cel", 20.0, 20.0, 0.005),
        State("sensor", "Cel", 20.0, 20.0, 0.001),
    ),
    inputs=(
        Input("power", "kW", 0.0, delay="dead_time"),
        Input("surroundings", "Cel", 20.0),
    ),
    outputs=(Output("temperature", "Cel", 0.1),),
    parameters=(
        Parameter("heat_capacity", "kJ/K", 50.0, 1e-3, 1e8,
                  text="Heat that warms the body by one kelvin"),
        Parameter("heat_loss", "W/K", 20.0, 1e-3, 1e7,
                  text="Heat lost per kelvin above the surroundings"),
        Parameter("sensor_lag", "s", 10.0, 1e-2, 1e4,
                  text="Time constant of the sensor in its well"),
        Parameter("dead_time", "s", 0.0, 0.0, 3600.0,
                  text="Time until a change of power is felt"),
    ),
    advance=advance,
    measure=measure,
    canonical=sensor_is_faster,
)  # fmt: skip
