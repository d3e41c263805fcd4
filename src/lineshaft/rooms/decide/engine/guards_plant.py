"""Guards about the plant: what may be written, how far, how often, and in what state of it.

Rules: bounds are the signal's own unit; comparisons are written so that NaN fails them; a value
that cannot be read, a signal without a good reading, a monitor that does not answer refuse. Taking
back our own newest move waits for neither dwell nor moves per hour: these spare the machine, a bad
move does not. Its value, its rate and the state of the plant are checked all the same.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from lineshaft.core.commands import Command
from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.guards import Envelope, Reading, Scene, is_revert

__all__ = [
    "AllowList",
    "Bounds",
    "Comparison",
    "Dwell",
    "Inputs",
    "Interlock",
    "Interlocks",
    "Monitor",
    "Moves",
    "Rate",
    "Unchanged",
    "WhatIf",
    "Within",
]  # fmt: skip

Envelopes = Mapping[int, Envelope]
_OPERATORS: Final[Mapping[str, Callable[[float | str, float | str], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AllowList:
    """A chain serves one loop (`origin`), and writes its signals only."""

    origin: str
    sids: frozenset[int]
    name: ClassVar[str] = "allow-list"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse another's Command, and a signal that nobody listed."""
        if command.origin != self.origin:
            return f"it comes from '{command.origin}', this is the way of '{self.origin}'"
        if command.sid not in self.sids:
            return f"the signal {command.sid} is not among those that may be written"
        return None


@dataclass(frozen=True, slots=True)
class Bounds:
    """The value lies inside the envelope."""

    envelopes: Envelopes
    name: ClassVar[str] = "envelope"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse a value outside, and a signal without an envelope."""
        envelope = self.envelopes.get(command.sid)
        if envelope is None:
            return f"the signal {command.sid} has no envelope"
        if not (math.isfinite(command.value) and envelope.low <= command.value <= envelope.high):
            return f"{command.value:.9g} is outside {envelope.low:.9g} to {envelope.high:.9g}"
        return None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What was in force when this was decided is in force still: nobody else moved it."""

    envelopes: Envelopes
    name: ClassVar[str] = "unchanged"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse where the machine has another value than the Command stands on."""
        if scene.in_force is None:
            return "what is in force cannot be read"
        if command.before is None:
            return "it does not say what was in force when it was decided"
        if not abs(scene.in_force - command.before) <= self.envelopes[command.sid].tolerance:
            return f"{scene.in_force:g} is in force, it was decided at {command.before:g}"
        return None


@dataclass(frozen=True, slots=True)
class Rate:
    """The signal travels no faster than its rate, over plant time."""

    envelopes: Envelopes
    name: ClassVar[str] = "rate"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse a move that goes further than the time since the last ones allows."""
        envelope = self.envelopes[command.sid]
        if scene.in_force is None:
            return "what is in force cannot be read"
        step = abs(command.value - scene.in_force)
        room = envelope.travel(scene.moves, scene.clock, scene.now)
        if not step <= room + envelope.tolerance:
            return (
                f"a move by {step:g}, {max(0.0, room):g} is allowed now ({envelope.rate:g} an hour)"
            )
        return None


@dataclass(frozen=True, slots=True)
class Moves:
    """No more moves in a plant hour than the machine likes."""

    envelopes: Envelopes
    name: ClassVar[str] = "moves"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse one too many; a move whose time cannot be told counts as recent."""
        envelope = self.envelopes[command.sid]
        recent = sum(not scene.clock.hours(one.at, scene.now) >= 1.0 for one in scene.moves)
        if is_revert(command, scene) or recent + 1 <= envelope.moves_per_h:
            return None
        return f"it was moved {recent} times in an hour, {envelope.moves_per_h:g} are allowed"


@dataclass(frozen=True, slots=True)
class Dwell:
    """Between two moves of a signal lies its dwell, in plant time."""

    envelopes: Envelopes
    name: ClassVar[str] = "dwell"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse a move that follows another too soon."""
        envelope = self.envelopes[command.sid]
        if not scene.moves or is_revert(command, scene):
            return None
        rested = scene.clock.hours(scene.moves[-1].at, scene.now)
        if not rested >= envelope.dwell_h:
            return f"it was moved {rested:.3g} h ago and has to rest {envelope.dwell_h:g} h"
        return None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a signal's newest value with a number, or with a text (== and != only)."""

    sid: int
    operator: str
    value: float | str

    def __post_init__(self) -> None:
        text = isinstance(self.value, str)
        if self.operator not in _OPERATORS or (text and self.operator not in ("==", "!=")):
            raise Refused(f"'{self.operator}' compares nothing here",
                          hint="Use < <= > >= == !=, with texts == and != only",
                          code="interlock.form")  # fmt: skip
        if not text and not math.isfinite(self.value):  # type: ignore[arg-type]
            raise Refused("an interlock compares with a finite number", code="interlock.form")

    def holds(self, reading: Reading | None) -> bool:
        """Return whether it is known to hold: a reading that is not Good holds nothing."""
        if reading is None or not reading.is_good:
            return False
        found = reading.s if isinstance(self.value, str) else reading.v
        if found is None or (isinstance(found, float) and not math.isfinite(found)):
            return False
        return _OPERATORS[self.operator](found, self.value)


@dataclass(frozen=True, slots=True)
class Interlock:
    """A condition with a name: one of its `rows` holds, and of a row every comparison."""

    what: str
    rows: tuple[tuple[Comparison, ...], ...]

    def __post_init__(self) -> None:
        if not self.rows or not all(self.rows):
            raise Refused(f"the interlock '{self.what}' compares nothing", code="interlock.form")


@dataclass(frozen=True, slots=True)
class Interlocks:
    """All conditions for writing hold."""

    locks: Sequence[Interlock]
    name: ClassVar[str] = "interlock"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse with the first condition that does not hold, or is not known to."""
        for lock in self.locks:
            if not any(all(c.holds(scene.readings.get(c.sid)) for c in row) for row in lock.rows):
                return f"'{lock.what}' does not hold"
        return None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the decision stands on is fresh and Good: younger than `most_s` wall seconds, because
    links are slow in wall time, and than `most_h` plant hours, because plants are fast."""

    sids: tuple[int, ...]
    most_s: float
    most_h: float = math.inf
    name: ClassVar[str] = "inputs"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse with the first input that is missing, not Good, too old or from the future."""
        for sid in self.sids:
            reading = scene.readings.get(sid)
            if reading is None:
                return f"the input {sid} has no value"
            if not reading.is_good:
                return f"the input {sid} is not Good"
            age_s = (scene.now - reading.heard) / 1e6
            # A sample may be stamped a little ahead; a clock that runs far ahead is not believed.
            age_h = scene.clock.hours(min(reading.heard, scene.now), scene.now)
            if not (-60.0 <= age_s <= self.most_s and age_h <= self.most_h):
                return f"the input {sid} is {age_s:.1f} s old"
        return None


@dataclass(frozen=True, slots=True)
class Monitor:
    """No monitor finds the plant abnormal: what was learned does not hold then."""

    name: ClassVar[str] = "monitor"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse while the plant is abnormal, or nobody knows whether it is."""
        if scene.abnormal is None:
            return "it is not known whether the plant is normal"
        return f"the plant is abnormal ({', '.join(scene.abnormal)})" if scene.abnormal else None


@dataclass(frozen=True, slots=True)
class Within:
    """A signal that must stay inside `low` … `high` (None: open) whatever is moved."""

    sid: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A twin foretells that the limited signals stay inside their limits after the move."""

    limits: Sequence[Within]
    name: ClassVar[str] = "what-if"

    def check(self, command: Command, scene: Scene) -> str | None:
        """Refuse where a band leaves a limit, or a limited signal is not foretold."""
        bands = {band.sid: band for band in scene.foretold or ()}
        for limit in self.limits:
            band = bands.get(limit.sid)
            if band is None:
                return f"nothing foretells what the signal {limit.sid} would do"
            low = -math.inf if limit.low is None else limit.low
            high = math.inf if limit.high is None else limit.high
            finite = math.isfinite(band.low) and math.isfinite(band.high)
            if not (finite and low <= band.low <= band.high <= high):
                return (
                    f"the signal {limit.sid} would come to {band.low:g} … {band.high:g}, "
                    f"its limits are {low:g} … {high:g}"
                )
        return None
