"""Four tanks in two pairs, fed crosswise by two pumps: the laboratory plant of multivariable
control.

Mass balances with Torricelli outflow; each pump splits its flow between a lower tank and the upper
tank of the other pair (K. H. Johansson, IEEE Trans. Control Syst. Technol. 8 (2000) 456).
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["FOUR_TANKS"]

_TWICE_G: Final = 2.0 * 981.0  # cm/s2


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step by the midpoint rule; an empty tank gives nothing."""
    h0, h1, h2, h3 = x[0], x[1], x[2], x[3]
    for turn in range(2):
        from0 = p[0] * math.sqrt(_TWICE_G * max(h0, 0.0))
        from1 = p[1] * math.sqrt(_TWICE_G * max(h1, 0.0))
        from2 = p[2] * math.sqrt(_TWICE_G * max(h2, 0.0))
        from3 = p[3] * math.sqrt(_TWICE_G * max(h3, 0.0))
        first, second = p[8] * u[0], p[9] * u[1]
        step = dt if turn == 1 else 0.5 * dt
        h0 = x[0] + step * (from2 + p[10] * first - from0) / p[4]
        h1 = x[1] + step * (from3 + p[11] * second - from1) / p[5]
        h2 = x[2] + step * ((1.0 - p[11]) * second - from2) / p[6]
        h3 = x[3] + step * ((1.0 - p[10]) * first - from3) / p[7]
    out[0], out[1], out[2], out[3] = max(h0, 0.0), max(h1, 0.0), max(h2, 0.0), max(h3, 0.0)


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the two lower levels."""
    y[0] = x[0]
    y[1] = x[1]


FOUR_TANKS: Final = Behaviour(
    name="four-tanks",
    title="Four coupled tanks",
    source="K. H. Johansson, IEEE Trans. Control Syst. Technol. 8 (2000) 456",
    states=tuple(State(f"level_{i}", "cm", 10.0, 5.0, 0.02, 0.0) for i in range(1, 5)),
    inputs=(Input("pump_1", "V", 3.0), Input("pump_2", "V", 3.0)),
    outputs=(Output("level_1", "cm", 0.1), Output("level_2", "cm", 0.1)),
    parameters=(
        Parameter("outlet_1", "cm2", 0.071, 1e-4, 100.0,
                  text="Outlet area of tank 1"),
        Parameter("outlet_2", "cm2", 0.057, 1e-4, 100.0,
                  text="Outlet area of tank 2"),
        Parameter("outlet_3", "cm2", 0.071, 1e-4, 100.0,
                  text="Outlet area of tank 3"),
        Parameter("outlet_4", "cm2", 0.057, 1e-4, 100.0,
                  text="Outlet area of tank 4"),
        Parameter("area_1", "cm2", 28.0, 0.1, 1e6, is_fitted=False,
                  text="Cross-section of tank 1"),
        Parameter("area_2", "cm2", 32.0, 0.1, 1e6, is_fitted=False,
                  text="Cross-section of tank 2"),
        Parameter("area_3", "cm2", 28.0, 0.1, 1e6, is_fitted=False,
                  text="Cross-section of tank 3"),
        Parameter("area_4", "cm2", 32.0, 0.1, 1e6, is_fitted=False,
                  text="Cross-section of tank 4"),
        Parameter("pump_gain_1", "cm3/s/V", 3.33, 0.0, 1e5,
                  text="Flow of pump 1 per volt"),
        Parameter("pump_gain_2", "cm3/s/V", 3.35, 0.0, 1e5,
                  text="Flow of pump 2 per volt"),
        Parameter("split_1", "1", 0.7, 0.0, 1.0,
                  text="Share of pump 1 that goes to the lower tank 1"),
        Parameter("split_2", "1", 0.6, 0.0, 1.0,
                  text="Share of pump 2 that goes to the lower tank 2"),
    ),
    advance=advance,
    measure=measure,
    longest_s=5.0,
)  # fmt: skip
