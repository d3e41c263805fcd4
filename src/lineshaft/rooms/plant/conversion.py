"""From one unit to another: the straight line between them, for whoever converts at the rim."""

import functools
import re

from lineshaft.core.errors import Refused
from lineshaft.rooms.plant.engine import _MONEY, _PINT, _TERM, _registry

__all__ = ["conversion"]


@functools.lru_cache(maxsize=4096)
def conversion(source: str, target: str) -> tuple[float, float]:
    """Return (factor, offset) with `target value = source value * factor + offset`.

    Raises Refused where the units measure different things, or one of them is not known.

    >>> conversion("bar", "kPa"), conversion("%", "1"), conversion("m3/h", "m3/h")
    ((100.0, 0.0), (0.01, 0.0), (1.0, 0.0))
    """
    if source == target:
        return 1.0, 0.0
    try:
        registry = _registry()
        have, want = registry.Unit(_spelled(source)), registry.Unit(_spelled(target))
        zero, one, far = (
            float(registry.Quantity(number, have).to(want).magnitude) for number in (0.0, 1.0, 1e6)
        )
    except Exception as error:  # pint raises by kind of trouble; for us all mean: it cannot be
        raise Refused(
            f"values in '{source[:64]}' cannot be converted to '{target[:64]}'",
            hint="Name the unit that the values really have, as a UCUM code",
            code="unit.incompatible",
        ) from error
    if zero == 0:
        return one, 0.0
    # Over a long way, so that the difference keeps its digits.
    return (far - zero) / 1e6, float(f"{zero:.15g}")


def _spelled(unit: str) -> str:
    """Return a UCUM expression as pint spells it; Refused where an atom is none."""
    if unit in {"", "1"}:
        return "dimensionless"
    text, sign = "", "*"
    for piece in re.split(r"([./])", re.sub(r"\{[^}]*\}", "", unit)):
        if piece in {".", "/"}:
            sign = "*" if piece == "." else "/"
            continue
        match = _TERM.fullmatch(piece)
        if match is None or piece in _MONEY:
            raise Refused(f"'{unit[:64]}' is no unit", code="unit.unknown")
        atom, power = (match[1], match[2]) if match[1] else (piece, "")
        lone = len(re.split(r"[./]", unit)) == 1
        name = _PINT.get(atom, atom) if atom else "1"
        name = f"delta_{name}" if name in {"degC", "degF"} and not lone else name
        text += f"{sign if text else ''}{name}{f'**({power})' if power else ''}"
        sign = "*"
    return text
