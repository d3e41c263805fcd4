"""Command and Outcome: a wish to change the plant, and the one way in which it ended.

Rules: a value is absolute and in the signal's own unit; a Command is for one signal, is written at
most once and never after `expires`; it ends in exactly one Outcome, whatever dies meanwhile.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from lineshaft.core.errors import Refused

__all__ = ["Command", "Ending", "Outcome"]

_MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Command:
    """`at` when it was decided and `expires` (µs UTC, wall time); `origin` is the id of the loop or
    `person:NAME`; `before` what was in force when it was decided; `approvals` who said yes;
    `cause` the id of the Fact that led to it."""

    id: str
    sid: int
    value: float
    at: int
    expires: int
    origin: str
    before: float | None = None
    approvals: tuple[str, ...] = ()
    cause: str | None = None

    def __post_init__(self) -> None:
        texts = (self.id, self.origin, *self.approvals)
        if not all(0 < len(text) <= _MOST_TEXT for text in texts) or self.sid <= 0:
            raise Refused("a command needs an id, a signal and an origin", code="command.form")
        if not math.isfinite(self.value):
            raise Refused(f"the value {self.value} cannot be written", code="command.value",
                          hint="Give a finite number in the signal's unit")  # fmt: skip
        if not 0 < self.at < self.expires:
            raise Refused("a command expires after it was decided", code="command.time")


class Ending(StrEnum):
    """How a Command ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the Command with this id ended, at (µs UTC). `guard` names who refused it; `read_back`
    is the machine's own value after the write, where it could be read."""

    command: str
    ending: Ending
    at: int
    reason: str = ""
    guard: str = ""
    read_back: float | None = None
