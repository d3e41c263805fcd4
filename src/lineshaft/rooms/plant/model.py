"""Words of the room `plant`: a signal as it is listed, and the check of what is said about it.

Rules: what a machine declares is made to fit, because its own description of itself is not the
user's fault: a range that makes no sense is left out. What a person writes is refused where it does
not fit, with the reason. Paths have the right form, ranges are finite and not upside down, texts
bounded and without control characters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lineshaft.core.errors import Refused
from lineshaft.core.paths import check_path
from lineshaft.core.signals import Signal

__all__ = ["EDITABLE", "FIXED", "PAIRS", "Listed", "check_field", "checked"]

_TEXT: Final = 1000
_DECIMALS: Final = 15
_PERIOD_MS: Final = 366 * 86_400_000

EDITABLE: Final = (
    "path", "name", "unit", "low", "high", "limit_low", "limit_high", "decimals", "period_ms",
    "description",
)  # fmt: skip
FIXED: Final = ("kind", "source", "writable")
# The two ends of a range are one statement: whoever edits one has said both.
PAIRS: Final = {
    "low": "high", "high": "low", "limit_low": "limit_high", "limit_high": "limit_low",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A signal with what the list knows beyond it.

    `declared` holds, for every field that a person edited, what its source says of it; `revision`
    grows with every change; `retired_at` in µs.
    """

    signal: Signal
    unit_note: str = ""
    retired_at: int | None = None
    revision: int = 1
    declared: Mapping[str, Any] = field(default_factory=dict)


def checked(draft: Signal) -> Signal:
    """Return the draft fit for the list; raise Refused where its path is not a path."""
    check_path(draft.path)
    low, high = _range(draft.low, draft.high)
    limit_low, limit_high = _range(draft.limit_low, draft.limit_high)
    period = draft.period_ms if draft.period_ms and draft.period_ms > 0 else None
    decimals = draft.decimals
    return replace(
        draft, low=low, high=high, limit_low=limit_low, limit_high=limit_high, period_ms=period,
        decimals=decimals if decimals is not None and 0 <= decimals <= _DECIMALS else None,
        name=draft.name[:_TEXT], unit=draft.unit.strip()[:64],
        description=draft.description[:_TEXT],
    )  # fmt: skip


def _range(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    low = low if low is not None and math.isfinite(low) else None
    high = high if high is not None and math.isfinite(high) else None
    if low is not None and high is not None and low >= high:
        return None, None
    return low, high


def check_field(name: str, value: Any) -> None:
    """Raise Refused where a person's value cannot stand in a field of a signal."""
    if name == "path":
        check_path(value)
    elif name in {"name", "description", "unit"}:
        _check_text(name, value)
    elif value is None:
        return
    elif name == "decimals":
        _check_number(name, value, 0, _DECIMALS)
    elif name == "period_ms":
        _check_number(name, value, 1, _PERIOD_MS)
    else:
        _check_number(name, value, -1e300, 1e300)


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise Refused(f"{name} cannot be {value:g}", hint=f"Between {least:g} and {most:g}",
                      code="signal.number", status=422)  # fmt: skip


def _check_text(name: str, value: str) -> None:
    most = 64 if name == "unit" else _TEXT
    allowed = "\n\t" if name == "description" else ""
    if len(value) > most:
        raise Refused(f"the {name} has {len(value)} characters", hint=f"At most {most}",
                      code="signal.text", status=422)  # fmt: skip
    odd = next((c for c in value if not c.isprintable() and c not in allowed and c != "\u3000"), "")
    if odd:
        raise Refused(f"the {name} holds the character U+{ord(odd):04X}",
                      hint="Only characters that can be printed", code="signal.text",
                      status=422)  # fmt: skip
    if name == "name" and not value.strip():
        raise Refused("a signal needs a name", code="signal.text", status=422)
