"""Each guard at its boundaries; that more guards never permit more; that none of them is idle."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bench.guard_cases import UNSAFE, Case, Cases, forged
from bench.guards import idle_guards, try_again, try_race, try_safe, try_unsafe
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.commands import Command
from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.actuate import revert_of
from lineshaft.rooms.decide.engine.guards import (
    Band,
    Envelope,
    Move,
    PlantClock,
    Reading,
    Scene,
    judge,
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

NOW = 1_800_000_000_000_000
HOUR = 3_600_000_000
SID = 7
KEY = b"k" * 32
ENVELOPE = Envelope(SID, 10.0, 20.0, rate=2.0, window_h=0.5, dwell_h=0.25, moves_per_h=3)
ALL = {SID: ENVELOPE}


def command(value: float = 15.0, **more: Any) -> Command:
    fields = {"at": NOW - 10, "expires": NOW + 10, "origin": "loop", "before": 14.5, **more}
    return Command("c", SID, value, **fields)


def scene(**more: Any) -> Scene:
    known = {"mode": Mode.AUTONOMOUS, "stopped": False, "abnormal": (), "now": NOW, "seen": False,
             "in_force": 14.5}  # fmt: skip
    return Scene(**{**known, **more})


def moved(*hours_ago: float, step: float = 0.0) -> tuple[Move, ...]:
    return tuple(Move(f"m{h}", NOW - round(h * HOUR), 14.5 - step, 14.5) for h in hours_ago)


BOUNDARIES: list[tuple[Any, Any, Any, bool]] = [
    (Stop(), {}, {}, True),
    (Stop(), {}, {"stopped": True}, False),
    (ModeGuard(), {}, {"mode": Mode.SUPERVISED}, True),
    (ModeGuard(), {}, {"mode": Mode.ADVISORY}, False),
    (ModeGuard(), {}, {"mode": Mode.SHADOW}, False),
    (Expiry(), {"expires": NOW + 1}, {}, True),
    (Expiry(), {"expires": NOW}, {}, False),
    (Expiry(), {"at": NOW + 60_000_000, "expires": NOW + 61_000_000}, {}, True),
    (Expiry(), {"at": NOW + 60_000_001, "expires": NOW + 61_000_000}, {}, False),
    (Expiry(1000), {"at": NOW - 1, "expires": NOW + 999}, {}, True),
    (Expiry(1000), {"at": NOW - 1, "expires": NOW + 1000}, {}, False),
    (Replay(), {}, {}, True),
    (Replay(), {}, {"seen": True}, False),
    (AllowList("loop", frozenset({SID})), {}, {}, True),
    (AllowList("loop", frozenset({8})), {}, {}, False),
    (AllowList("other", frozenset({SID})), {}, {}, False),
    (Bounds(ALL), {"value": 10.0}, {}, True),
    (Bounds(ALL), {"value": 20.0}, {}, True),
    (Bounds(ALL), {"value": float(np.nextafter(10, 0))}, {}, False),
    (Bounds(ALL), {"value": float(np.nextafter(20, 99))}, {}, False),
    (Bounds(ALL), {"value": 1e308}, {}, False),
    (Bounds({}), {}, {}, False),
    (Unchanged(ALL), {}, {"in_force": 14.5 + ENVELOPE.tolerance / 2}, True),
    (Unchanged(ALL), {}, {"in_force": 14.5 + 2 * ENVELOPE.tolerance}, False),
    (Unchanged(ALL), {}, {"in_force": None}, False),
    (Unchanged(ALL), {}, {"in_force": math.nan}, False),
    (Unchanged(ALL), {"before": None}, {}, False),
    (Rate(ALL), {"value": 15.5}, {}, True),  # 2 an hour for half an hour
    (Rate(ALL), {"value": 13.5}, {}, True),
    (Rate(ALL), {"value": 15.51}, {}, False),
    (Rate(ALL), {"value": 13.49}, {}, False),
    (Rate(ALL), {"value": 15.0}, {"moves": moved(0.25, step=1.0)}, True),
    (Rate(ALL), {"value": 15.01}, {"moves": moved(0.25, step=1.0)}, False),
    (Rate(ALL), {"value": 15.5}, {"moves": moved(0.5, step=1.0)}, True),
    (Rate(ALL), {"value": 14.51}, {"moves": (Move("m", NOW, None, 14.5),)}, False),
    (Rate(ALL), {}, {"in_force": None}, False),
    (Rate(ALL), {"value": 14.5}, {"moves": (Move("m", NOW + 1, 14.5, 14.5),)}, False),
    (Rate(ALL), {}, {"clock": PlantClock(((NOW - HOUR, math.nan),)), "moves": moved(0.1)}, False),
    (Moves(ALL), {}, {"moves": moved(0.9, 0.5)}, True),
    (Moves(ALL), {}, {"moves": moved(0.9, 0.5, 0.3)}, False),
    (Moves(ALL), {}, {"moves": moved(1.0, 0.5, 0.3)}, True),
    (Moves(ALL), {}, {"moves": (Move("m", NOW + 1, 1, 1), *moved(0.5, 0.3))}, False),
    (Dwell(ALL), {}, {"moves": moved(0.25)}, True),
    (Dwell(ALL), {}, {"moves": moved(0.2499)}, False),
    (Dwell(ALL), {}, {"moves": (Move("m", NOW + 1, 1, 1),)}, False),
    (Dwell(ALL), {}, {"moves": moved(0.001), "clock": PlantClock(((0, 250.0),))}, True),
    (Dwell(ALL), {}, {"moves": moved(0.3), "clock": PlantClock(((0, 0.8),))}, False),
    (Dwell(ALL), {}, {"moves": moved(9.0), "clock": PlantClock(((0, 0.0),))}, False),
    (Monitor(), {}, {}, True),
    (Monitor(), {}, {"abnormal": ("reactor",)}, False),
    (Monitor(), {}, {"abnormal": None}, False),
]


@pytest.mark.parametrize(
    ("guard", "wish", "known", "passes"), BOUNDARIES, ids=lambda one: getattr(one, "name", "")
)
def test_each_guard_at_its_boundary(guard: Any, wish: Any, known: Any, passes: bool) -> None:
    said = guard.check(command(**wish), scene(**known))
    assert (said is None) == passes, said
    assert said is None or (said == said.strip() and len(said) > 10), "a sentence for people"


AGES = [
    (NOW, 0, 1.0, True), (NOW - 5_000_000, 0, 1.0, True), (NOW - 5_000_001, 0, 1.0, False),
    (NOW + 60_000_000, 0, 1.0, True), (NOW + 60_000_001, 0, 1.0, False), (NOW, 256, 1.0, False),
    (NOW, 512, 1.0, False), (NOW, 0, math.nan, False), (NOW, 0, math.inf, False),
]  # fmt: skip


@pytest.mark.parametrize(("heard", "q", "v", "passes"), AGES)
def test_inputs_are_fresh_and_good(heard: int, q: int, v: float, passes: bool) -> None:
    readings = {1: Reading(v, q, heard, heard)}
    assert (Inputs((1,), 5.0).check(command(), scene(readings=readings)) is None) == passes
    assert Inputs((1, 2), 5.0).check(command(), scene(readings=readings)) is not None


def test_inputs_age_in_plant_time_too() -> None:
    readings = {1: Reading(1.0, 0, NOW - 4_000_000, NOW - 4_000_000)}
    fast = scene(readings=readings, clock=PlantClock(((0, 1800.0),)))  # 2 plant hours
    assert Inputs((1,), 5.0, most_h=2.0).check(command(), fast) is None
    assert Inputs((1,), 5.0, most_h=1.9).check(command(), fast) is not None


def test_an_interlock_needs_a_good_reading_that_fits() -> None:
    rows = (
        (Comparison(1, ">", 2.0), Comparison(2, "==", "running")),
        (Comparison(1, "<=", -2.0),),
    )
    lock = Interlocks((Interlock("the pump runs, or the tank is empty", rows),))

    def passes(v: float, text: str | None = "running", q: int = 0) -> bool:
        readings = {1: Reading(v, q, NOW, NOW), 2: Reading(math.nan, 0, NOW, NOW, text)}
        return lock.check(command(), scene(readings=readings)) is None

    assert passes(2.1) and passes(-2.0) and passes(-2.0, "stopped")
    assert not (passes(2.0) or passes(2.1, "stopped") or passes(2.1, None) or passes(-1.9))
    assert not (passes(math.nan) or passes(math.inf) or passes(2.1, q=256))
    assert lock.check(command(), scene()) is not None
    text = Interlocks((Interlock("text", ((Comparison(2, "!=", "x"),),)),))
    number = {2: Reading(1.0, 0, NOW, NOW)}
    assert text.check(command(), scene(readings=number)) is not None, "no text is no other text"
    for broken in ((1, "~", 1.0), (1, "<", "x"), (1, "<", math.nan)):
        with pytest.raises(Refused):
            Comparison(*broken)
    with pytest.raises(Refused):
        Interlock("empty", ((),))


def test_a_foretold_band_stays_inside_or_the_move_is_refused() -> None:
    guard = WhatIf((Within(1, 0.0, 10.0), Within(2, high=5.0), Within(3, low=1.0)))

    def passes(*bands: tuple[int, float, float]) -> bool:
        foretold = tuple(Band(*band) for band in bands)
        return guard.check(command(), scene(foretold=foretold)) is None

    good = ((1, 0.0, 10.0), (2, -9.0, 5.0), (3, 1.0, 99.0))
    assert passes(*good)
    for spoilt in ((1, -0.1, 5.0), (1, 5.0, 10.1), (1, math.nan, 5.0), (1, 6.0, 5.0)):
        assert not passes(spoilt, *good[1:])
    assert not passes((1, 0.0, 10.0), (2, -math.inf, 5.0), good[2])
    assert not passes(*good[:2])
    assert guard.check(command(), scene()) is not None


def test_approvals_are_of_different_persons_for_this_very_command() -> None:
    wish, both = command(), frozenset({"anna", "ben"})
    guard = Approvals(KEY, supervised=2, autonomous=0)

    def passes(*names: str, mode: Mode = Mode.SUPERVISED, of: Command = wish) -> bool:
        given = tuple(approve(KEY, name, of, NOW) for name in names)
        return guard.check(wish, scene(mode=mode, approvals=given, approvers=both)) is None

    assert passes("anna", "ben") and passes(mode=Mode.AUTONOMOUS)
    assert not (passes("anna") or passes("anna", "anna") or passes("anna", "eve"))
    for other in (replace(wish, id="d"), replace(wish, value=15.1), replace(wish, sid=8),
                  replace(wish, expires=NOW + 11)):  # fmt: skip
        assert not passes("anna", "ben", of=other)
    own = replace(wish, origin="person:anna")
    given = tuple(approve(KEY, name, own, NOW) for name in ("anna", "ben"))
    known = scene(mode=Mode.SUPERVISED, approvals=given, approvers=both)
    assert guard.check(own, known) is not None, "nobody approves what he proposed"
    forged_ones = tuple(replace(one, seal="f" * 64) for one in given)
    assert guard.check(wish, replace(known, approvals=forged_ones)) is not None
    assert Approvals(KEY, supervised=0).check(wish, scene(mode=Mode.SUPERVISED)) is not None


def test_taking_back_needs_no_new_yes_and_no_rest_but_is_a_move_like_any_other() -> None:
    done = Command("m1", SID, 15.0, NOW - 1000, NOW - 1, "loop", before=14.5)
    back = revert_of(done, NOW - 5, NOW + 5)
    known = scene(mode=Mode.SUPERVISED, in_force=15.0,
                  moves=(Move("m1", NOW - 900, 14.5, 15.0),))  # fmt: skip
    spared = (Approvals(KEY), Dwell(ALL), Moves({SID: replace(ENVELOPE, moves_per_h=1)}))
    assert all(verdict.passed for verdict in judge(spared, back, known))
    assert Rate(ALL).check(back, known) is None
    for other in (replace(back, value=14.6), replace(back, id="m0:revert")):
        assert not any(verdict.passed for verdict in judge(spared, other, known))
    older = replace(known, moves=(*known.moves, Move("m2", NOW - 100, 15.0, 15.0)))
    assert not any(verdict.passed for verdict in judge(spared, back, older)), "the newest only"
    assert ModeGuard().check(back, replace(known, mode=Mode.SHADOW)) is not None
    clamped = revert_of(done, NOW - 5, NOW + 5, in_force=14.8)
    assert Unchanged(ALL).check(clamped, replace(known, in_force=14.8)) is None
    assert Unchanged(ALL).check(back, replace(known, in_force=14.8)) is not None
    with pytest.raises(Refused):
        revert_of(replace(done, before=None), NOW, NOW + 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, "15", None])
def test_what_is_no_number_never_passes(value: Any) -> None:
    """A forged Command, one that its own checks would not have let be made."""
    case = Cases(1).safe()
    said = judge(case.guards, forged(case.command, value=value), case.scene)
    assert not all(verdict.passed for verdict in said)
    with pytest.raises((Refused, OverflowError, TypeError)):
        Command("c", SID, value, NOW, NOW + 1, "loop")


def test_a_guard_that_fails_has_refused() -> None:
    class Broken:
        name = "broken"

        def check(self, command: Command, scene: Scene) -> str | None:
            raise ZeroDivisionError("oops")

    (verdict,) = judge([Broken()], command(), scene())
    assert not verdict.passed and "ZeroDivisionError" in verdict.reason


@pytest.mark.parametrize(
    "numbers", [(5, 5), (6, 5), (math.nan, 1), (0, math.inf), (0, 1, 0.0), (0, 1, 1, 0.0),
                (0, 1, 1, 1, -1.0), (0, 1, 1, 1, 0, 0.0), (0, 1, math.nan)]
)  # fmt: skip
def test_an_envelope_has_room(numbers: tuple[float, ...]) -> None:
    low, high, *rest = numbers
    with pytest.raises(Refused):
        Envelope(SID, low, high, *(rest or [1.0]))


def test_plant_hours_follow_the_speed() -> None:
    clock = PlantClock(((100 * HOUR, 60.0), (101 * HOUR, 0.0), (102 * HOUR, 1800.0)))
    assert clock.hours(100 * HOUR, 101 * HOUR) == 60
    assert clock.hours(100 * HOUR, 103 * HOUR) == 60 + 0 + 1800
    assert clock.hours(99 * HOUR, 100 * HOUR) == 1, "before it is known, no more than wall time"
    assert PlantClock(((100 * HOUR, 0.5),)).hours(98 * HOUR, 100 * HOUR) == 1
    assert PlantClock().hours(0, HOUR) == 1
    assert math.isnan(clock.hours(1, 0))
    assert math.isnan(PlantClock(((0, -1.0),)).hours(0, 1))
    assert math.isnan(PlantClock(((5, 1.0), (4, 1.0))).hours(0, 9))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    made = Cases(draw(st.integers(0, 1 << 32)))
    kind = draw(st.sampled_from(["", *UNSAFE]))
    return made.unsafe(kind) if kind else made.safe()


@settings(max_examples=40)
@given(cases(), st.lists(st.booleans(), min_size=15, max_size=15), st.integers(0, 14))
def test_adding_a_guard_never_permits_more(case: Case, chosen: list[bool], more: int) -> None:
    """Of a chain of some guards: whatever a chain of one more executes, it executes too, and
    exactly the same."""
    few = tuple(g for g, taken in zip(case.guards, chosen, strict=True) if taken)
    kept = [g for g, taken in zip(case.guards, chosen, strict=True)
            if taken or g is case.guards[more]]  # fmt: skip

    def written(guards: tuple[Any, ...]) -> int:
        return asyncio.run(_writes(replace(case, guards=guards)))

    assert written(tuple(kept)) <= written(few)


async def _writes(case: Case) -> int:
    try:
        return await try_unsafe(replace(case, kind=case.kind or "limit"))
    except AssertionError:  # refused by another guard than the one it was made for
        return 0


@settings(max_examples=40)
@given(cases())
def test_safe_ones_are_done_as_they_are_and_unsafe_ones_never(case: Case) -> None:
    if case.kind:
        assert asyncio.run(try_unsafe(case)) == 0
    else:
        assert asyncio.run(try_safe(case)) == (True, False)
        assert asyncio.run(try_again(case)) == 0
        assert asyncio.run(try_race(case)) <= 0


def test_no_guard_can_be_taken_out_unnoticed() -> None:
    assert idle_guards(Cases(5), 8) == []
