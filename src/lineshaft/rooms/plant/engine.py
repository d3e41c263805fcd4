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
    "''": "arcsecond", "%": "percent", "[ppth]": "1e-3", "[ppm]": "ppm", "[ppb]": "1e-9",
    "h": "hour", "min": "minute", "d": "day", "wk": "week", "a": "year", "mo": "month",
    "l": "liter", "L": "liter", "mL": "milliliter", "ml": "milliliter", "hL": "hectoliter",
    "t": "tonne", "u": "unified_atomic_mass_unit", "Ohm": "ohm", "kOhm": "kiloohm",
    "[psi]": "psi", "[in_i]": "inch", "[ft_i]": "foot", "[yd_i]": "yard", "[mi_i]": "mile",
    "[lb_av]": "pound", "[oz_av]": "ounce", "[gal_us]": "gallon", "[bbl_us]": "oil_barrel",
    "[Btu_IT]": "Btu_it", "[Btu]": "Btu", "[HP]": "horsepower", "m[H2O]": "meter_H2O",
    "cm[H2O]": "centimeter_H2O", "mm[Hg]": "mmHg", "m[Hg]": "meter_Hg", "[in_i'H2O]": "inch_H2O",
    "[pH]": "dimensionless", "[RPM]": "rpm", "B": "bel", "dB": "decibel",
    "kWh": "kilowatt_hour", "bit": "bit", "By": "byte", "Bd": "baud", "G": "gauss",
}  # fmt: skip
_MONEY = {"[USD]", "[EUR]", "[CNY]", "USD", "EUR", "CNY"}  # UCUM has none: bracketed, its §7
_TERM = re.compile(r"([a-zA-Z%'\[\]_$0-9{}]*?)([+-]?\d+)?")


@functools.cache
def _registry() -> "UnitRegistry[float]":
    from pint import UnitRegistry

    registry: UnitRegistry[float] = UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("ppm = 1e-6")
    return registry


@functools.lru_cache(maxsize=4096)
def unit_note(unit: str) -> str:
    """Return what is odd about a unit, empty for a UCUM code that pint understands.

    >>> unit_note("kPa"), unit_note("m3/h"), unit_note("furlongs/fortnite") != ""
    ('', '', True)
    """
    if unit in {"", "1", "%"}:
        return ""
    if len(unit) > 64:
        return "too long for a unit"
    try:
        for term in _terms(unit):
            _registry().Unit(term)
    except Exception:  # pint raises by kind of trouble; for us all of them mean: not known
        return f"'{unit}' is not a unit code of UCUM that is known here"
    return ""


def _terms(unit: str) -> list[str]:
    """Cut a UCUM expression at its dots and slashes and spell each term pint's way."""
    plain = re.sub(r"\{[^}]*\}", "", unit)  # annotations in braces mean nothing (UCUM §6)
    terms = []
    for raw in re.split(r"[./*()]", plain):
        match = _TERM.fullmatch(raw)
        if raw.isdigit() or not raw:
            continue
        atom = match[1] if match and match[2] else raw
        if atom in _MONEY:
            continue
        terms.append(_PINT.get(atom, atom))
    return terms


def is_same_quantity(known: Signal, draft: Signal) -> bool:
    """Return whether a signal declared again is still the same: same unit, same kind."""
    return known.unit == draft.unit and known.kind == draft.kind


def merged(known: Signal, draft: Signal) -> Signal:
    """Return the known signal as its source describes it now; its sid stays."""
    return replace(draft, sid=known.sid)
