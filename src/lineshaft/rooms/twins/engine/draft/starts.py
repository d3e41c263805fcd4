"""Starts: figures of a machine read straight off its samples, from which a fit begins.

Rules: each is what the behaviour's own equation says of the median of the samples, so it is of the
right size even where the form's own figure is not; what is only a reference (a rated speed, a rated
flow) is chosen here from what was seen and is not fitted. Ports without a signal are NaN columns;
a figure that they would tell stays the form's.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from lineshaft.rooms.twins.engine.behaviour import Behaviour

__all__ = ["REFERENCES", "starts_of"]

Floats = NDArray[np.float64]
Ports = Mapping[str, Floats]

REFERENCES: Final[Mapping[str, tuple[str, ...]]] = {
    "tank": ("height",), "pump": ("rated_speed",), "compressor": ("rated_speed",),
    "heat-exchanger": ("rated_hot_flow", "rated_cold_flow"), "rotating-machine": ("rated_speed",),
    "station": ("capacity", "next_capacity"), "buffer": ("capacity",),
}  # fmt: skip
_TWICE_G: Final = 2.0 * 9.80665
_STILL: Final = 1e-9


def starts_of(
    behaviour: Behaviour, seconds: Floats, inputs: Ports, outputs: Ports
) -> dict[str, float]:
    """Return figures by parameter, inside the form's bounds; `inputs` and `outputs` are columns
    `(T,)` in the ports' units by port."""
    find = _FINDERS.get(behaviour.name)
    if find is None:
        return {}
    with np.errstate(all="ignore"):
        found = find(_Seen(seconds, inputs, outputs))
    bounds = {one.name: (one.low, one.high) for one in behaviour.parameters}
    return {name: float(np.clip(value, *bounds[name]))
            for name,
            value in found.items() if name in bounds and math.isfinite(value)}  # fmt: skip


class _Seen:
    """The samples of a machine by port; a port without any gives NaN."""

    def __init__(self, seconds: Floats, inputs: Ports, outputs: Ports) -> None:
        self.seconds, self._inputs, self._outputs = seconds, inputs, outputs
        self._none = np.full(len(seconds), math.nan)

    def u(self, port: str, default: float = math.nan) -> Floats:
        """Return an input, its default where there is no signal."""
        column = self._inputs.get(port, self._none)
        return np.where(np.isfinite(column), column, default)

    def y(self, port: str) -> Floats:
        """Return an output."""
        return self._outputs.get(port, self._none)

    def lag(self, drive: Floats, level: Floats) -> tuple[float, float, float]:
        """Return gain, bias and time constant of the lag that tells `level` best."""
        known = np.isfinite(drive) & np.isfinite(level)
        span = float(self.seconds[-1] - self.seconds[0])
        step = span / max(len(self.seconds) - 1, 1)
        if known.sum() < 10 or not np.ptp(drive[known]) > _STILL:
            return math.nan, math.nan, math.nan
        held = np.where(known, drive, np.median(drive[known]))
        best = (math.inf, math.nan, math.nan, math.nan)
        for tau in np.geomspace(0.3 * step, span / 3, 24):
            keep = math.exp(-step / tau)
            slow = lfilter([0.0, 1 - keep], [1.0, -keep], held - held[0]) + held[0]
            own = np.column_stack([slow[known], np.ones(int(known.sum()))])
            rule, *_ = np.linalg.lstsq(own, level[known], rcond=None)
            left = float(np.mean((level[known] - own @ rule) ** 2))
            if left < best[0]:
                best = left, float(rule[0]), float(rule[1]), float(tau)
        return best[1], best[2], best[3]


def _middle(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _most(values: Floats, share: float = 0.98) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if known.size else math.nan


def _slope(seen: _Seen, level: Floats, pushed: Floats) -> float:
    """Return how much a level rises per second and unit of what is pushed in."""
    at = np.arange(0, len(level), max(1, len(level) // 200))
    run = np.cumsum(np.nan_to_num(pushed) * np.diff(seen.seconds, prepend=seen.seconds[0]))
    rise, filled = np.diff(level[at]), np.diff(run[at])
    known = np.isfinite(rise) & np.isfinite(filled)
    return float(rise[known] @ filled[known] / max(float(filled[known] @ filled[known]), 1e-300))


def _lag(seen: _Seen) -> dict[str, float]:
    gain, bias, tau = seen.lag(seen.u("drive"), seen.y("level"))
    return {"gain": gain, "bias": bias, "time_constant": tau}


def _thermal(seen: _Seen) -> dict[str, float]:
    warm = seen.y("temperature") - seen.u("surroundings", 20.0)
    gain, _, tau = seen.lag(seen.u("power"), warm)
    loss = 1000.0 / gain if gain > 0 else math.nan
    return {"heat_loss": loss, "heat_capacity": tau * loss / 1000.0}


def _tank(seen: _Seen) -> dict[str, float]:
    level, opening = seen.y("level"), 0.01 * seen.u("opening", 100.0)
    root = opening * np.sqrt(_TWICE_G * np.maximum(level, 1e-9))
    out, into = seen.y("outflow"), seen.u("inflow", 0.0)
    shown = out if np.isfinite(out).any() else into
    orifice = _middle(shown / 3600.0 / np.where(root > 0, root, math.nan)) * 1e4
    drained = out if np.isfinite(out).any() else 3600.0 * 1e-4 * orifice * root
    rise = _slope(seen, level, (into - drained) / 3600.0)
    return {"orifice": orifice, "area": 1.0 / rise if rise > 0 else math.nan,
            "height": 1.05 * _most(level, 1.0)}  # fmt: skip


def _valve(seen: _Seen) -> dict[str, float]:
    drop = np.abs(seen.u("upstream", 2.0) - seen.u("downstream", 1.0))
    stem = seen.y("stem")
    travel = 0.01 * np.where(np.isfinite(stem), stem, seen.u("command", 50.0))
    shown = seen.y("flow") / np.sqrt(np.maximum(drop, 1e-6))
    known = np.isfinite(shown) & np.isfinite(travel)
    best = (math.inf, math.nan, math.nan)
    for bend in (0.1, 1.0, 5.0, 20.0, 50.0):
        t = travel[known]
        share = t if bend == 1.0 else (bend**t - 1.0) / (bend - 1.0)
        size = float(share @ shown[known] / max(float(share @ share), 1e-300))
        left = float(np.mean((shown[known] - size * share) ** 2)) if known.any() else math.inf
        if left < best[0]:
            best = left, size, bend
    _, _, tau = seen.lag(seen.u("command"), stem)
    return {"flow_coefficient": best[1], "rangeability": best[2], "time_constant": tau}


def _pump(seen: _Seen) -> dict[str, float]:
    speed = np.where(np.isfinite(seen.y("speed")), seen.y("speed"), seen.u("speed"))
    rated = _most(speed)
    n, flow, head, power = speed / rated, seen.y("flow"), seen.y("head"), seen.y("power")
    shutoff, runout = 1.3 * _most(head / n**2), 1.6 * _most(flow / n)
    static = 0.6 * _most(head, 0.02)
    drag = (head - static) / np.maximum(flow, 1e-9) ** 2
    idle = 0.4 * _middle(power / n**3)
    return {
        "rated_speed": rated, "shutoff_head": shutoff, "runout_flow": runout,
        "static_head": static, "resistance": 0.7 * _middle(drag), "idle_power": idle,
        "power_slope": _middle((power / n**2 - idle * n) / flow),
    }  # fmt: skip


def _compressor(seen: _Seen) -> dict[str, float]:
    speed, suction = seen.u("speed"), seen.u("suction_pressure", 1.013)
    rated = _most(speed)
    n, ratio, flow = speed / rated, seen.y("pressure") / suction, seen.y("flow")
    opening = 0.01 * seen.u("opening", 50.0)
    return {
        "rated_speed": rated, "pressure_rise": 1.4 * _most((ratio - 1.0) / n**2),
        "choke_flow": 1.3 * _most(flow / n),
        "demand": _middle(flow / np.maximum(opening * seen.y("pressure"), 1e-9)),
    }  # fmt: skip


def _exchanger(seen: _Seen) -> dict[str, float]:
    hot, cold = seen.u("hot_flow", 1.0), seen.u("cold_flow", 1.0)
    shown = seen.y("hot_outlet"), seen.y("cold_outlet")
    duty = np.where(np.isfinite(shown[0]), hot * 4.19 * (seen.u("hot_inlet", 80.0) - shown[0]),
                    cold * 4.19 * (shown[1] - seen.u("cold_inlet", 20.0)))  # fmt: skip
    gap = np.where(np.isfinite(shown[0] + shown[1]), shown[0] - shown[1], math.nan)
    return {"rated_hot_flow": _middle(hot), "rated_cold_flow": _middle(cold),
            "conductance": abs(_middle(duty / gap))}  # fmt: skip


def _rotor(seen: _Seen) -> dict[str, float]:
    speed = seen.y("speed")
    omega = speed * math.pi / 30.0
    left = seen.u("drive_torque", 0.0) - seen.u("load_torque", 0.0)
    friction = _middle(left / np.where(omega > 1.0, omega, math.nan))
    _, _, tau = seen.lag(left, speed)
    warm = seen.y("bearing") - seen.u("surroundings", 20.0)
    heat = friction * omega**2
    cooling = _middle(heat / np.where(warm > 0.1, warm, math.nan))
    _, _, slow = seen.lag(heat, warm)
    return {"rated_speed": _most(np.abs(speed)), "friction": friction, "inertia": friction * tau,
            "bearing_cooling": cooling, "bearing_capacity": cooling * slow / 1000.0}  # fmt: skip


def _station(seen: _Seen) -> dict[str, float]:
    return {"rate": 1.3 * _most(seen.y("throughput")), "capacity": 1.05 * _most(seen.y("level"),
                                                                                1.0),
            "next_capacity": 1.1 * _most(seen.u("next_level"), 1.0)}  # fmt: skip


_FINDERS: Final[Mapping[str, Callable[[_Seen], dict[str, float]]]] = {
    "lag": _lag, "thermal-mass": _thermal, "tank": _tank, "valve": _valve, "pump": _pump,
    "compressor": _compressor, "heat-exchanger": _exchanger, "rotating-machine": _rotor,
    "station": _station,
}  # fmt: skip
