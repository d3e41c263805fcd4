"""The check finds every kind of fault: sound schedules are spoilt one way at a time."""

import itertools
from dataclasses import replace

import pytest

from lineshaft.core.errors import Broken
from lineshaft.rooms.decide.schedule import jobs
from lineshaft.rooms.decide.schedule.engine.calendar import closures, ended
from lineshaft.rooms.decide.schedule.engine.check import faults
from lineshaft.rooms.decide.schedule.engine.moments import at_moment
from lineshaft.rooms.decide.schedule.engine.repair import sound
from lineshaft.rooms.decide.schedule.model import (
    Machine,
    Operation,
    Order,
    Placed,
    Schedule,
    Shift,
    Shop,
    Weights,
    Window,
)
from tests.decide.schedule.shops import HOUR, T0

_S = 1_000_000
_SHOP = Shop(
    "small", T0,
    (Machine("A", closed=(Window(T0 + HOUR, T0 + 2 * HOUR),)), Machine("B", family="x")),
    (
        Order("1", (Operation("a", {"A": 5400}, (), "x"),
                    Operation("b", {"B": 1800}, ("a",), "y")), due=T0 + 2 * HOUR),
        Order("2", (Operation("a", {"A": 1800}, (), "x", may_pause=False),), release=T0 + 60 * _S),
    ),
    {"B": {("x", "y"): 600}},
    weights=Weights(1, 1, 1),
)  # fmt: skip


def _spoilt(schedule: Schedule, order: str, step: str, **change: object) -> Schedule:
    rows = tuple(
        replace(r, **change) if (r.order, r.operation) == (order, step) else r  # type: ignore[arg-type]
        for r in schedule.rows
    )
    return replace(schedule, rows=rows)


def _row(schedule: Schedule, order: str, step: str) -> Placed:
    return next(r for r in schedule.rows if (r.order, r.operation) == (order, step))


def test_a_sound_schedule_has_no_faults_and_each_spoilt_one_has() -> None:
    good = jobs.first(_SHOP)
    assert faults(_SHOP, good) == []
    long, short = _row(good, "1", "a"), _row(good, "2", "a")
    assert long.end - long.start == 5400 * _S + HOUR  # it waits through the closed hour
    spoilt = {
        "missing": replace(good, rows=good.rows[1:]),
        "choices": _spoilt(good, "1", "a", machine="B"),
        "instead of": _spoilt(good, "1", "b", end=_row(good, "1", "b").end + _S),
        "before 'a'": _spoilt(good, "1", "b", start=long.start, end=long.start + 1800 * _S),
        "before it may": _spoilt(good, "2", "a", start=T0, end=T0 + 1800 * _S),
        "something else": _spoilt(good, "2", "a", start=long.start + 100 * _S,
                                  end=long.start + 1900 * _S),
        "set-up": _spoilt(good, "1", "b", setup=0),
        "pauses": _spoilt(good, "2", "a", start=T0 + HOUR - 900 * _S, end=T0 + 2 * HOUR + 900 * _S),
        "closed": _spoilt(good, "1", "a", start=T0 + HOUR + 60 * _S, end=long.end),
        "costs": replace(good, cost=replace(good.cost, total=good.cost.total - 1)),
        "late": replace(good, cost=replace(good.cost, late=good.cost.late + 1)),
    }  # fmt: skip
    for word, schedule in spoilt.items():
        assert any(word in fault for fault in faults(_SHOP, schedule)), word
        with pytest.raises(Broken):
            sound(_SHOP, schedule)
    assert short.start >= T0 + 60 * _S


def test_what_has_begun_stays() -> None:
    good = jobs.first(_SHOP)
    begun = at_moment(_SHOP, good, T0 + 900 * _S)
    assert begun.started
    one = begun.started[0]
    again = jobs.first(begun)
    assert faults(begun, again) == []
    moved = _spoilt(again, one.order, one.operation, start=one.start + _S)
    assert any("begun elsewhere" in fault for fault in faults(begun, moved))


def test_a_setup_that_is_cut_short_is_found() -> None:
    good = jobs.first(_SHOP)
    row = _row(good, "1", "b")
    shop = replace(_SHOP, setups={"B": {("x", "y"): 60_000}})
    found = faults(shop, _spoilt(good, "1", "b", setup=60_000, start=row.start))
    assert any("set up" in fault for fault in found)


def test_shifts_follow_the_wall_clock_of_their_zone() -> None:
    machine = Machine("M", shifts=(Shift((7,), 22 * 3600, 6 * 3600),))
    night = 1_743_285_600  # Saturday 2025-03-29 22:00 UTC: Berlin's clocks go forward in that night
    gaps = closures(machine, "Europe/Berlin", night, night + 3 * 86_400)
    opened = [(a, b) for (_, a), (b, _) in itertools.pairwise(gaps)]
    assert [(b - a) // 3600 for a, b in opened] == [8]  # Sunday's night is whole
    saturday = Machine("M", shifts=(Shift((6,), 22 * 3600, 6 * 3600),))
    gaps = closures(saturday, "Europe/Berlin", night - 7200, night + 86_400)
    assert (gaps[1][0] - gaps[0][1]) // 3600 == 7  # an hour of it never was


def test_work_waits_through_gaps() -> None:
    assert ended([(10, 20), (25, 30)], 5, 12) == 32
    assert ended([], 5, 12) == 17
    assert ended([(0, 10)], 5, 1) == 11
