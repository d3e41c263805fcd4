"""Buffer: parts between a station that brings and one that takes them, with room for so many.

Parts as a fluid, as in `station`: dL/dt = q·free/(free + k) - d·L/(L + k), with what is brought q,
what is asked for d, free = capacity - L: what is brought is held back when the buffer is full
(blocking), what is asked for is not given when it is empty (starvation); the clearing function is
that of U. Karmarkar, J. Manuf. Oper. Manag. 2 (1989) 105. The right side falls with L, so each
implicit stage (see `tank`) has one root, found by halving between empty and full.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["BUFFER"]

_GAMMA: Final = 1.0 - math.sqrt(0.5)
_HALVINGS: Final = 52


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step the level by two implicit stages."""
    brought = max(u[0], 0.0) / 3600.0
    asked = max(u[1], 0.0) / 3600.0
    known = min(max(x[0], 0.0), p[0])
    start = known
    level = known
    for stage in range(2):
        low, high = 0.0, p[0]
        for _ in range(_HALVINGS):
            level = 0.5 * (low + high)
            free = p[0] - level
            slope = brought * free / (free + p[1]) - asked * level / (level + p[1])
            if level - known - _GAMMA * dt * slope > 0.0:
                high = level
            else:
                low = level
        if stage == 0:
            known = start + (1.0 - _GAMMA) / _GAMMA * (level - known)
            known = min(max(known, 0.0), p[0])
    out[0] = level


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show the level, what is taken and what is let in."""
    level = min(max(x[0], 0.0), p[0])
    free = p[0] - level
    y[0] = level
    y[1] = max(u[1], 0.0) * level / (level + p[1])
    y[2] = max(u[0], 0.0) * free / (free + p[1])


BUFFER: Final = Behaviour(
    name="buffer",
    title="Buffer between two stations",
    source="U. Karmarkar, J. Manuf. Oper. Manag. 2 (1989) 105; "
           "Y. Dallery, S. Gershwin, Queueing Syst. 12 (1992) 3",
    states=(State("level", "1", 5.0, 5.0, 0.02, 0.0),),
    inputs=(Input("inflow", "1/h", 60.0, delay="transport"), Input("demand", "1/h", 60.0)),
    outputs=(
        Output("level", "1", 0.5),
        Output("outflow", "1/h", 2.0),
        Output("accepted", "1/h", 2.0),
    ),
    parameters=(
        Parameter("capacity", "1", 20.0, 0.1, 1e6, text="Parts that the buffer holds"),
        Parameter("half_load", "1", 0.5, 1e-3, 1e4,
                  text="Parts, or free places, at which half of what is asked for goes through"),
        Parameter("transport", "s", 0.0, 0.0, 3600.0, text="Time a part travels to the buffer"),
    ),
    advance=advance,
    measure=measure,
    longest_s=30.0,
)  # fmt: skip
