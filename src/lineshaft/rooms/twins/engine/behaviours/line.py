"""Line: three stations in a row, each behind its buffer, joined by conveyors.

Station i takes μ_i = r_i·a_i·run_i·L_i/(L_i + k)·free/(free + k) parts from its buffer, free being
the places of the next one: starved, blocked and failing as in `station`. What it puts out lies on a
conveyor, db/dt = μ - b/τ, before it reaches the next buffer. A step goes down the line twice by
half its length: each level in closed form with what flows in held, each belt exactly; what leaves
one place is what comes to the next, so no part is lost or made; only the first buffer, when it is
full, turns parts away.
"""

import math
from typing import Any, Final

from lineshaft.rooms.twins.engine.behaviour import Behaviour, Input, Output, Parameter, State

__all__ = ["LINE"]

_STATIONS: Final = 3
# Where things stand: states are levels, belts, availabilities; parameters three by three.
_BELT: Final = _STATIONS
_READY: Final = 2 * _STATIONS - 1
_HALF: Final = _STATIONS
_CAPACITY: Final = _STATIONS + 1
_WAY: Final = 2 * _STATIONS + 1
_BETWEEN: Final = 3 * _STATIONS
_REPAIR: Final = 4 * _STATIONS


def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
    """Step down the line, twice by half of `dt`."""
    for i in range(3 * _STATIONS - 1):
        out[i] = max(x[i], 0.0)
    half = p[_HALF]
    step = 0.5 * dt
    for _ in range(2):
        fill = max(u[0], 0.0) / 3600.0
        for i in range(_STATIONS):
            rate = 1.0 / p[_BETWEEN + i] + 1.0 / p[_REPAIR + i]
            settled = p[_BETWEEN + i] / (p[_BETWEEN + i] + p[_REPAIR + i])
            ready = settled + (out[_READY + i] - settled) * math.exp(-step * rate)
            out[_READY + i] = ready
            able = p[i] / 3600.0 * min(max(u[1 + i], 0.0), 1.0) * min(max(ready, 0.0), 1.0)
            if i < _STATIONS - 1:
                free = max(p[_CAPACITY + i + 1] - out[i + 1] - out[_BELT + i], 0.0)
                able *= free / (free + half)
            # The positive root of L² + 2·b·L - k·most = 0, in the form that keeps its digits.
            most = out[i] + step * fill
            b = 0.5 * (half + step * able - most)
            root = math.sqrt(b * b + half * most)
            level = root - b if b < 0.0 else half * most / (root + b)
            level = min(level, most)
            done = most - level
            out[i] = min(level, p[_CAPACITY + i])
            if i < _STATIONS - 1:
                share = step / p[_WAY + i]
                kept = math.exp(-share)
                # A belt with parts laid on it evenly: the mean of what leaves is exact.
                stays = done * (-math.expm1(-share) / share) if share > 1e-9 else done
                belt = out[_BELT + i] * kept + stays
                fill = max(out[_BELT + i] + done - belt, 0.0) / step
                out[_BELT + i] = belt


def measure(x: Any, u: Any, p: Any, y: Any) -> None:
    """Show levels and throughputs."""
    half = p[_HALF]
    for i in range(_STATIONS):
        level = max(x[i], 0.0)
        able = p[i] * min(max(u[1 + i], 0.0), 1.0) * min(max(x[_READY + i], 0.0), 1.0)
        if i < _STATIONS - 1:
            free = max(p[_CAPACITY + i + 1] - max(x[i + 1], 0.0) - max(x[_BELT + i], 0.0), 0.0)
            able *= free / (free + half)
        y[i] = x[i]
        y[_STATIONS + i] = able * level / (level + half)


def _each(make: Any, count: int = _STATIONS, first: int = 1) -> tuple[Any, ...]:
    return tuple(make(number) for number in range(first, first + count))


LINE: Final = Behaviour(
    name="production-line",
    title="Line of three stations with buffers and conveyors",
    source="U. Karmarkar, J. Manuf. Oper. Manag. 2 (1989) 105; "
           "Y. Dallery, S. Gershwin, Queueing Syst. 12 (1992) 3",
    states=(
        *_each(lambda i: State(f"level_{i}", "1", 5.0, 5.0, 0.02, 0.0)),
        *_each(lambda i: State(f"belt_{i}", "1", 1.0, 2.0, 0.01, 0.0), _STATIONS - 1, 2),
        *_each(lambda i: State(f"availability_{i}", "1", 0.95, 0.1, 0.002, 0.0, 1.0)),
    ),
    inputs=(
        Input("infeed", "1/h", 60.0, delay="transport"),
        *_each(lambda i: Input(f"running_{i}", "1", 1.0)),
    ),
    outputs=(
        *_each(lambda i: Output(f"level_{i}", "1", 0.5)),
        *_each(lambda i: Output(f"throughput_{i}", "1/h", 2.0)),
    ),
    parameters=(
        *_each(lambda i: Parameter(f"rate_{i}", "1/h", 100.0, 1e-3, 1e6,
                                   text=f"Parts per hour of station {i} when it never waits")),
        Parameter("half_load", "1", 1.0, 1e-3, 1e4,
                  text="Parts, or free places, at which half the rate is reached"),
        *_each(lambda i: Parameter(f"capacity_{i}", "1", 20.0, 0.1, 1e6, is_fitted=i > 1,
                                   text=f"Parts that buffer {i} and the conveyor to it hold")),
        *_each(lambda i: Parameter(f"transport_{i}", "s", 60.0, 0.1, 3600.0,
                                   text=f"Time of a part on the conveyor to buffer {i}"),
               _STATIONS - 1, 2),
        *_each(lambda i: Parameter(f"between_failures_{i}", "s", 36_000.0, 1.0, 1e8,
                                   is_fitted=False, text=f"Mean time between failures of {i}")),
        *_each(lambda i: Parameter(f"to_repair_{i}", "s", 1_800.0, 0.1, 1e7, is_fitted=False,
                                   text=f"Mean time to repair of {i}")),
        Parameter("transport", "s", 0.0, 0.0, 3600.0, text="Time of a part to the first buffer"),
    ),
    advance=advance,
    measure=measure,
    longest_s=15.0,
)  # fmt: skip
