"""From an OPC UA status code to the quality of a sample. Pure.

The upper 16 bits of a status code name it (Part 4, 7.39; codes of data access: Part 8, 6.3.2 and
Part 4, 7.39.2), its upper two bits are the severity: 00 good, 01 uncertain, 1x bad. What is not in
the table keeps its severity without a reason.
"""

from typing import Final

from lineshaft.core.quality import BAD, GOOD, UNCERTAIN, Reason

__all__ = ["NAMES", "is_overflow", "quality_of"]

# name: (code >> 16, reason)
_TABLE: Final[dict[str, tuple[int, Reason]]] = {
    "GoodLocalOverride": (0x0096, Reason.NONE),
    "UncertainNoCommunicationLastUsableValue": (0x408F, Reason.LAST_USABLE),
    "UncertainLastUsableValue": (0x4090, Reason.LAST_USABLE),
    "UncertainSubstituteValue": (0x4091, Reason.SUBSTITUTED),
    "UncertainInitialValue": (0x4092, Reason.SUBSTITUTED),
    "UncertainSensorNotAccurate": (0x4093, Reason.SENSOR),
    "UncertainEngineeringUnitsExceeded": (0x4094, Reason.ENGINEERING_LIMITS),
    "UncertainSubNormal": (0x4095, Reason.DEVICE),
    "UncertainSensorCalibration": (0x420A, Reason.SENSOR),
    "UncertainSimulatedValue": (0x4209, Reason.SUBSTITUTED),
    "BadUnexpectedError": (0x8001, Reason.DEVICE),
    "BadInternalError": (0x8002, Reason.DEVICE),
    "BadResourceUnavailable": (0x8004, Reason.DEVICE),
    "BadCommunicationError": (0x8005, Reason.LINK),
    "BadEncodingError": (0x8006, Reason.TYPE),
    "BadDecodingError": (0x8007, Reason.TYPE),
    "BadUnknownResponse": (0x8009, Reason.LINK),
    "BadTimeout": (0x800A, Reason.TIMEOUT),
    "BadShutdown": (0x800C, Reason.OUT_OF_SERVICE),
    "BadServerNotConnected": (0x800D, Reason.LINK),
    "BadServerHalted": (0x800E, Reason.OUT_OF_SERVICE),
    "BadUserAccessDenied": (0x801F, Reason.ACCESS),
    "BadNoCommunication": (0x8031, Reason.LINK),
    "BadWaitingForInitialData": (0x8032, Reason.OUT_OF_SERVICE),
    "BadNodeIdInvalid": (0x8033, Reason.CONFIG),
    "BadNodeIdUnknown": (0x8034, Reason.CONFIG),
    "BadAttributeIdInvalid": (0x8035, Reason.CONFIG),
    "BadNotReadable": (0x803A, Reason.ACCESS),
    "BadOutOfRange": (0x803C, Reason.ENGINEERING_LIMITS),
    "BadObjectDeleted": (0x803F, Reason.CONFIG),
    "BadTypeMismatch": (0x8074, Reason.TYPE),
    "BadConfigurationError": (0x8089, Reason.CONFIG),
    "BadNotConnected": (0x808A, Reason.LINK),
    "BadDeviceFailure": (0x808B, Reason.DEVICE),
    "BadSensorFailure": (0x808C, Reason.SENSOR),
    "BadOutOfService": (0x808D, Reason.OUT_OF_SERVICE),
    "BadDeadbandFilterInvalid": (0x808E, Reason.CONFIG),
    "BadRequestTimeout": (0x8085, Reason.TIMEOUT),
    "BadConnectionClosed": (0x80AE, Reason.LINK),
    "BadInvalidState": (0x80AF, Reason.DEVICE),
    "BadNoData": (0x809B, Reason.NOT_A_NUMBER),
    "BadNoDataAvailable": (0x80B1, Reason.NOT_A_NUMBER),
}
NAMES: Final = {code: name for name, (code, _) in _TABLE.items()}
_REASONS: Final = {code: reason for code, reason in _TABLE.values()}
_CLASSES: Final = (GOOD, UNCERTAIN, BAD, BAD)


def quality_of(status: int) -> int:
    """Return the quality for a 32-bit status code.

    >>> quality_of(0), quality_of(0x808C0000), quality_of(0x40000000)
    (0, 517, 256)
    """
    kind = _CLASSES[status >> 30 & 3]
    if kind == GOOD:
        return GOOD
    return kind + _REASONS.get(status >> 16 & 0xFFFF, Reason.NONE)


def is_overflow(status: int) -> bool:
    """Return whether the server lost values before this one: its queue ran over (Part 4, 7.39.1:
    info type DataValue, bit 7)."""
    return status & 0x0C00 == 0x0400 and status & 0x0080 != 0
