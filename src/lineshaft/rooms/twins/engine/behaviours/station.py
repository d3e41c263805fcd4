"""Station of a line: a conveyor brings parts to a buffer, a machine that may be down takes them on.

Parts as a fluid: dL/dt = inflow - μ, throughput μ = r·a·L/(L + k)·free/(free + k): starved by its
own buffer through a clearing function (U. Karmarkar, J. Manuf. Oper. Manag. 2 (1989) 105), blocked
by the next one's. Availability relaxes to MTBF/(MTBF + MTTR) as the mean of a machine that fails
and is repaired (Y. Dallery, S. Gershwin, Queueing Syst. 12 (1992) 3). The throughput of a station
is the inflow of the next, whose level blocks it. Implicit stages in closed form, as in `tank`.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["STATION"]

_GAMMA: Final = 1.0 - math.sqrt(0.5)


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step availability exactly and the buffer by two implicit stages."""
    rate = 1.0 / p[4] + 1.0 / p[5]
    settled = p[4] / (p[4] + p[5])
    free = max(p[3] - u[1], 0.0)
    able = p[0] / 3600.0 * min(max(u[2], 0.0), 1.0) * free / (free + p[1])
    fill = max(u[0], 0.0) / 3600.0
    known = x[0]
    for stage in range(2):
        after = _GAMMA * dt if stage == 0 else dt
        out[1] = settled + (x[1] - settled) * math.exp(-after * rate)
        pace = able * min(max(out[1], 0.0), 1.0)
        most = known + _GAMMA * dt * fill
        # The positive root of L² + 2·half·L - k·most = 0, in the form that keeps its digits.
        half = 0.5 * (p[1] + _GAMMA * dt * pace - most)
        root = math.sqrt(half * half + p[1] * max(most, 0.0))
        level = root - half if half < 0.0 else p[1] * max(most, 0.0) / (root + half)
        if stage == 0:
            known = x[0] + (1.0 - _GAMMA) * dt * (fill - pace * level / (level + p[1]))
            known = max(known, 0.0)
        else:
            out[0] = min(level, p[2])


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the level and the throughput, both in parts."""
    free = max(p[3] - u[1], 0.0)
    able = p[0] * min(max(u[2], 0.0), 1.0) * free / (free + p[1])
    level = max(x[0], 0.0)
    y[0] = x[0]
    y[1] = able * min(max(x[1], 0.0), 1.0) * level / (level + p[1])


STATION: Final = Behaviour(
    name="station",
    title="Conveyor, buffer and station of a line",
    source="U. Karmarkar, J. Manuf. Oper. Manag. 2 (1989) 105; "
           "Y. Dallery, S. Gershwin, Queueing Syst. 12 (1992) 3",
    states=(
        State("level", "1", 5.0, 5.0, 0.02, 0.0),
        State("availability", "1", 0.9, 0.2, 0.002, 0.0, 1.0),
    ),
    inputs=(
        Input("inflow", "1/h", 60.0, delay="transport"),
        Input("next_level", "1", 0.0),
        Input("running", "1", 1.0),
    ),
    outputs=(Output("level", "1", 0.5), Output("throughput", "1/h", 2.0)),
    parameters=(
        Parameter("rate", "1/h", 100.0, 1e-3, 1e6, text="Parts per hour when it never waits"),
        Parameter("half_load", "1", 1.0, 1e-3, 1e4,
                  text="Parts in the buffer at which half the rate is reached"),
        Parameter("capacity", "1", 20.0, 0.1, 1e6, is_fitted=False,
                  text="Parts that the buffer holds"),
        Parameter("next_capacity", "1", 20.0, 0.1, 1e9, is_fitted=False,
                  text="Parts that the next buffer holds"),
        Parameter("between_failures", "s", 36_000.0, 1.0, 1e8, is_fitted=False,
                  text="Mean time between failures"),
        Parameter("to_repair", "s", 1_800.0, 0.1, 1e7, is_fitted=False,
                  text="Mean time to repair"),
        Parameter("transport", "s", 0.0, 0.0, 3600.0, text="Time a part travels on the conveyor"),
    ),
    advance=advance,
    measure=measure,
    longest_s=60.0,
)  # fmt: skip
