"""The ladder of modes: how far a loop may go by itself, and how it gets there.

    shadow ─▶ advisory ─▶ supervised ─▶ autonomous

Rules: up goes one step at a time, only where a person asks, and only with a record shown in the
mode below; down goes one step with every trip of a guard, or as a person likes; a stop leads to
shadow from anywhere. What a record has to show is data. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lineshaft.core.errors import Refused

__all__ = [
    "REQUIRED", "STOPPED", "Mode", "Record", "Requirement", "demoted", "lacking", "promoted",
    "record_of",
]  # fmt: skip


class Mode(StrEnum):
    """How far a loop may go: it watches; it advises; it acts when persons agree; it acts."""

    SHADOW = "shadow"
    ADVISORY = "advisory"
    SUPERVISED = "supervised"
    AUTONOMOUS = "autonomous"

    @property
    def step(self) -> int:
        """Return how high on the ladder it stands, 0 for shadow."""
        return _LADDER.index(self)


_LADDER: Final = tuple(Mode)
#: Where a stop leads.
STOPPED: Final = Mode.SHADOW


@dataclass(frozen=True, slots=True)
class Record:
    """What a loop has shown in `mode` since it entered it: plant `hours`, how many `proposals` were
    compared with what happened, and the share of them `within` tolerance (0 … 1)."""

    mode: Mode
    hours: float
    proposals: int
    within: float


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a record must show before the next step up."""

    hours: float
    proposals: int
    within: float

    def __post_init__(self) -> None:
        if not (0 <= self.hours < math.inf and self.proposals >= 1 and 0.5 <= self.within <= 1):
            raise Refused(
                "a step up must ask for hours, at least one proposal and half of them right",
                hint="Give hours of zero or more, proposals of one or more, within of 0.5 to 1",
                code="ladder.requirement",
            )


#: What a loop asks of itself where people set nothing else, by the mode it stands in.
REQUIRED: Final[Mapping[Mode, Requirement]] = {
    Mode.SHADOW: Requirement(8.0, 5, 0.8),
    Mode.ADVISORY: Requirement(8.0, 5, 0.8),
    Mode.SUPERVISED: Requirement(24.0, 10, 0.9),
}


def record_of(
    mode: Mode, hours: float, shown: Sequence[tuple[float, float]], tolerance: float
) -> Record:
    """Return the record that pairs (predicted, actual) make; a pair that is no number counts as a
    miss, and so does everything where the tolerance is none."""
    hits = sum(abs(actual - predicted) <= tolerance for predicted, actual in shown)
    return Record(mode, hours, len(shown), hits / len(shown) if shown else 0.0)


def lacking(record: Record, requirement: Requirement) -> str | None:
    """Return in a sentence what the record lacks, None where it suffices."""
    if not record.hours >= requirement.hours:
        return f"{record.hours:.1f} of {requirement.hours:g} plant hours in {record.mode}"
    if not record.proposals >= requirement.proposals:
        return f"{record.proposals} of {requirement.proposals} proposals compared in {record.mode}"
    if not requirement.within <= record.within <= 1:
        return (
            f"{record.within:.0%} of the proposals came true within tolerance, "
            f"{requirement.within:.0%} are asked for"
        )
    return None


def promoted(
    mode: Mode, record: Record, by: str, required: Mapping[Mode, Requirement] = REQUIRED
) -> Mode:
    """Return the next mode up. Raises Refused where it is the highest, where nobody (`by`, the name
    of an account) asks, or where the record is of another mode or lacks something."""
    if mode is Mode.AUTONOMOUS:
        raise Refused("the loop is autonomous already", code="ladder.top", status=409)
    if not by.strip():
        raise Refused("only a person can promote a loop", code="ladder.person", status=403)
    if record.mode is not mode:
        raise Refused(f"the record is of {record.mode}, the loop is in {mode}",
                      code="ladder.record", status=409)  # fmt: skip
    missing = lacking(record, required[mode])
    if missing is not None:
        raise Refused(f"the record does not suffice yet: {missing}",
                      hint="Let the loop run on in this mode", code="ladder.record",
                      status=409)  # fmt: skip
    return _LADDER[mode.step + 1]


def demoted(mode: Mode) -> Mode:
    """Return the next mode down; shadow stays shadow."""
    return _LADDER[max(0, mode.step - 1)]
