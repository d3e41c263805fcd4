"""From a machine's EUInformation to a UCUM code. Pure.

The `unitId` of units in the OPC Foundation's own namespace is the UNECE Recommendation 20 common
code, its characters as the bytes of a number (Part 8, 5.6.4.3). What is not in the table keeps the
text that the machine shows.
"""

from typing import Final

__all__ = ["unece_code", "unit_of"]

_UNECE: Final = {
    "CEL": "Cel", "KEL": "K", "FAH": "[degF]", "PAL": "Pa", "KPA": "kPa", "MPA": "MPa",
    "HBA": "hPa", "BAR": "bar", "MBR": "mbar", "PS": "[psi]", "ATM": "atm", "HN": "mm[Hg]",
    "P1": "%", "59": "[ppm]", "61": "[ppb]", "C62": "1", "E20": "Mibit/s",
    "MTR": "m", "CMT": "cm", "MMT": "mm", "4H": "um", "KMT": "km", "INH": "[in_i]", "FOT": "[ft_i]",
    "MTK": "m2", "CMK": "cm2", "MMK": "mm2", "MTQ": "m3", "LTR": "L", "MLT": "mL", "CMQ": "cm3",
    "GLL": "[gal_us]", "MQH": "m3/h", "MQS": "m3/s", "L2": "L/min", "G51": "L/s", "E32": "L/h",
    "GRM": "g", "KGM": "kg", "MGM": "mg", "TNE": "t", "LBR": "[lb_av]", "KGS": "kg/s",
    "E93": "kg/h", "4M": "mg/h", "E18": "t/h", "F31": "kg/min", "KMQ": "kg/m3", "GL": "g/L",
    "C34": "mol", "B45": "kmol", "C36": "mol/m3", "SEC": "s", "C26": "ms", "MIN": "min",
    "HUR": "h", "DAY": "d", "HTZ": "Hz", "KHZ": "kHz", "MHZ": "MHz", "RPM": "1/min", "RPS": "1/s",
    "MTS": "m/s", "KMH": "km/h", "2X": "m/min", "MSK": "m/s2", "NEW": "N", "B47": "kN",
    "NU": "N.m", "JOU": "J", "KJO": "kJ", "3B": "MJ", "WHR": "W.h", "KWH": "kW.h", "MWH": "MW.h",
    "WTT": "W", "KWT": "kW", "MAW": "MW", "D46": "V.A", "KVA": "kV.A", "K5": "kvar", "D44": "var",
    "VLT": "V", "2Z": "mV", "KVT": "kV", "AMP": "A", "4K": "mA", "OHM": "Ohm", "FAR": "F",
    "D10": "S/m", "H61": "mS/cm", "G42": "uS/cm", "DD": "deg", "C81": "rad", "2N": "dB",
    "CPS": "cP", "C65": "Pa.s", "LUX": "lx", "D54": "W/m2", "Q30": "[pH]", "AD": "By",
}  # fmt: skip
_SHOWN: Final = {
    "°C": "Cel", "℃": "Cel", "degC": "Cel", "C": "Cel", "°F": "[degF]", "degF": "[degF]",
    "m³": "m3", "m²": "m2", "m³/h": "m3/h", "m³/s": "m3/s", "m^3/h": "m3/h", "l/min": "L/min",
    "l/h": "L/h", "l/s": "L/s", "l": "L", "kg/m³": "kg/m3", "kWh": "kW.h", "MWh": "MW.h",
    "Wh": "W.h", "°": "deg", "Ω": "Ohm", "µm": "um", "μm": "um", "µS/cm": "uS/cm",
    "rpm": "1/min", "U/min": "1/min", "r/min": "1/min", "psi": "[psi]", "ppm": "[ppm]",
    "pH": "[pH]", "m/s²": "m/s2", "W/m²": "W/m2", "Nm": "N.m", "N·m": "N.m", "％": "%",
}  # fmt: skip
_OPC_NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"


def unece_code(unit_id: int) -> str:
    """Return the UNECE common code that a unit id spells, empty where it spells none.

    >>> unece_code(4408652)
    'CEL'
    """
    if not 0 < unit_id < 1 << 24:
        return ""
    code = unit_id.to_bytes(3, "big").lstrip(b"\0").decode("latin-1")
    return code if code.isascii() and code.isalnum() else ""


def unit_of(namespace: str, unit_id: int, shown: str) -> str:
    """Return the UCUM code, or the text that the machine shows where none is known.

    >>> unit_of(_OPC_NAMESPACE, 4408652, "°C"), unit_of("", -1, "m³/h"), unit_of("", -1, "kscmh")
    ('Cel', 'm3/h', 'kscmh')
    """
    if namespace == _OPC_NAMESPACE:
        known = _UNECE.get(unece_code(unit_id))
        if known is not None:
            return known
    shown = shown.strip()[:64]
    return _SHOWN.get(shown, shown)
