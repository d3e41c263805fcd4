"""What a UCUM code means: its dimension and the way to SI, found with `pint` once a code."""

import functools
import re

from lineshaft.core.measures import NUMBER, Measure
from lineshaft.rooms.plant.conversion import _spelled
from lineshaft.rooms.plant.engine import _MONEY, _registry, unit_note

__all__ = ["measure"]


@functools.lru_cache(maxsize=4096)
def measure(unit: str) -> Measure | None:
    """Return what a UCUM code means; None for one that is not known.

    Money (UCUM has none) is a dimension of its own for each currency.

    >>> measure("Cel").offset, measure("[EUR]/h").dimension
    (273.15, (('EUR', 1.0), ('time', -1.0)))
    """
    if unit in {"", "1"}:
        return NUMBER
    if unit_note(unit):
        return None
    if any(atom in _MONEY for atom in re.split(r"[./]", unit)):
        return _with_money(unit)
    try:
        meant = _registry().Unit(_spelled(unit))
        zero, far = (
            float(_registry().Quantity(n, meant).to_base_units().magnitude) for n in (0.0, 1e6)
        )
    except Exception:  # pint raises by kind of trouble; for us all mean: not known
        return None
    powers = meant.dimensionality.items()
    dimension = {str(n).strip("[]"): float(e) for n, e in powers}  # type: ignore[arg-type]
    factor = float(f"{(far - zero) / 1e6:.15g}")
    return Measure(tuple(sorted(dimension.items())), factor, float(f"{zero:.15g}"))


def _with_money(unit: str) -> Measure | None:
    found, sign = NUMBER, 1.0
    for piece in re.split(r"([./])", unit):
        if piece in {".", "/"}:
            sign = 1.0 if piece == "." else -1.0
            continue
        name = piece.strip("[]")
        own = Measure(((name, 1.0),)) if piece in _MONEY else measure(piece)
        if own is None:
            return None
        found = found.times(own, sign)
    return found
