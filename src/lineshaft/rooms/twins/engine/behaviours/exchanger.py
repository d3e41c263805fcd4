"""Heat exchanger as two lumps: a hot and a cold stream that are mixed behind the wall.

Ch dTh/dt = mh·ch·(Th,in - Th) - UA·(Th - Tc) and the same for the cold side with +. The films on
both sides share the resistance and follow their flow, 1/UA ∝ ½(mh0/mh)^0.8 + ½(mc0/mc)^0.8
(Dittus-Boelter). Two linear equations with real rates: solved exactly while flows are held
(Bergman, Lavine, Incropera, DeWitt: Fundamentals of Heat and Mass Transfer, ch. 8.5 and 11).
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["EXCHANGER"]

_STILL: Final = 1e-6


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step exactly: the distance to the steady state goes through the matrix exponential."""
    hot = max(u[0], _STILL * p[5])
    cold = max(u[2], _STILL * p[6])
    ua = p[0] / (0.5 * (p[5] / hot) ** 0.8 + 0.5 * (p[6] / cold) ** 0.8)
    a = hot * p[3] / p[1]
    b = cold * p[4] / p[2]
    g = ua / p[1]
    h = ua / p[2]
    # The steady state is a mean of both inlets.
    pull = a * (b + h) / (a * b + a * h + g * b)
    draw = a * h / (a * b + a * h + g * b)
    far_hot = x[0] - (pull * u[1] + (1.0 - pull) * u[3])
    far_cold = x[1] - (draw * u[1] + (1.0 - draw) * u[3])
    middle = 0.5 * (a + g + b + h)
    skew = 0.5 * (a + g - b - h)
    split = math.sqrt(skew * skew + g * h)
    slow = (a * b + a * h + g * b) / (middle + split)
    first = math.exp(-slow * dt)
    second = math.exp(-(middle + split) * dt)
    mean = 0.5 * (first + second)
    gap = 2.0 * split * dt
    slope = first * dt * (-math.expm1(-gap) / gap if gap > 1e-9 else 1.0)
    out[0] = x[0] + (mean - slope * skew - 1.0) * far_hot + slope * g * far_cold
    out[1] = x[1] + (mean + slope * skew - 1.0) * far_cold + slope * h * far_hot


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show both outlets."""
    y[0] = x[0]
    y[1] = x[1]


EXCHANGER: Final = Behaviour(
    name="heat-exchanger",
    title="Heat exchanger, two lumps",
    source="Bergman, Lavine, Incropera, DeWitt: Fundamentals of Heat and Mass Transfer, ch. 8, 11",
    states=(
        State("hot_outlet", "Cel", 60.0, 30.0, 0.01),
        State("cold_outlet", "Cel", 40.0, 30.0, 0.01),
    ),
    inputs=(
        Input("hot_flow", "kg/s", 1.0),
        Input("hot_inlet", "Cel", 80.0),
        Input("cold_flow", "kg/s", 1.0),
        Input("cold_inlet", "Cel", 20.0),
    ),
    outputs=(Output("hot_outlet", "Cel", 0.1), Output("cold_outlet", "Cel", 0.1)),
    parameters=(
        Parameter("conductance", "kW/K", 5.0, 1e-4, 1e6,
                  text="UA at rated flows; falls with fouling"),
        Parameter("hot_capacity", "kJ/K", 60.0, 1e-3, 1e7,
                  text="Heat capacity of the hot side, wall included"),
        Parameter("cold_capacity", "kJ/K", 60.0, 1e-3, 1e7,
                  text="Heat capacity of the cold side, wall included"),
        Parameter("hot_heat", "kJ/kg/K", 4.19, 0.1, 20.0, is_fitted=False,
                  text="Specific heat of the hot medium"),
        Parameter("cold_heat", "kJ/kg/K", 4.19, 0.1, 20.0, is_fitted=False,
                  text="Specific heat of the cold medium"),
        Parameter("rated_hot_flow", "kg/s", 1.0, 1e-4, 1e5, is_fitted=False,
                  text="Hot flow at which the conductance is given"),
        Parameter("rated_cold_flow", "kg/s", 1.0, 1e-4, 1e5, is_fitted=False,
                  text="Cold flow at which the conductance is given"),
    ),
    advance=advance,
    measure=measure,
)  # fmt: skip
