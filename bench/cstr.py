"""A stirred tank with the reactions of van de Vusse, as Klatt & Engell (1998) gave it as a test.

A → B → C and 2 A → D, cooled through a jacket. Handles are the feed (1/h, of the reactor's volume)
and the cooling (kJ/h); the states are the concentrations of A and B (mol/l) and the temperatures
of reactor and jacket (°C). Constants: Klatt & Engell, Comput. Chem. Engng 22 (1998) 491, table 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from lineshaft.rooms.decide.engine.mpc.behaviour import Behaviour

__all__ = ["TANK", "Tank"]

Floats = NDArray[np.float64]

_K1, _K3, _E1, _E3 = 1.287e12, 9.043e9, -9758.3, -8560.0
_HEAT_AB, _HEAT_BC, _HEAT_AD = 4.2, -11.0, -41.85
_DENSITY, _CAPACITY, _JACKET_CAPACITY, _JACKET_MASS = 0.9342, 3.01, 2.0, 5.0
_WALL, _AREA, _VOLUME, _FEED_C, _FEED_A = 4032.0, 0.215, 10.0, 104.9, 5.1


def slope(x: Sequence[Any], u: Sequence[Any], m: Any) -> list[Any]:
    """Return the changes an hour."""
    return _slope(x, u, m, 1.0, _FEED_C)


def _slope(x: Sequence[Any], u: Sequence[Any], m: Any, activity: float, feed_c: float) -> list[Any]:
    a, b, reactor, jacket = x
    feed, cooling = u
    k1 = activity * _K1 * m.exp(_E1 / (reactor + 273.15))
    k3 = _K3 * m.exp(_E3 / (reactor + 273.15))
    heat = k1 * (a * _HEAT_AB + b * _HEAT_BC) + k3 * a * a * _HEAT_AD
    wall = _WALL * _AREA
    return [
        feed * (_FEED_A - a) - k1 * a - k3 * a * a,
        -feed * b + k1 * (a - b),
        feed * (feed_c - reactor) - heat / (_DENSITY * _CAPACITY)
        + wall / (_DENSITY * _CAPACITY * _VOLUME) * (jacket - reactor),
        (cooling + wall * (reactor - jacket)) / (_JACKET_MASS * _JACKET_CAPACITY),
    ]  # fmt: skip


def measure(x: Sequence[Any], u: Sequence[Any], m: Any) -> list[Any]:
    """Return what is read: B, and the temperature of the reactor."""
    return [x[1], x[2]]


TANK = Behaviour(
    ("a", "b", "reactor", "jacket"), ("feed", "cooling"), ("b", "temperature"), slope, measure,
    np.array([2.14, 1.09, 114.2, 112.9]), np.array([1.0, 0.5, 50.0, 50.0]), np.array([0.5, 20.0]),
)  # fmt: skip


class Tank:
    """The plant itself, not what a controller believes of it: `activity` of the catalyst and the
    temperature of the feed are its own, and it is integrated with another method."""

    def __init__(self, activity: float = 1.0, feed_c: float = _FEED_C) -> None:
        self.x: Floats = TANK.start.copy()
        self.activity, self.feed_c = activity, feed_c

    def step(self, u: Floats, hours: float) -> Floats:
        """Return the outputs after so many hours with these handles."""
        found = solve_ivp(
            lambda _, x: _slope(x, u, np, self.activity, self.feed_c), (0, hours), self.x,
            method="LSODA", rtol=1e-8, atol=1e-9,
        )  # fmt: skip
        self.x = found.y[:, -1]
        return np.array(measure(self.x, u, np))
