"""The thinking of the room `plant`: is this a unit, and what becomes of a signal declared again.

Units are UCUM codes (the Unified Code for Units of Measure, case sensitive). `pint` judges them
after a translation of the codes whose spelling differs; only `unit_note` needs it, so it is loaded
when first asked. A unit that nobody knows is kept as text with a note.
"""

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from lineshaft.core.signals import Signal

if TYPE_CHECKING:
    from pint import UnitRegistry

__all__ = ["is_same_quantity", "merged", "unit_note"]

# UCUM atoms that pint spells otherwise.
_PINT = {
    "Cel": "degC", "[degF]": "degF", "[degR]": "degR", "deg": "degree", "'": "arcminute",
    "''": "arcsecond", "%": "percent", "[ppth]": "permille", "[ppm]": "ppm", "[ppb]": "ppb",
    "h": "hour", "min": "minute", "d": "day", "wk": "week", "a": "year", "mo": "month",
    "l": "liter", "L": "liter", "mL": "milliliter", "ml": "milliliter", "hL": "hectoliter",
    "t": "tonne", "u": "unified_atomic_mass_unit", "Ohm": "ohm", "kOhm": "kiloohm",
    "[psi]": "psi", "[in_i]": "inch", "[ft_i]": "foot", "[yd_i]": "yard", "[mi_i]": "mile",
    "[lb_av]": "pound", "[oz_av]": "ounce", "[gal_us]": "gallon", "[bbl_us]": "oil_barrel",
    "[Btu_IT]": "Btu_it", "[Btu]": "Btu", "[HP]": "horsepower", "m[H2O]": "meter_H2O",
    "cm[H2O]": "centimeter_H2O", "mm[Hg]": "mmHg", "m[Hg]": "meter_Hg", "[in_i'H2O]": "inch_H2O",
    "[pH]": "dimensionless", "var": "volt_ampere", "kvar": "kilovolt_ampere",
    "[RPM]": "rpm", "dB": "decibel", "kWh": "kilowatt_hour", "bit": "bit", "By": "byte",
    "Bd": "baud", "G": "gauss",
}  # fmt: skip
_MONEY = {"[USD]", "[EUR]", "[CNY]", "USD", "EUR", "CNY"}  # UCUM has none: bracketed, its §7
_TERM = re.compile(r"([a-zA-Z%'\[\]_$0-9{}]*?)([+-]?\d+)?")


@functools.cache
def _registry() -> "UnitRegistry[float]":
    from pint import UnitRegistry

    registry: UnitRegistry[float] = UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("ppb = 1e-9")
    return registry


@functools.lru_cache(maxsize=4096)
def unit_note(unit: str) -> str:
    """Return what is odd about a unit, empty for a UCUM code that pint understands.

    >>> unit_note("kPa"), unit_note("m3/h"), unit_note("furlongs/fortnite") != ""
    ('', '', True)
    """
    if unit in {"", "1", "%"}:
        return ""
    if len(unit) <= 64 and unit.isascii() and all(_is_unit(atom) for atom in _atoms(unit)):
        return ""
    return f"'{unit[:64]}' is not a unit code of UCUM that is known here"


def _is_unit(atom: str) -> bool:
    """Return whether pint knows an atom by its symbol; its long names are no codes."""
    if atom in _MONEY:
        return True
    try:
        known = _registry().Unit(_PINT.get(atom, atom))
    except Exception:  # pint raises by kind of trouble; for us all of them mean: not known
        return False
    return atom in _PINT or f"{known:~}".replace("µ", "u") == atom


def _atoms(unit: str) -> list[str]:
    """Cut a UCUM expression at its dots and slashes, exponents and numbers left out."""
    plain = re.sub(r"\{[^}]*\}", "", unit)  # annotations in braces mean nothing (UCUM §6)
    atoms = []
    for raw in re.split(r"[./*()]", plain):
        match = _TERM.fullmatch(raw)
        if raw and not raw.isdigit():
            atoms.append(match[1] if match and match[2] else raw)
    return atoms


def is_same_quantity(known: Signal, draft: Signal) -> bool:
    """Return whether a signal declared again is still the same: same unit, same kind."""
    return known.unit == draft.unit and known.kind == draft.kind


def merged(known: Signal, draft: Signal) -> Signal:
    """Return the known signal as its source describes it now; its sid stays."""
    return replace(draft, sid=known.sid)
