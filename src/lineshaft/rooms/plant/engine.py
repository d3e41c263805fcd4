"""The thinking of the room `plant`: is this a unit, and what becomes of a signal that its source
declares again or a person edits. What a person edited stays when the source declares it again.

Units are UCUM codes (the Unified Code for Units of Measure, case sensitive). `pint` judges them
after a translation of the codes whose spelling differs; only `unit_note` needs it, so it is loaded
when first asked. A unit that nobody knows is kept as text with a note.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Signal
from lineshaft.rooms.plant.model import PAIRS, Listed, check_field

if TYPE_CHECKING:
    from pint import UnitRegistry

__all__ = ["edited", "is_same_quantity", "merged", "succeeded", "unit_note"]

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


def is_same_quantity(known: Listed, draft: Signal) -> bool:
    """Return whether a signal declared again is still the same: same unit, same kind.

    A unit that a person wrote where the machine gave none does not make it another one.
    """
    units = {known.signal.unit, known.declared.get("unit", known.signal.unit)}
    return draft.unit in units and known.signal.kind == draft.kind


def merged(known: Listed, draft: Signal) -> Listed:
    """Return the known signal as its source describes it now; its sid and what people edited stay.

    The revision is a new one where anything differs.
    """
    kept = {name: getattr(known.signal, name) for name in known.declared}
    signal = replace(draft, sid=known.signal.sid, **kept)
    declared = _edited({name: getattr(draft, name) for name in known.declared}, signal)
    if signal == known.signal and declared == known.declared:
        return known
    note = unit_note(signal.unit)
    return replace(known, signal=signal, unit_note=note, declared=declared,
                   revision=known.revision + 1)  # fmt: skip


def succeeded(known: Listed, draft: Signal) -> tuple[Signal, Mapping[str, Any]]:
    """Return the signal that takes the place of one whose unit or kind changed, and what its source
    says of the fields that people edited: path and texts are handed on, figures are not."""
    kept = {n: getattr(known.signal, n) for n in ("path", "name", "description")
            if n in known.declared}  # fmt: skip
    return replace(draft, **kept), {name: getattr(draft, name) for name in kept}


def edited(known: Listed, wanted: Mapping[str, Any]) -> Listed:
    """Return the signal as a person wants it, the same object where nothing differs.

    Raise Refused where a value cannot stand, a range is upside down, or a known unit would change.
    """
    new = {name: value for name, value in wanted.items() if getattr(known.signal, name) != value}
    if not new:
        return known
    for name, value in new.items():
        check_field(name, value)
    if "unit" in new:
        _check_unit(known, new["unit"])
    signal = replace(known.signal, **new)
    for low, high in (("low", "high"), ("limit_low", "limit_high")):
        if low in new or high in new:
            _check_range(getattr(signal, low), getattr(signal, high), low, high)
    touched = set(new) | {PAIRS[name] for name in new if name in PAIRS}
    said = {name: getattr(known.signal, name) for name in touched} | dict(known.declared)
    return replace(known, signal=signal, unit_note=unit_note(signal.unit),
                   declared=_edited(said, signal), revision=known.revision + 1)  # fmt: skip


def _edited(said: Mapping[str, Any], signal: Signal) -> dict[str, Any]:
    """Return what of `said` differs from the signal; a range counts as one."""
    differs = {name for name, value in said.items() if getattr(signal, name) != value}
    return {n: v for n, v in said.items() if n in differs or PAIRS.get(n) in differs}


def _check_range(low: float | None, high: float | None, *names: str) -> None:
    if low is not None and high is not None and low >= high:
        raise Refused(f"{names[0]} {low:g} is not below {names[1]} {high:g}",
                      hint="Give the lower one first", code="signal.range",
                      status=422)  # fmt: skip


def _check_unit(known: Listed, unit: str) -> None:
    """Refuse another unit for a signal whose unit is known; the machine's own may come back."""
    before = known.signal.unit
    if "unit" in known.declared and unit == known.declared["unit"]:
        return
    if before and not known.unit_note:
        raise Refused(f"'{known.signal.path}' is measured in {before}: in {unit or 'no unit'} it "
                      "would be a new signal", hint="Have its source declare the other unit; the "
                      "samples there are keep theirs", code="signal.unit", status=409)  # fmt: skip
    if note := unit_note(unit):
        raise Refused(note, hint="Write a UCUM code, such as kPa, Cel, m3/h or 1",
                      code="signal.unit", status=422)  # fmt: skip
