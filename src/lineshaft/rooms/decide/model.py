"""The words of loops: a Loop is a record that people edit; what it means is checked here.

Rules: everything is bound to signals by sid, so a renamed signal stays bound; numbers are in the
signals' own units; times are plant hours, those that people or links need (a person's answer, the
age of a sample) wall seconds. A mode is no part of the record: it moves along the ladder only.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal

__all__ = [
    "FIGURES", "MODES", "SOURCE", "Conditions", "Foresight", "Goal", "Interlock", "Loop",
    "LoopHandle", "LoopLimit", "Remote", "Worth", "checked",
]  # fmt: skip

SOURCE: Final = "decide"
MODES: Final = ("shadow", "advisory", "supervised", "autonomous")
METHODS: Final = ("optimise", "mpc", "rules")
BASELINES: Final = ("before", "switch-back", "twin")
#: A loop's own signals and their units; "" stands for that of its objective.
FIGURES: Final[Mapping[str, str]] = {
    "objective": "", "settled": "", "best": "", "expected": "", "baseline": "", "gain": "",
    "gain-low": "", "gain-high": "", "gained": "*h", "integral": "*h", "mode": "1", "moves": "1",
}  # fmt: skip

_NAME: Final = re.compile(r"[^\x00-\x1f]{1,120}")
_MOST: Final = 250
_LONGEST_H: Final = 8760.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be small (or large): an expression over signals as in calculations; `sid` is the
    signal that carries it, `unit` what it is in."""

    expression: str
    sense: str = "minimise"
    unit: str = ""
    sid: int = 0

    def __post_init__(self) -> None:
        if self.sense not in ("minimise", "maximise"):
            raise Refused(f"'{self.sense}' is no sense of an objective", code="loop.goal",
                          hint="minimise or maximise")  # fmt: skip
        if not self.expression.strip():
            raise Refused("a loop needs an objective", code="loop.goal",
                          hint='Name a signal as "site/…/cost", or an expression')  # fmt: skip

    @property
    def sign(self) -> float:
        """What makes it smaller when it gets better: 1 or -1."""
        return 1.0 if self.sense == "minimise" else -1.0


@dataclass(frozen=True, slots=True)
class LoopHandle:
    """A signal that the loop may move: `low` and `high` in its unit, `rate` the most it may move in
    a plant hour, `dwell_h` the least plant time between two moves, `moves_per_h` the most moves.
    `unit` is what its numbers are in; empty stands for the signal's."""

    sid: int
    low: float
    high: float
    rate: float
    dwell_h: float = 0.0
    moves_per_h: float = 60.0
    unit: str = ""

    def __post_init__(self) -> None:
        numbers = (self.low, self.high, self.rate, self.dwell_h, self.moves_per_h)
        if not all(map(math.isfinite, numbers)) or not (
            self.low < self.high and self.rate > 0 and self.dwell_h >= 0 and self.moves_per_h > 0
        ):
            raise Refused(f"the handle {self.sid} has no range to move in, or no rate",
                          hint="Give low < high, a rate and moves an hour above zero, and a dwell "
                          "of zero or more", code="loop.handle")  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoopLimit:
    """A signal that must stay inside `low` and `high` (None: open); `back_off` is the distance to
    them that the loop keeps; `unit` as of a handle."""

    sid: int
    low: float | None = None
    high: float | None = None
    back_off: float = 0.0
    unit: str = ""

    def __post_init__(self) -> None:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if self.low is None and self.high is None:
            raise Refused(f"the limit of {self.sid} has neither low nor high", code="loop.limit")
        if not (0 <= self.back_off < math.inf and low + self.back_off < high - self.back_off):
            raise Refused(f"nothing is left between the limits of {self.sid}",
                          hint="Give a high above low, further apart than twice the back-off",
                          code="loop.limit")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interlock:
    """A condition that must hold for every write: the signal's value lies in `low` … `high`."""

    sid: int
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise Refused(f"the interlock of {self.sid} has neither low nor high",
                          code="loop.interlock")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Foresight:
    """What must be foretold before every move: these `twins`, asked for the next `hours` (plant
    time) with all moves of the proposal made, must expect the limited signals `sids` inside their
    limits. Without twins nobody is asked."""

    twins: Sequence[str] = ()
    sids: Sequence[int] = ()
    hours: float = 1.0

    def __post_init__(self) -> None:
        if bool(self.twins) != bool(self.sids) or not 0 < self.hours <= 1000:
            raise Refused("a foresight without twins, without signals or without hours",
                          hint="Name the twins, which limited signals they foretell, and up to "
                          "1,000 hours", code="loop.foresight")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Conditions:
    """What stands between a wish and a write. `approvals` is how many persons must say yes in
    supervised mode, `answer_s` how long (wall) one waits for them; `fresh_s` (wall) is how old an
    input may be; while one of `twins` has drifted, or finds its process abnormal, nothing moves;
    `foresight` says what must be foretold of a move."""

    approvals: int = 1
    answer_s: float = 120.0
    fresh_s: float = 30.0
    interlocks: Sequence[Interlock] = ()
    twins: Sequence[str] = ()
    foresight: Foresight = Foresight()

    def __post_init__(self) -> None:
        if self.approvals not in (1, 2):
            raise Refused(f"{self.approvals} approvals", hint="One person or two",
                          code="loop.approvals")  # fmt: skip
        if not (1 <= self.answer_s <= 3600 and 0.1 <= self.fresh_s <= 86_400):
            raise Refused("a time to answer or an age of inputs out of range",
                          hint="1 s to an hour to answer, 0.1 s to a day of age",
                          code="loop.times")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remote:
    """How the plant is taken over: a flag that asks for remote control (written 1) and a number
    that must change for as long as we live; without them the machine obeys any time."""

    wish: int | None = None
    heartbeat: int | None = None


@dataclass(frozen=True, slots=True)
class Worth:
    """What a gain is worth: `baseline` what it is compared with; `per_unit` turns a unit of the
    objective into each quantity (EUR, t, kWh, h), where that is known; `move` is the objective's
    worth of one move."""

    baseline: str = "before"
    per_unit: Mapping[str, float] = field(default_factory=dict)
    move: float = 0.0

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise Refused(f"'{self.baseline}' is no baseline", code="loop.worth",
                          hint=f"One of {', '.join(BASELINES)}")  # fmt: skip
        if not all(map(math.isfinite, (self.move, *self.per_unit.values()))) or self.move < 0:
            raise Refused("a worth that is no number, or a negative cost of moves",
                          code="loop.worth")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop. `machine` is where its own signals stand (`signals`: sid by name of FIGURES);
    `inputs` must be fresh beside objective and limits; `clock` tells how fast the plant runs (None:
    wall time); `settle_h` is how long the plant takes to come to rest, `tolerance` how far, as a
    share of the objective, a settled result may be from what was foretold, or worse than before
    without being taken back."""

    id: str
    name: str
    machine: str
    goal: Goal
    handles: Sequence[LoopHandle]
    limits: Sequence[LoopLimit] = ()
    inputs: Sequence[int] = ()
    clock: int | None = None
    period_h: float = 1.0
    settle_h: float = 24.0
    tolerance: float = 0.02
    method: str = "optimise"
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    conditions: Conditions = Conditions()
    remote: Remote = Remote()
    worth: Worth = Worth()
    signals: Mapping[str, int] = field(default_factory=dict)
    enabled: bool = True
    revision: int = 1

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Refused("a loop needs a name of 1 to 120 characters", code="loop.name")
        if self.method not in METHODS:
            raise Refused(f"'{self.method}' is no method", code="loop.method",
                          hint=f"One of {', '.join(METHODS)}")  # fmt: skip
        moved = [one.sid for one in self.handles]
        if not moved or len(set(moved)) < len(moved):
            raise Refused(f"the loop '{self.name}' needs handles, each once", code="loop.handles")
        limited = [one.sid for one in self.limits]
        if len(set(limited)) < len(limited):
            raise Refused(f"a signal is limited twice in '{self.name}'", code="loop.limits")
        if len(moved) + len(limited) + len(self.inputs) > _MOST:
            raise Refused(f"more than {_MOST} signals in one loop", code="loop.size",
                          hint="Make several loops of it")  # fmt: skip
        if not (0 < self.period_h <= _LONGEST_H and self.period_h <= self.settle_h <= _LONGEST_H):
            raise Refused("a period or a time to settle out of range", code="loop.period",
                          hint="Give a period above zero, and a time to settle no shorter than "
                          "it")  # fmt: skip
        if odd := sorted(set(self.conditions.foresight.sids) - set(limited)):
            raise Refused(f"the signal {odd[0]} is to be foretold, but has no limit",
                          hint="Give it a limit", code="loop.foresight")  # fmt: skip
        if not 0 < self.tolerance <= 1:
            raise Refused("a tolerance is a share of the objective", code="loop.tolerance",
                          hint="Above 0, and 1 at most")  # fmt: skip

    @property
    def heard(self) -> tuple[int, ...]:
        """The sids of all signals that the loop listens to, ascending."""
        found = {self.goal.sid, self.clock or 0, *self.inputs}
        found |= {one.sid for one in self.handles} | {one.sid for one in self.limits}
        found |= {one.sid for one in self.conditions.interlocks}
        return tuple(sorted(found - {0}))

    @property
    def needed(self) -> tuple[int, ...]:
        """The sids of the inputs that must be fresh: objective, limits and what else is named."""
        return (self.goal.sid, *(one.sid for one in self.limits), *self.inputs)

    def to_json(self) -> str:
        """Return everything but id and revision as JSON text."""
        body = asdict(self)
        del body["id"], body["revision"]
        return json.dumps(body, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, id: str, revision: int) -> Self:
        """Read what `to_json` wrote; raises Refused where it means nothing."""
        try:
            body: dict[str, Any] = json.loads(text)
            conditions = body.pop("conditions")
            locks = tuple(Interlock(**one) for one in conditions.pop("interlocks"))
            conditions["twins"] = tuple(conditions["twins"])
            seen: dict[str, Any] = conditions.pop("foresight", {})
            foresight = Foresight(
                tuple(seen.get("twins", ())), tuple(seen.get("sids", ())), seen.get("hours", 1.0)
            )
            return cls(
                id=id, revision=revision,
                goal=Goal(**body.pop("goal")),
                handles=tuple(LoopHandle(**one) for one in body.pop("handles")),
                limits=tuple(LoopLimit(**one) for one in body.pop("limits")),
                inputs=tuple(body.pop("inputs")),
                conditions=Conditions(interlocks=locks, foresight=foresight, **conditions),
                remote=Remote(**body.pop("remote")), worth=Worth(**body.pop("worth")), **body,
            )  # fmt: skip
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Refused(f"this is no loop: {error}"[:300], code="loop.form") from error

    def with_signals(self, goal: Goal, signals: Mapping[str, int]) -> "Loop":
        """Return this loop with its objective's signal and its own signals."""
        return replace(self, goal=goal, signals=dict(signals))


def checked(loop: Loop, signals: Mapping[int, Signal]) -> Loop:
    """Return the loop unchanged where its signals are such that it can run; raise Refused with the
    first that is not: unknown, no number, not writable, of another unit, beyond its range."""
    for sid in loop.heard:
        if sid not in signals:
            raise Refused(f"there is no signal {sid}", hint="See GET /signals",
                          code="loop.signal", status=422)  # fmt: skip
        if signals[sid].kind is Kind.STRING:
            raise Refused(f"'{signals[sid].path}' is text", hint="Take a signal of numbers",
                          code="loop.signal", status=422)  # fmt: skip
    units = [(one.sid, one.unit) for one in loop.handles]
    for sid, unit in units + [(one.sid, one.unit) for one in loop.limits]:
        if unit not in ("", signals[sid].unit):
            raise Refused(f"'{signals[sid].path}' is in '{signals[sid].unit}', its numbers here "
                          f"are in '{unit}'"[:500], code="loop.unit", status=422,
                          hint="Give them in the signal's own unit")  # fmt: skip
    for handle in loop.handles:
        _check_handle(handle, signals[handle.sid])
        if handle.sid == loop.goal.sid:
            raise Refused(f"'{signals[handle.sid].path}' is moved and is the objective too",
                          code="loop.goal", status=422)  # fmt: skip
    for limit in loop.limits:
        _check_limit(limit, signals[limit.sid])
    for own in (loop.remote.wish, loop.remote.heartbeat):
        if own is not None and not (own in signals and signals[own].writable):
            raise Refused(f"the signal {own} of the remote control cannot be written",
                          code="loop.writable", status=422)  # fmt: skip
    return loop


def _check_handle(handle: LoopHandle, signal: Signal) -> None:
    if not signal.writable:
        raise Refused(f"'{signal.path}' cannot be written", code="loop.writable", status=422,
                      hint="Its machine says so; take another signal as a handle")  # fmt: skip
    low = -math.inf if signal.low is None else signal.low
    high = math.inf if signal.high is None else signal.high
    if handle.low < low or handle.high > high:
        raise Refused(
            f"'{signal.path}' would move from {handle.low:g} to {handle.high:g} {signal.unit}",
            hint=f"Its range is {low:g} to {high:g} {signal.unit}", code="loop.range", status=422,
        )  # fmt: skip


def _check_limit(limit: LoopLimit, signal: Signal) -> None:
    low = -math.inf if signal.low is None else signal.low
    high = math.inf if signal.high is None else signal.high
    least = -math.inf if limit.low is None else limit.low + limit.back_off
    most = math.inf if limit.high is None else limit.high - limit.back_off
    if least > high or most < low:
        raise Refused(
            f"'{signal.path}' can never be inside its limits",
            hint=f"Its range is {low:g} to {high:g} {signal.unit}", code="loop.limit", status=422,
        )  # fmt: skip
