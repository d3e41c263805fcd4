"""Exactly one Outcome: what is written down before and after each step of a Command.

    (unknown) ──open──▶ decided ──send──▶ sent ──end──▶ ended
                           └──────────────end──────────▶

Rules: a step is on disk before what it announces is done; each step is taken by one caller only,
whoever asks again is told what stands; `ended` is final. So after a crash: what was not `sent`
never reached a machine, and what was `sent` is not sent again: the machine's own value decides.
Pure; a store implements `Journal` with one transaction a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.rooms.decide.engine.guards import Move

__all__ = ["GRACE_US", "Book", "Entry", "Journal", "Stage", "settle"]

#: How long after its expiry a write that was handed on may still reach the machine (µs): the time
#: limit of a write request and then some.
GRACE_US: Final = 6_000_000


class Stage(StrEnum):
    """How far a Command has come."""

    DECIDED = "decided"
    SENT = "sent"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Entry:
    """One Command in the journal."""

    command: Command
    stage: Stage = Stage.DECIDED
    sent_at: int | None = None
    outcome: Outcome | None = None


class Journal(Protocol):
    """What keeps the entries; each call returns once the step is on disk, and raises where it
    cannot be. In SQL: `open` inserts where the id is free, `send` and `end` update where the stage
    is still what it must be, and the number of rows tells who took the step."""

    async def open(self, command: Command) -> tuple[Entry, bool]:
        """Write the Command down as decided; return its entry and True. Where the id is known
        already, return what stands there and False."""
        ...

    async def send(self, command: str, at: int) -> bool:
        """Take the step from decided to sent; False where it was taken before, or ended."""
        ...

    async def end(self, outcome: Outcome) -> Outcome:
        """Take the last step; return the Outcome that stands, which is the first."""
        ...

    async def pending(self) -> Sequence[Entry]:
        """Return all entries that have not ended, oldest first."""
        ...

    async def moves(self, sid: int) -> Sequence[Move]:
        """Return the newest moves of a signal (200 at most), oldest first: all that was sent,
        but for what the machine is known to have refused."""
        ...


class Book:
    """The journal's steps, in memory: what a store must do, and what tests compare it with."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def open(self, command: Command) -> tuple[Entry, bool]:
        """Enter a Command where its id is free."""
        known = self.entries.get(command.id)
        if known is not None:
            return known, False
        self.entries[command.id] = Entry(command)
        return self.entries[command.id], True

    def send(self, command: str, at: int) -> bool:
        """Step from decided to sent."""
        entry = self.entries.get(command)
        if entry is None or entry.stage is not Stage.DECIDED:
            return False
        self.entries[command] = replace(entry, stage=Stage.SENT, sent_at=at)
        return True

    def end(self, outcome: Outcome) -> Outcome:
        """Step to ended, once; raises KeyError for a Command that was never entered."""
        entry = self.entries[outcome.command]
        if entry.outcome is not None:
            return entry.outcome
        self.entries[outcome.command] = replace(entry, stage=Stage.ENDED, outcome=outcome)
        return outcome

    def pending(self) -> list[Entry]:
        """Return what has not ended."""
        return [entry for entry in self.entries.values() if entry.stage is not Stage.ENDED]

    def moves(self, sid: int) -> list[Move]:
        """Return what was sent of a signal and not refused by the machine, oldest first."""
        sent = [
            Move(entry.command.id, entry.sent_at, entry.command.before, entry.command.value)
            for entry in self.entries.values()
            if entry.command.sid == sid and entry.sent_at is not None
            and (entry.outcome is None or entry.outcome.ending is not Ending.REFUSED)
        ]  # fmt: skip
        return sorted(sent, key=lambda move: move.at)[-200:]


def settle(
    entry: Entry, in_force: float | None, tolerance: float, now: int, *, grace: int = GRACE_US
) -> Outcome | None:
    """Return how a Command ended that nobody is working on any more, None while it cannot be told.

    What was not sent did not happen. What was sent is done where the machine has its value; it
    failed only once it is too late for the write to arrive, `grace` after its expiry.
    """
    if entry.outcome is not None:
        return entry.outcome
    command = entry.command
    if entry.stage is Stage.DECIDED:
        if now >= command.expires:
            return Outcome(command.id, Ending.EXPIRED, now, "it expired before it was sent")
        return Outcome(command.id, Ending.FAILED, now, "we were interrupted before it was sent; "
                       "nothing was written")  # fmt: skip
    if in_force is not None and abs(in_force - command.value) <= tolerance:
        return Outcome(command.id, Ending.DONE, now, read_back=in_force)
    if now < command.expires + grace:
        return None
    if in_force is None:
        why = "it was sent, and nobody can tell whether it is in force: it cannot be read"
    else:
        why = f"it was sent, but {in_force:g} is in force instead of {command.value:g}"
    return Outcome(command.id, Ending.FAILED, now, why, read_back=in_force)
