"""Signal: one measured or written quantity of a machine.

The `sid` is given out by the platform and never reused; renaming keeps it; a changed unit or kind
makes a new signal. Values travel as floats in the signal's own unit (UCUM code) and are converted
at the rim only.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Kind", "Signal"]


class Kind(StrEnum):
    """What a signal's values are; bool and int travel as floats, exact up to 2^53."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Signal:
    """What is known of a signal. Ranges and limits are in `unit`; None means not known."""

    sid: int
    path: str
    name: str
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    period_ms: int | None = None
    source: str = ""
    writable: bool = False
    decimals: int | None = None
    description: str = ""
