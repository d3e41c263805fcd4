"""The Williams-Otto reactor: kinetics, balances, profit. Pure, in SI (kg, s, degrees Celsius).

Reactions in a stirred tank: A + B -> C, B + C -> P + E, C + P -> G; rates by Arrhenius, on mass
fractions. T. J. Williams and R. E. Otto, "A generalized chemical processing model for the
investigation of computer control", AIEE Trans. 79 (1960); the reduced reactor problem with the
parameters below is that of P. D. Roberts, J. Optim. Theory Appl. 29 (1979), and of J. F. Forbes
and T. E. Marlin, Comput. Chem. Eng. 20 (1996). Its steady optimum at 1.8275 kg/s of A is
190.99 $/s, at 4.7875 kg/s of B and 89.70 degrees.

The literature's problem fixes holdup and temperature. Energy balance, jacket and level around it
are ours: heats of reaction as in the semi-batch version of the problem, a jacket that can both heat
and cool over the whole range of set-points.
"""

import math
from dataclasses import dataclass
from typing import Final

__all__ = [
    "FEED_A",
    "HOLDUP",
    "Inputs",
    "Parameters",
    "State",
    "derivatives",
    "fraction_rates",
    "profit",
]

HOLDUP: Final = 2105.0
"""kg in the reactor at 100 % level."""
FEED_A: Final = 1.8275
"""kg/s of A in the literature's problem."""

_KELVIN: Final = 273.15
_FREQUENCY: Final = (1.6599e6, 7.2117e8, 2.6745e12)  # 1/s
_ACTIVATION: Final = (6666.7, 8333.3, 11111.0)  # K
_HEAT: Final = (263.8, 158.3, 226.3)  # kJ per kg of A, B, C consumed
_CP: Final = 4.184  # kJ/(kg K), of the mixture and of water
_JACKET_MASS: Final = 500.0  # kg
_JACKET_FLOW: Final = 20.0  # kg/s
_JACKET_UA: Final = 30.0  # kW/K

Fractions = tuple[float, float, float, float, float, float]
"""Mass fractions of A, B, C, E, G, P."""
State = tuple[float, float, float, float, float, float, float, float, float]
"""Fractions of A, B, C, E, G, P; reactor temperature; holdup in kg; jacket temperature."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What disturbances change: factors of kinetics and heat transfer, feed temperature, and the
    purity of A, whose other part is G."""

    activity: tuple[float, float, float] = (1.0, 1.0, 1.0)
    transfer: float = 1.0
    feed_temperature: float = 75.0
    purity: float = 1.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """Flows in kg/s and the temperature of the jacket water coming in."""

    feed_a: float
    feed_b: float
    outflow: float
    jacket_inlet: float


def fraction_rates(
    x: Fractions, temperature: float, holdup: float, inputs: Inputs, p: Parameters
) -> tuple[Fractions, float]:
    """Return the rates of change of the fractions in 1/s, and the heat of reaction in kW."""
    a, b, c, e, g, product = x
    k1, k2, k3 = (
        f * math.exp(-energy / (temperature + _KELVIN)) * activity
        for f, energy, activity in zip(_FREQUENCY, _ACTIVATION, p.activity, strict=True)
    )
    r1, r2, r3 = k1 * a * b, k2 * b * c, k3 * c * product
    fa, fb = inputs.feed_a / holdup, inputs.feed_b / holdup
    dilution = fa + fb
    rates = (
        fa * p.purity - dilution * a - r1,
        fb - dilution * b - r1 - r2,
        2 * r1 - 2 * r2 - r3 - dilution * c,
        2 * r2 - dilution * e,
        fa * (1 - p.purity) + 1.5 * r3 - dilution * g,
        r2 - 0.5 * r3 - dilution * product,
    )
    return rates, holdup * (r1 * _HEAT[0] + r2 * _HEAT[1] + r3 * _HEAT[2])


def derivatives(state: State, inputs: Inputs, p: Parameters) -> State:
    """Return the rates of change of the whole state, per second."""
    temperature, holdup, jacket = state[6:]
    rates, heat = fraction_rates(state[:6], temperature, holdup, inputs, p)
    feed = inputs.feed_a + inputs.feed_b
    through_wall = _JACKET_UA * p.transfer * (temperature - jacket)
    warming = feed * _CP * (p.feed_temperature - temperature) + heat - through_wall
    water = _JACKET_FLOW * _CP * (inputs.jacket_inlet - jacket)
    return (
        *rates,
        warming / (holdup * _CP),
        feed - inputs.outflow,
        (water + through_wall) / (_JACKET_MASS * _CP),
    )


def profit(feed_a: float, feed_b: float, outflow: float, e: float, p: float) -> tuple[float, float]:
    """Return income and cost in $/s, for fractions `e` and `p` of E and P in the outflow."""
    return outflow * (1143.38 * p + 25.92 * e), 76.23 * feed_a + 114.34 * feed_b
