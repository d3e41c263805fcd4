"""Conveyor: parts on a belt between two stations, which arrive after the time the belt takes.

A pure dead time and, behind it, a chain of cells through which parts flow with the belt: cell i
holds n_i, dn_i/dt = f_(i-1) - f_i, f_i = c·v/l·n_i with c cells over the length l (the linear chain
of N. MacDonald, Time Lags in Biological Models, 1978: its transit time has the mean l/v and the
spread l/(v·√c)). A belt that stands keeps what it carries. Implicit stages as in `tank`, in which
each cell follows from the one before it; what a stage would take beyond what is there stays.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["CONVEYOR"]

_CELLS: Final = 8
_GAMMA: Final = 1.0 - math.sqrt(0.5)


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step the cells from the first to the last by two implicit stages."""
    pace = _CELLS * max(u[1], 0.0) / 60.0 * min(max(u[2], 0.0), 1.0) / p[0]
    fed = max(u[0], 0.0) / 3600.0
    damped = 1.0 + _GAMMA * dt * pace
    before, middle = fed, fed  # what flows in, at the first stage and at the second
    for i in range(_CELLS):
        first = (x[i] + _GAMMA * dt * before) / damped
        known = max(x[i] + (1.0 - _GAMMA) * dt * (before - pace * first), 0.0)
        last = (known + _GAMMA * dt * middle) / damped
        before, middle = pace * first, pace * last
        out[i] = last


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show what arrives and what lies on the belt."""
    pace = _CELLS * max(u[1], 0.0) / 60.0 * min(max(u[2], 0.0), 1.0) / p[0]
    load = 0.0
    for i in range(_CELLS):
        load += max(x[i], 0.0)
    y[0] = 3600.0 * pace * max(x[_CELLS - 1], 0.0)
    y[1] = load


CONVEYOR: Final = Behaviour(
    name="conveyor",
    title="Conveyor with transport delay",
    source="N. MacDonald: Time Lags in Biological Models, 1978 (linear chain); "
           "Seborg, Edgar, Mellichamp, Doyle: Process Dynamics and Control, ch. 6",
    states=tuple(State(f"cell_{i}", "1", 0.5, 0.5, 0.003, 0.0) for i in range(1, _CELLS + 1)),
    inputs=(
        Input("inflow", "1/h", 60.0, delay="dead_time"),
        Input("belt_speed", "m/min", 10.0),
        Input("running", "1", 1.0),
    ),
    outputs=(Output("outflow", "1/h", 2.0), Output("load", "1", 0.3)),
    parameters=(
        Parameter("length", "m", 20.0, 0.01, 1e5, text="Way of a part on the belt"),
        Parameter("dead_time", "s", 0.0, 0.0, 3600.0,
                  text="Time that a part waits before and behind the belt, whatever its speed"),
    ),
    advance=advance,
    measure=measure,
    longest_s=3.0,
)  # fmt: skip
