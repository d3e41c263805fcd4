"""The words of the guards: what is known at the moment of a write, and what a guard is.

Rules: a guard is pure and says why it refuses, or None; it permits only what it can show to be
safe, so what is unknown, NaN, infinite or raises is refused; it never changes a Command; the guards
of a chain are asked with one Scene, and adding one never permits more. Stamps are wall time (µs
UTC); rates, dwell and moves per hour count plant time.

The guards are in `guards_people` (stop, mode, approval, expiry, replay) and `guards_plant`
(allow-list, envelope, rate, moves, dwell, interlock, inputs, monitor, what-if).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from lineshaft.core.commands import Command
from lineshaft.core.errors import Refused
from lineshaft.core.quality import GOOD
from lineshaft.rooms.decide.engine.ladder import Mode

__all__ = [
    "Approval", "Band", "Envelope", "Guard", "Move", "PlantClock", "Reading", "Scene", "Verdict",
    "is_revert", "judge", "revert_id",
]  # fmt: skip

_HOUR_US: Final = 3_600_000_000
_REVERT: Final = ":revert"


@dataclass(frozen=True, slots=True)
class PlantClock:
    """How fast the plant ran: (wall µs, plant seconds per wall second) in order of time, each until
    the next. Before the first of them no more than wall time is believed to have passed; without
    any, plant time is wall time."""

    speeds: tuple[tuple[int, float], ...] = ()

    def hours(self, start: int, end: int) -> float:
        """Return the plant hours between two stamps; NaN where they or the speeds are in the wrong
        order, or a speed is no number."""
        stamps = [at for at, _ in self.speeds]
        sane = all(math.isfinite(speed) and speed >= 0 for _, speed in self.speeds)
        if end < start or not sane or stamps != sorted(stamps):
            return math.nan
        first = min(1.0, self.speeds[0][1]) if self.speeds else 1.0
        steps = [(start, first), *self.speeds]
        total = 0.0
        for (at, speed), (until, _) in zip(steps, [*self.speeds, (end, 0.0)], strict=True):
            total += max(0, min(until, end) - max(at, start)) * speed
        return total / _HOUR_US


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest sample of a signal: number `v` (NaN where it has none) or text `s`, quality, stamp
    `ts`; `heard` is when it was last known to hold (µs): `ts`, or a later sign of life of its
    source, since many machines send a value only when it changes."""

    v: float
    q: int
    ts: int
    heard: int
    s: str | None = None

    @property
    def is_good(self) -> bool:
        """Return whether its quality is Good and it says something."""
        return self.q == GOOD and (self.s is not None or math.isfinite(self.v))


@dataclass(frozen=True, slots=True)
class Move:
    """A write that was sent: by which Command, when (µs), from what to what."""

    command: str
    at: int
    before: float | None
    value: float


@dataclass(frozen=True, slots=True)
class Band:
    """Where a limited signal is foretold to stay after the move: `low` … `high`."""

    sid: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to one Command: bound by `seal` to its id, signal, value and expiry."""

    person: str
    command: str
    sid: int
    value: float
    expires: int
    at: int
    seal: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a signal may be told: `low` … `high` in its unit; `rate` the most it may travel in a
    plant hour, counted over `window_h` (after a rest it may go as far as rate x window at once);
    `dwell_h` the least plant time between two moves, `moves_per_h` the most of them."""

    sid: int
    low: float
    high: float
    rate: float
    window_h: float = 1.0
    dwell_h: float = 0.0
    moves_per_h: float = 60.0

    def __post_init__(self) -> None:
        numbers = (self.low, self.high, self.rate, self.window_h, self.dwell_h, self.moves_per_h)
        if not (all(map(math.isfinite, numbers)) and self.low < self.high and self.rate > 0
                and self.window_h > 0 and self.dwell_h >= 0 and self.moves_per_h > 0):  # fmt: skip
            raise Refused(
                f"the envelope of signal {self.sid} leaves no room, or is no envelope",
                hint="Give low < high; rate, window and moves above zero; a dwell of zero or more",
                code="envelope.form",
            )

    @property
    def tolerance(self) -> float:
        """Return up to which difference two values are the same: single precision on the wire."""
        return max(1e-6 * (self.high - self.low), 2.5e-7 * max(abs(self.low), abs(self.high)))

    def travel(self, moves: Sequence[Move], clock: PlantClock, now: int) -> float:
        """Return how far the signal may go now; NaN where the times make no sense. A loop that
        asks for no more is not refused for its rate."""
        room = most = self.rate * self.window_h
        ends = [*(move.at for move in moves), now][1:]
        for move, end in zip(moves, ends, strict=True):
            room -= most if move.before is None else abs(move.value - move.before)
            room += self.rate * clock.hours(move.at, end)
            room = most if room > most else room  # NaN stays NaN, and permits nothing
        return room


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is known at the moment of a write. The loop fills in what it knows; `now`, `seen`,
    `in_force` and `moves` are filled in by the chain itself, from the journal and the machine.

    `mode` of the Command's loop; `stopped` the big stop; `abnormal` names the monitors that find
    the plant abnormal (None: not known); `readings` newest samples by sid; `approvals` as they were
    given, `approvers` the accounts that may approve now; `foretold` what a twin expects of the
    limited signals after this move (None: not asked or no answer); `seen` whether the id was used
    before; `in_force` what the machine has now (None: it cannot be read); `moves` of this signal,
    oldest first.
    """

    mode: Mode
    stopped: bool
    abnormal: tuple[str, ...] | None
    clock: PlantClock = PlantClock()
    readings: Mapping[int, Reading] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    approvers: frozenset[str] = frozenset()
    foretold: tuple[Band, ...] | None = None
    now: int = 0
    seen: bool = True
    in_force: float | None = None
    moves: tuple[Move, ...] = ()


class Guard(Protocol):
    """One reason not to write. `name` is a word for people: a refused Command names its guard."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def check(self, command: Command, scene: Scene) -> str | None:
        """Return None where the Command may pass, else one sentence that says why not."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guard said of one Command; `reason` is empty where it let it pass."""

    guard: str
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Return whether it let the Command pass."""
        return not self.reason


def judge(guards: Sequence[Guard], command: Command, scene: Scene) -> tuple[Verdict, ...]:
    """Return what each guard says, in their order; a guard that fails has refused."""
    return tuple(_verdict(guard, command, scene) for guard in guards)


def _verdict(guard: Guard, command: Command, scene: Scene) -> Verdict:
    try:
        why = guard.check(command, scene)
    except Exception as error:
        why = f"it could not be checked: {type(error).__name__}: {error}"[:300]
    return Verdict(guard.name, "" if why is None else why or "refused")


def revert_id(command: str) -> str:
    """Return the id of the Command that takes this one back; there is only one such id."""
    return command + _REVERT


def is_revert(command: Command, scene: Scene) -> bool:
    """Return whether the Command takes back the newest move of its signal, and nothing else."""
    if not scene.moves:
        return False
    last = scene.moves[-1]
    return command.id == revert_id(last.command) and command.value == last.before
