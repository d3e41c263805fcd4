"""Units as OPC UA wants them: EUInformation with the UN/CEFACT code (OPC 10000-8, 5.6.3).

The plants declare UCUM codes. Where UN/CEFACT Recommendation 20 has the unit, its number, symbol
and namespace are given; otherwise the UCUM namespace, with the UCUM code as the symbol.
"""

from typing import Final

from asyncua import ua

__all__ = ["UCUM_NAMESPACE", "UNECE_NAMESPACE", "eu_information"]

UNECE_NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
UCUM_NAMESPACE: Final = "http://unitsofmeasure.org"

_UNECE: Final = {
    "kPa": ("KPA", "kPa", "kilopascal"),
    "Cel": ("CEL", "°C", "degree Celsius"),
    "m3/h": ("MQH", "m³/h", "cubic metre per hour"),
    "kg/h": ("E93", "kg/h", "kilogram per hour"),
    "kg/s": ("KGS", "kg/s", "kilogram per second"),
    "kW": ("KWT", "kW", "kilowatt"),
    "%": ("P1", "%", "percent"),
    "h": ("HUR", "h", "hour"),
    "1": ("C62", "1", "one"),
}


def eu_information(ucum: str) -> ua.EUInformation:
    """Return the unit with this UCUM code."""
    if ucum not in _UNECE:
        return ua.EUInformation(
            NamespaceUri=UCUM_NAMESPACE,
            UnitId=-1,
            DisplayName=ua.LocalizedText(ucum),
            Description=ua.LocalizedText(ucum),
        )
    code, symbol, name = _UNECE[ucum]
    return ua.EUInformation(
        NamespaceUri=UNECE_NAMESPACE,
        UnitId=int.from_bytes(code.encode(), "big"),
        DisplayName=ua.LocalizedText(symbol),
        Description=ua.LocalizedText(name, "en"),
    )
