"""Measure: what a unit means, in floats: its dimension and the straight line to base units (SI).

A unit is looked up once, when something is declared; at run time only its numbers are used.
"""

from dataclasses import dataclass

__all__ = ["NUMBER", "Measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """`base value = value * factor + offset`; `dimension` as (name, exponent), sorted by name.

    An offset marks a scale with a zero of its own (degrees Celsius): its values are points, and
    only their differences can be scaled.
    """

    dimension: tuple[tuple[str, float], ...] = ()
    factor: float = 1.0
    offset: float = 0.0

    def times(self, other: "Measure", power: float = 1.0) -> "Measure":
        """Return the measure of a product with `other ** power`; offsets have no place in it."""
        found = dict(self.dimension)
        for name, exponent in other.dimension:
            found[name] = round(found.get(name, 0.0) + exponent * power, 9)
        dimension = tuple(sorted((name, e) for name, e in found.items() if e))
        return Measure(dimension, self.factor * other.factor**power)


NUMBER = Measure()
