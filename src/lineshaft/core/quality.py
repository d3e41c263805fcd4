"""Quality of a sample: one int32, class times 256 plus a reason.

Good is 0, so that a column of good samples is a column of zeros. The three classes are those of
OPC UA (Part 8, 6.3) and of ISA practice; the reasons say why a value is not good.
"""

from enum import IntEnum
from typing import Final

__all__ = ["BAD", "GOOD", "UNCERTAIN", "Reason", "bad", "describe", "uncertain"]

GOOD: Final = 0
UNCERTAIN: Final = 256
BAD: Final = 512


class Reason(IntEnum):
    """Why a value is uncertain or bad."""

    NONE = 0
    CLOCK = 1
    NOT_A_NUMBER = 2
    TIMEOUT = 3
    LINK = 4
    SENSOR = 5
    DEVICE = 6
    CONFIG = 7
    OUT_OF_SERVICE = 8
    LAST_USABLE = 9
    SUBSTITUTED = 10
    ENGINEERING_LIMITS = 11
    TYPE = 12
    ACCESS = 13


def uncertain(reason: Reason) -> int:
    """Return the quality Uncertain with its reason."""
    return UNCERTAIN + reason


def bad(reason: Reason) -> int:
    """Return the quality Bad with its reason."""
    return BAD + reason


def describe(quality: int) -> str:
    """Return the quality in words.

    >>> describe(0), describe(bad(Reason.SENSOR))
    ('good', 'bad/sensor')
    """
    if quality == GOOD:
        return "good"
    name = {GOOD: "good", UNCERTAIN: "uncertain"}.get(quality // 256 * 256, "bad")
    reason = quality % 256
    known = Reason(reason).name.lower() if reason in Reason._value2member_map_ else str(reason)
    return name if reason == Reason.NONE else f"{name}/{known}"
