"""The guards of a loop: from its record to the chain that every Command of it goes through.

Rules: the mode, the big stop and the approvals are read from the records anew for each Command, so
what a person decided a moment ago holds; a guard that a record leaves without work is in the chain
all the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from lineshaft.core.ports import Actuator
from lineshaft.rooms.decide.actuate import Plan, Scenes, Turns
from lineshaft.rooms.decide.engine.guards import Envelope, Guard, PlantClock
from lineshaft.rooms.decide.engine.guards_people import (
    Approvals,
    Expiry,
    ModeGuard,
    Replay,
    Stop,
)
from lineshaft.rooms.decide.engine.guards_plant import (
    AllowList,
    Bounds,
    Comparison,
    Dwell,
    Inputs,
    Interlocks,
    Monitor,
    Moves,
    Rate,
    Unchanged,
    WhatIf,
    Within,
)
from lineshaft.rooms.decide.engine.guards_plant import Interlock as Lock
from lineshaft.rooms.decide.engine.window import Window
from lineshaft.rooms.decide.journal import CommandBook
from lineshaft.rooms.decide.model import Interlock, Loop

__all__ = ["TRIPS", "clock_of", "envelopes_of", "guards_of", "plan_of"]

#: Guards whose refusal says that the loop wanted what it must not, or stands on what does not hold.
TRIPS: Final = frozenset({
    "allow-list", "envelope", "unchanged", "rate", "moves", "dwell", "interlock", "monitor",
    "what-if", "approval", "machine",
})  # fmt: skip


def envelopes_of(loop: Loop) -> Mapping[int, Envelope]:
    """Return what each handle may be told; rates count over a period, so that a loop may use a
    period's travel at once."""
    window_h = max(loop.period_h, 1e-6)
    return {
        one.sid: Envelope(one.sid, one.low, one.high, one.rate, window_h, one.dwell_h,
                          one.moves_per_h)
        for one in loop.handles
    }  # fmt: skip


def guards_of(loop: Loop, key: bytes) -> tuple[Guard, ...]:
    """Return the guards of a loop, in the order in which they are asked."""
    envelopes, wanted = envelopes_of(loop), loop.conditions
    seen = [Within(one.sid, one.low, one.high) for one in loop.limits
            if one.sid in wanted.foresight.sids]  # fmt: skip
    return (
        Stop(), ModeGuard(), AllowList(loop.id, frozenset(envelopes)), Replay(),
        Expiry(), Approvals(key, wanted.approvals, 0), Bounds(envelopes), Unchanged(envelopes),
        Rate(envelopes), Moves(envelopes), Dwell(envelopes),
        Interlocks([_lock(one) for one in wanted.interlocks]),
        Inputs(loop.needed, wanted.fresh_s), Monitor(), WhatIf(seen),
    )  # fmt: skip


def _lock(one: Interlock) -> Lock:
    rows = [Comparison(one.sid, ">=", one.low)] if one.low is not None else []
    rows += [Comparison(one.sid, "<=", one.high)] if one.high is not None else []
    return Lock(f"signal {one.sid} in its range", (tuple(rows),))


def clock_of(window: Window) -> PlantClock:
    """Return how fast the plant ran, as the loop heard it."""
    return PlantClock(tuple((int(at), speed) for at, speed in window.speeds.tolist()))


def plan_of(
    loop: Loop, key: bytes, *, machine: Actuator, scenes: Scenes, book: CommandBook,
    turns: Turns, now_us: Callable[[], int],
) -> Plan:  # fmt: skip
    """Return the way of a loop's Commands."""
    plan = Plan(machine, guards_of(loop, key), envelopes_of(loop), scenes, book, turns, now_us)
    return replace(plan, judged=book.judged)
