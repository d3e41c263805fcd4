"""Commands to try guards with: safe ones, and for each way of being unsafe ones that are unsafe in
that way alone, so that no other guard hides the loss of the one that should refuse them.

Drawn at random: signal, envelope, plant speed (also changing), moves before, approvals, readings.
Everything is data; a Case is judged as it is, or run through the whole chain by `bench.guards`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from lineshaft.core.commands import Command
from lineshaft.core.quality import Reason, bad, uncertain
from lineshaft.rooms.decide.engine.guards import (
    Band,
    Envelope,
    Guard,
    Move,
    PlantClock,
    Reading,
    Scene,
    revert_id,
)
from lineshaft.rooms.decide.engine.guards_people import (
    Approvals,
    Expiry,
    ModeGuard,
    Replay,
    Stop,
    approve,
)
from lineshaft.rooms.decide.engine.guards_plant import (
    AllowList,
    Bounds,
    Comparison,
    Dwell,
    Inputs,
    Interlock,
    Interlocks,
    Monitor,
    Moves,
    Rate,
    Unchanged,
    WhatIf,
    Within,
)
from lineshaft.rooms.decide.engine.ladder import Mode

__all__ = ["UNSAFE", "Case", "Cases", "forged"]

_KEY: Final = b"a key of the platform, 32 bytes.."
_LOOP: Final = "loop-1"
_HOUR_US: Final = 3_600_000_000
_LATEST: Final = 1_900_000_000_000_000
_INPUTS, _LOCKS, _LIMITS = (101, 102), (103, 104), (201, 202)
_PEOPLE: Final = ("anna", "ben", "cleo")


@dataclass(frozen=True, slots=True)
class Case:
    """A Command, the Scene it meets, the guards of its loop, and why it is unsafe ('' is safe)."""

    command: Command
    scene: Scene
    guards: tuple[Guard, ...]
    envelope: Envelope
    kind: str = ""


def forged(command: Command, **values: Any) -> Command:
    """Return a Command that its own checks would not let be made (NaN, infinite, …)."""
    made = replace(command)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


class Cases:
    """Draws cases; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._number = 0

    def safe(self) -> Case:
        """Draw a Command that every guard has to let pass; every third touches a bound."""
        draw, now = self._random, _LATEST + int(self._random.integers(0, 1 << 40))
        low = float(draw.uniform(-1000, 1000))
        span = float(10 ** draw.uniform(-2, 4))
        envelope = Envelope(
            int(draw.integers(1, 100)), low, low + span, rate=span * float(draw.uniform(0.05, 2)),
            window_h=float(draw.uniform(0.2, 3)), dwell_h=float(draw.choice([0, 0.05, 0.3])),
            moves_per_h=float(draw.integers(3, 20)),
        )  # fmt: skip
        clock = self._clock(now)
        moves = self._moves(envelope, clock, now)
        in_force = moves[-1].value if moves else self._inside(envelope)
        room = envelope.travel(moves, clock, now)
        value = self._step(envelope, in_force, room)
        self._number += 1
        at = now - int(draw.integers(0, 1_000_000))
        command = Command(
            f"c{self._number}", envelope.sid, value, at, now + int(draw.integers(1, 10_000_000)),
            _LOOP, before=in_force,
        )  # fmt: skip
        mode = Mode.SUPERVISED if draw.random() < 0.5 else Mode.AUTONOMOUS
        people = tuple(approve(_KEY, who, command, at) for who in draw.permutation(_PEOPLE)[:2])
        scene = Scene(
            mode=mode, stopped=False, abnormal=(), clock=clock, readings=self._readings(now),
            approvals=people, approvers=frozenset(_PEOPLE), foretold=_foretold(), now=now,
            seen=False, in_force=in_force, moves=moves,
        )  # fmt: skip
        return Case(command, scene, self._guards(envelope), envelope)

    def unsafe(self, kind: str) -> Case:
        """Draw a Command that is unsafe in one way, a key of UNSAFE."""
        while True:
            case = UNSAFE[kind][1](self._random, self.safe())
            if case is not None:
                return replace(case, kind=kind)

    def _clock(self, now: int) -> PlantClock:
        draw = self._random
        speed = float(draw.choice([1, 60, 1800]))
        first = (now - round(20 * _HOUR_US), float(draw.choice([1, 60, 1800])))
        changed = (now - round(float(draw.uniform(0, 2)) * _HOUR_US / speed), speed)
        return PlantClock((first, changed)) if draw.random() < 0.9 else PlantClock()

    def _moves(self, envelope: Envelope, clock: PlantClock, now: int) -> tuple[Move, ...]:
        """Moves that the guards would have let pass, the oldest some hours ago."""
        draw = self._random
        moves: list[Move] = []
        most = int(envelope.moves_per_h)
        apart = max(envelope.dwell_h, 1.0 / most) * 1.02
        hours = [apart * (number + 1) for number in range(int(draw.integers(0, 6)))]
        value = self._inside(envelope)
        for back in reversed(hours):
            at = _ago(clock, now, back)
            room = min(envelope.travel(moves, clock, at), envelope.rate * apart)
            after = self._step(envelope, value, 0.5 * room, edge=False)
            self._number += 1
            moves.append(Move(f"m{self._number}", at, value, after))
            value = after
        return tuple(moves)

    def _inside(self, envelope: Envelope) -> float:
        return float(self._random.uniform(envelope.low, envelope.high))

    def _step(self, envelope: Envelope, start: float, room: float, edge: bool = True) -> float:
        low, high = max(envelope.low, start - room), min(envelope.high, start + room)
        if edge and self._random.random() < 1 / 3:
            return low if self._random.random() < 0.5 else high
        return float(self._random.uniform(low, high))

    def _readings(self, now: int) -> dict[int, Reading]:
        draw = self._random

        def fresh(value: float, text: str | None = None) -> Reading:
            heard = now - int(draw.integers(0, 2_000_000))
            return Reading(value, 0, heard - int(draw.integers(0, _HOUR_US)), heard, text)

        one, other = _LOCKS
        return {sid: fresh(float(draw.normal())) for sid in _INPUTS} | {
            one: fresh(float(draw.uniform(0, 1))), other: fresh(math.nan, "running"),
        }  # fmt: skip

    def _guards(self, envelope: Envelope) -> tuple[Guard, ...]:
        one = {envelope.sid: envelope}
        locks = (
            Interlock("the pump runs", ((Comparison(_LOCKS[1], "==", "running"),),)),
            Interlock("the level is safe", ((Comparison(_LOCKS[0], "<=", 1.0),
                                             Comparison(_LOCKS[0], ">=", 0.0)),)),
        )  # fmt: skip
        two = int(self._random.integers(1, 3))
        return (
            Stop(), ModeGuard(), AllowList(_LOOP, frozenset({envelope.sid})), Replay(), Expiry(),
            Approvals(_KEY, supervised=two, autonomous=two), Bounds(one), Unchanged(one),
            Rate(one), Moves(one), Dwell(one), Interlocks(locks), Inputs(_INPUTS, 2.0, 1.01),
            Monitor(), WhatIf((Within(_LIMITS[0], 0.0, 10.0), Within(_LIMITS[1], high=5.0))),
        )  # fmt: skip


def _foretold() -> tuple[Band, ...]:
    return Band(_LIMITS[0], 0.0, 10.0), Band(_LIMITS[1], -1e6, 5.0)


def _ago(clock: PlantClock, now: int, hours: float) -> int:
    """Return the last moment (µs) that lies so many plant hours back."""
    at, left = now, hours * _HOUR_US
    for since, speed in (*reversed(clock.speeds), (0, 1.0)):  # before the first: wall time
        here = math.floor(at - left / speed)
        if here >= since:
            at = here
            break
        left, at = left - max(0, at - since) * speed, min(at, since)
    while clock.hours(at, now) < hours:
        at -= 1
    return at


Random = np.random.Generator
Spoil = Callable[[Random, Case], Case | None]


def _scene(case: Case, **values: Any) -> Case:
    return replace(case, scene=replace(case.scene, **values))


def _command(case: Case, **values: Any) -> Case:
    """Change the Command, and have people approve it as it is now."""
    command = forged(case.command, **values)
    people = tuple(approve(_KEY, one.person, command, one.at) for one in case.scene.approvals)
    return _scene(replace(case, command=command), approvals=people)


def _limit(random: Random, case: Case) -> Case | None:
    """Just outside, further outside, not a number: from near the edge, so no rate refuses it."""
    envelope, edge = case.envelope, case.envelope.high
    if random.random() < 0.1:
        return _command(case, value=float(random.choice([math.nan, math.inf, -math.inf])))
    room = envelope.travel((), case.scene.clock, case.scene.now)
    beyond = float(random.choice([np.nextafter(edge, math.inf), edge + 0.4 * room]))
    near = edge - float(random.uniform(0, 0.5)) * min(room, envelope.high - envelope.low)
    return _scene(_command(case, value=beyond, before=near), in_force=near, moves=())


def _rate(random: Random, case: Case) -> Case | None:
    """Further than the time since the last moves allows, inside the envelope."""
    envelope, start = case.envelope, case.scene.in_force
    assert start is not None
    room = envelope.travel(case.scene.moves, case.scene.clock, case.scene.now)
    step = room + 3 * envelope.tolerance + float(random.exponential(0.1)) * room
    for value in (start + step, start - step):
        if envelope.low <= value <= envelope.high:
            return _command(case, value=value)
    return None


def _moves(random: Random, case: Case) -> Case | None:
    """One move too many in this plant hour; small ones, rested long enough."""
    envelope, scene = case.envelope, case.scene
    most = int(envelope.moves_per_h)
    apart = 0.98 / most
    if envelope.dwell_h > apart or scene.in_force is None:
        return None
    ats = [_ago(scene.clock, scene.now, apart * (most - number)) for number in range(most)]
    here = scene.in_force
    moves = tuple(Move(f"{case.command.id}-{at}", at, here, here) for at in ats)
    value = here + (1 if here < (envelope.low + envelope.high) / 2 else -1) * envelope.tolerance * 2
    return _scene(_command(case, value=value), moves=moves)


def _dwell(random: Random, case: Case) -> Case | None:
    """Too soon after the last move, by a tiny step."""
    envelope, scene = case.envelope, case.scene
    if envelope.dwell_h == 0 or scene.in_force is None:
        return None
    back = envelope.dwell_h * float(random.choice([0.0, random.uniform(0, 1), 0.999]))
    moves = (Move("last", _ago(scene.clock, scene.now, back), scene.in_force, scene.in_force),)
    return _scene(_command(case, value=scene.in_force), moves=moves)


def _inputs(random: Random, case: Case) -> Case | None:
    """Old, in wall or in plant time; not Good; not there; no number; from the future."""
    sid, now = int(random.choice(_INPUTS)), case.scene.now
    before = case.scene.readings[sid]
    spoilt: list[Reading | None] = [
        replace(before, heard=now - int(random.integers(2_000_001, 1 << 40))),
        replace(before, heard=_ago(case.scene.clock, now, 1.02)),
        replace(before, q=int(random.choice([bad(Reason.LINK), uncertain(Reason.CLOCK), 512]))),
        replace(before, v=float(random.choice([math.nan, math.inf]))),
        replace(before, heard=now + 61_000_000),
        None,
    ]
    chosen = spoilt[int(random.integers(len(spoilt)))]
    readings = dict(case.scene.readings)
    del readings[sid]
    return _scene(case, readings=readings if chosen is None else {**readings, sid: chosen})


def _interlock(random: Random, case: Case) -> Case | None:
    number, text = _LOCKS
    now = case.scene.now
    spoilt = {
        number: [Reading(float(np.nextafter(1, 2)), 0, now, now), Reading(-0.1, 0, now, now),
                 Reading(math.nan, 0, now, now), Reading(0.5, bad(Reason.SENSOR), now, now)],
        text: [Reading(math.nan, 0, now, now, "tripped"), Reading(1.0, 0, now, now),
               Reading(math.nan, 256, now, now, "running")],
    }  # fmt: skip
    sid = int(random.choice(_LOCKS))
    chosen = spoilt[sid][int(random.integers(len(spoilt[sid])))]
    return _scene(case, readings={**case.scene.readings, sid: chosen})


def _approval(random: Random, case: Case) -> Case | None:
    """Too few: nobody, one twice, the proposer, somebody without the right, a forged seal, a yes to
    another value, signal, expiry or id, or one from the future."""
    command, scene = case.command, case.scene
    one, at = scene.approvals[0], scene.now - 1
    other = [
        approve(b"another key", one.person, command, at),
        approve(_KEY, "mallory", command, at),
        approve(_KEY, one.person, replace(command, value=command.value + 1), at),
        approve(_KEY, one.person, replace(command, sid=command.sid + 1), at),
        approve(_KEY, one.person, replace(command, expires=command.expires + 1), at),
        approve(_KEY, one.person, replace(command, id="another"), at),
        approve(_KEY, one.person, command, scene.now + 5_000_000),
        replace(one, value=command.value + 1), replace(one, person="ben" if one.person != "ben"
                                                       else "cleo"),
        replace(one, seal=""), replace(one, seal="0" * 64), replace(one, seal="é"),
    ]  # fmt: skip
    needed = next(guard for guard in case.guards if isinstance(guard, Approvals)).supervised
    genuine = scene.approvals[: needed - 1]
    fake = other[int(random.integers(len(other)))]
    if fake.person in {yes.person for yes in genuine}:
        fake = replace(fake, person="mallory")
    return _scene(case, approvals=(*genuine, *genuine, fake))


def _proposer(random: Random, case: Case) -> Case | None:
    """Who proposed it approves it: a chain of that person's own."""
    who = str(random.choice(_PEOPLE))
    mine = f"person:{who}"
    guards = tuple(
        AllowList(mine, guard.sids) if isinstance(guard, AllowList)
        else Approvals(_KEY, 1, 1) if isinstance(guard, Approvals) else guard
        for guard in case.guards
    )  # fmt: skip
    spoilt = replace(case, command=replace(case.command, origin=mine), guards=guards)
    return _scene(spoilt, approvals=(approve(_KEY, who, spoilt.command, case.scene.now),))


def _expired(random: Random, case: Case) -> Case | None:
    """Expired now or long ago, decided in the future, valid for ever."""
    now = case.scene.now
    times = [
        (now - 10, now), (now - 9, now - 1), (now - 1_000_000_000, now - 900_000_000),
        (now + 60_000_001, now + 70_000_000), (now, now + 3_600_000_001), (now, 1 << 62),
    ]  # fmt: skip
    at, expires = times[int(random.integers(len(times)))]
    return _command(case, at=at, expires=expires)


def _whatif(random: Random, case: Case) -> Case | None:
    one, other = _LIMITS
    bands: list[tuple[Band, ...] | None] = [
        None, (), _foretold()[:1], (Band(one, -0.1, 10.0), Band(other, 0, 5)),
        (Band(one, 0, float(np.nextafter(10, 11))), Band(other, 0, 5)),
        (Band(one, math.nan, 5), Band(other, 0, 5)), (Band(one, 0, 5), Band(other, 0, math.inf)),
        (Band(one, 9, 1), Band(other, 0, 5)),
    ]  # fmt: skip
    return _scene(case, foretold=bands[int(random.integers(len(bands)))])


def _unchanged(random: Random, case: Case) -> Case | None:
    """Somebody moved it meanwhile, or nobody can tell; a move of its own size from where it is."""
    if random.random() < 0.2:
        return _command(case, before=None)
    envelope, value = case.envelope, case.command.value
    away = 2 * envelope.tolerance
    here = value + (away if value < (envelope.low + envelope.high) / 2 else -away)
    before = here + 4 * away
    return _scene(_command(case, before=before), in_force=here, moves=())


def _listed(random: Random, case: Case) -> Case | None:
    """Of another loop; or on a signal that has an envelope but is on nobody's list."""
    if random.random() < 0.5:
        return _command(case, origin=str(random.choice(["loop-2", "person:anna", "loop-1 "])))
    bare = AllowList(_LOOP, frozenset({case.command.sid + 1}))
    guards = tuple(bare if isinstance(guard, AllowList) else guard for guard in case.guards)
    return replace(case, guards=guards)


def _revert(random: Random, case: Case) -> Case | None:
    """Calls itself the taking back of a move, to be spared its approvals, and is none."""
    if not case.scene.moves:
        return None
    last = case.scene.moves[-1]
    if case.command.value == last.before:
        return None
    return _scene(_command(case, id=revert_id(last.command)), approvals=())


def _just(**values: Any) -> Spoil:
    return lambda random, case: _scene(case, **values)


#: Each way to be unsafe, and the guard that has to refuse it.
UNSAFE: Final[Mapping[str, tuple[str, Spoil]]] = {
    "limit": ("envelope", _limit),
    "rate": ("rate", _rate),
    "moves": ("moves", _moves),
    "dwell": ("dwell", _dwell),
    "stale": ("inputs", _inputs),
    "interlock": ("interlock", _interlock),
    "abnormal": ("monitor", lambda random, case: _scene(
        case, abnormal=(None, ("reactor",), ("a", "b"))[int(random.integers(3))])),
    "what-if": ("what-if", _whatif),
    "wrong approver": ("approval", _approval),
    "own approver": ("approval", _proposer),
    "false revert": ("approval", _revert),
    "expired": ("expiry", _expired),
    "replayed": ("replay", _just(seen=True)),
    "wrong mode": ("mode", lambda random, case: _scene(
        case, mode=(Mode.SHADOW, Mode.ADVISORY)[int(random.integers(2))])),
    "stopped": ("stop", _just(stopped=True)),
    "not listed": ("allow-list", _listed),
    "moved meanwhile": ("unchanged", _unchanged),
}  # fmt: skip
