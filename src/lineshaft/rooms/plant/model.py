"""Words of the room `plant`: a signal as it is listed, and the check of a draft.

Rule: what enters the list has a path of the right form, finite ranges that are not upside down and
texts of bounded length; a range that makes no sense is left out, not refused, because a machine's
own description of itself is not the user's fault.
"""

import math
from dataclasses import dataclass, replace

from lineshaft.core.paths import check_path
from lineshaft.core.signals import Signal

__all__ = ["Listed", "checked"]

_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """A signal with what the list knows beyond it: a note on its unit, when it was retired (µs)."""

    signal: Signal
    unit_note: str = ""
    retired_at: int | None = None


def checked(draft: Signal) -> Signal:
    """Return the draft fit for the list; raise Refused where its path is not a path."""
    check_path(draft.path)
    low, high = _range(draft.low, draft.high)
    limit_low, limit_high = _range(draft.limit_low, draft.limit_high)
    period = draft.period_ms if draft.period_ms and draft.period_ms > 0 else None
    decimals = draft.decimals if draft.decimals is not None and 0 <= draft.decimals <= 15 else None
    return replace(
        draft, low=low, high=high, limit_low=limit_low, limit_high=limit_high, period_ms=period,
        decimals=decimals, name=draft.name[:_TEXT], unit=draft.unit.strip()[:64],
        description=draft.description[:_TEXT],
    )  # fmt: skip


def _range(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    low = low if low is not None and math.isfinite(low) else None
    high = high if high is not None and math.isfinite(high) else None
    if low is not None and high is not None and low >= high:
        return None, None
    return low, high
