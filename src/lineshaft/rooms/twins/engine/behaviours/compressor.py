"""Compressor that fills a receiver: a quadratic map without surge, polytropic heating.

On the falling side of the map Π = 1 + Π0·n²·(1 - (m/(mc·n))²) with the relative speed n (the
parabolic map of Gravdahl, Egeland: Compressor Surge and Rotating Stall, ch. 2). The receiver, after
the cooler, holds V dp/dt = R·T1·(m - k·z·p): consumers take choked, critical flow. Discharge
temperature T2 = T1·Π^((κ-1)/(κ·η)) and power m·cp·(T2 - T1) by ISO 5389. With w = m/(mc·n) each
implicit stage (see `tank`) is a quadratic: any step is safe.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["COMPRESSOR"]

_GAMMA: Final = 1.0 - math.sqrt(0.5)


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step pressure by two implicit stages, then the sensor of the discharge with
    the mean of old and new pressure."""
    speed = max(u[0], 0.0) / p[2]
    suction = max(u[2], 1e-3)
    warmth = max(u[3] + 273.15, 1.0)
    demand = 0.01 * max(u[1], 0.0) * p[4]
    rise = suction * p[0] * speed * speed
    fill = 1e-5 * p[6] * warmth / p[5]
    known = x[0]
    for stage in range(2):
        step = _GAMMA * dt * fill
        damped = 1.0 + step * demand
        # The receiver's balance with p = suction + rise·(1 - w²) in it: a·w² + 2·b·w - c = 0.
        a = rise * damped
        b = 0.5 * step * p[1] * speed
        c = (suction + rise) * damped - known
        w = c / (b + math.sqrt(b * b + a * c)) if c > 0.0 and a > 0.0 else 0.0
        flow = p[1] * speed * min(w, 1.0)
        pressure = (known + step * flow) / damped
        if stage == 0:
            known = max(x[0] + (1.0 - _GAMMA) * dt * fill * (flow - demand * pressure), 0.0)
    ratio = max(0.5 * (x[0] + pressure) / suction, 1.0)
    hot = warmth * ratio ** ((p[7] - 1.0) / (p[7] * p[3])) - 273.15
    out[0] = max(pressure, 0.0)
    out[1] = hot + (x[1] - hot) * math.exp(-dt / p[8])


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show receiver pressure, flow, discharge temperature and power."""
    speed = max(u[0], 0.0) / p[2]
    suction = max(u[2], 1e-3)
    warmth = max(u[3] + 273.15, 1.0)
    ratio = max(x[0] / suction, 1.0)
    room = 1.0 - (ratio - 1.0) / (p[0] * speed * speed + 1e-12)
    flow = p[1] * speed * math.sqrt(max(room, 0.0))
    heat = 1e-3 * p[6] * p[7] / (p[7] - 1.0)
    y[0] = x[0]
    y[1] = flow
    y[2] = x[1]
    y[3] = flow * heat * warmth * (ratio ** ((p[7] - 1.0) / (p[7] * p[3])) - 1.0)


COMPRESSOR: Final = Behaviour(
    name="compressor",
    title="Compressor with receiver",
    source="Gravdahl, Egeland: Compressor Surge and Rotating Stall, ch. 2; ISO 5389",
    states=(
        State("pressure", "bar", 1.0, 5.0, 0.002, 0.0),
        State("discharge", "Cel", 20.0, 50.0, 0.02, -273.15),
    ),
    inputs=(
        Input("speed", "1/min", 0.0),
        Input("opening", "%", 50.0),
        Input("suction_pressure", "bar", 1.013),
        Input("suction_temperature", "Cel", 20.0),
    ),
    outputs=(
        Output("pressure", "bar", 0.02),
        Output("flow", "kg/s", 0.02),
        Output("discharge_temperature", "Cel", 0.5),
        Output("power", "kW", 2.0),
    ),
    parameters=(
        Parameter("pressure_rise", "1", 8.0, 0.01, 100.0,
                  text="Pressure ratio above 1 at rated speed without flow"),
        Parameter("choke_flow", "kg/s", 2.0, 1e-4, 1e4,
                  text="Mass flow at rated speed without pressure rise"),
        Parameter("rated_speed", "1/min", 10000.0, 10.0, 3e5, is_fitted=False,
                  text="Speed for which the map is given"),
        Parameter("efficiency", "1", 0.78, 0.3, 1.0, text="Polytropic efficiency; falls with dirt"),
        Parameter("demand", "kg/s/bar", 0.3, 1e-6, 1e3,
                  text="Flow that consumers take at full opening per bar of receiver pressure"),
        Parameter("volume", "m3", 5.0, 1e-3, 1e5, text="Volume of receiver and network"),
        Parameter("gas_constant", "J/kg/K", 287.05, 30.0, 4200.0, is_fitted=False,
                  text="Specific gas constant; 287.05 for dry air"),
        Parameter("heat_ratio", "1", 1.4, 1.05, 1.67, is_fitted=False,
                  text="Isentropic exponent; 1.4 for air"),
        Parameter("sensor_lag", "s", 15.0, 1e-2, 1e4, text="Time constant of the thermometer"),
    ),
    advance=advance,
    measure=measure,
    longest_s=5.0,
)  # fmt: skip
