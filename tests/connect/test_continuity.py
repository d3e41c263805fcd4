"""What was sent before, and the arithmetic of gaps: examples and properties."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.rooms.connect.continuity import Continuity
from lineshaft.rooms.connect.engine import Gap, Rows
from tests.connect.test_engine import T0, rows

MS = 1000
S = 1000 * MS


def test_it_knows_what_was_sent() -> None:
    known = Continuity(0)
    known.learn(np.array([5, 3]), np.array([T0, T0 + 1]), np.array([0, 512]))
    known.learn(np.array([9]), np.array([T0]))
    asked = rows([3, 5, 5, 9, 7], [T0 + 1, T0, T0 + 2, T0, T0], T0)
    assert known.knows(asked).tolist() == [False, True, False, True, False]
    assert (known.stamp(5), known.stamp(4), known.stamp(7)) == (T0, None, None)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 50)), min_size=1, max_size=60))
def test_it_equals_a_dictionary(sent: list[tuple[int, int]]) -> None:
    known, plain = Continuity(0), dict[int, int]()
    for start in range(0, len(sent), 7):
        part = sent[start : start + 7]
        known.learn(np.array([s for s, _ in part]), np.array([t for _, t in part]))
        for sid, ts in part:
            plain[sid] = max(plain.get(sid, -1), ts)
    asked = [(sid, ts) for sid in range(8) for ts in range(0, 51, 5)]
    found = known.knows(rows([s for s, _ in asked], [t for _, t in asked], T0)).tolist()
    assert found == [plain.get(sid) == ts for sid, ts in asked]


def test_gaps_of_the_common_cases() -> None:
    source = Continuity(100 * MS)
    assert source.resume([rows([1], [T0], T0)], T0, "process") == [], "first connection ever"
    source.heard(rows([1], [T0 + 900 * MS], T0 + 1000 * MS))
    later = T0 + 5 * S
    gaps = source.resume([rows([1], [later - 90 * MS], later)], later, "link")
    assert gaps == [Gap(T0 + 800 * MS, later - 90 * MS, "link")]
    assert source.resume([], later + 10 * S, "link") == [], "nothing changed meanwhile"
    assert source.resume([rows([2], [T0], later)], later, "link") == [], "a new signal, old value"


def test_a_quiet_source_is_vouched_for_by_its_signs_of_life() -> None:
    source = Continuity(100 * MS)
    source.resume([rows([1], [T0], T0)], T0, "process")
    source.heard(rows([1], [T0 + 1000 * MS], T0 + 1050 * MS))
    source.alive(T0 + 600 * S)
    end = T0 + 605 * S
    gaps = source.resume([rows([1], [end - 10 * MS], end)], end, "link")
    assert gaps == [Gap(T0 + 600 * S - 150 * MS, end - 10 * MS, "link")]


def test_a_clock_that_went_back_is_told_in_both_its_times() -> None:
    source = Continuity(100 * MS)
    source.resume([rows([1], [T0], T0)], T0, "process")
    source.heard(rows([1], [T0 + S], T0 + S))
    end = T0 + 4 * S
    gaps = source.resume([rows([1], [end - 3600 * S], end)], end, "link")
    assert gaps == [
        Gap(end - 3603 * S - 100 * MS, end - 3600 * S, "link"),
        Gap(T0 + S - 100 * MS, end, "link"),
    ]


def test_clocks_that_differ_make_gaps_of_their_own() -> None:
    source = Continuity(0)
    source.resume([rows([1, 2], [T0, T0 + 30 * S], T0)], T0, "process")
    source.heard(rows([1, 2], [T0 + S, T0 + 31 * S], T0 + S))
    end = T0 + 4 * S
    gaps = source.resume([rows([1, 2], [end, end + 30 * S], end)], end, "link")
    assert gaps == [Gap(T0 + S, end, "link"), Gap(T0 + 31 * S, end + 30 * S, "link")]


def test_after_a_restart_the_last_message_counts() -> None:
    source = Continuity(100 * MS)
    source.learn(np.array([1]), np.array([T0]), np.array([0]), np.array([30 * MS]))
    source.seed(T0, T0 + 30 * MS)
    end = T0 + 2 * S
    known = rows([1, 2], [end, T0 - 500 * S], end)
    assert source.resume([known], end, "process") == [Gap(T0 - 100 * MS, end, "process")]


@dataclass
class Device:
    """A signal of its own clock: changes every `every` ticks, stamped `late_ms` behind arrival."""

    sid: int
    every: int
    late_ms: int

    def change(self, tick: int) -> tuple[int, int] | None:
        if tick % self.every:
            return None
        return self.sid, T0 + tick * 100 * MS - self.late_ms * MS


devices = st.lists(st.tuples(st.integers(1, 15), st.integers(-5000, 5000)), min_size=1, max_size=4)
outages = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=6)


@given(devices, outages)
def test_each_change_is_heard_or_declared(
    given_devices: list[tuple[int, int]], runs: list[tuple[int, int]]
) -> None:
    """Devices whose clocks go wrong each in its own way, followed with interruptions."""
    source = Continuity(100 * MS)
    plant = [Device(i + 1, every, late) for i, (every, late) in enumerate(given_devices)]
    heard: set[tuple[int, int]] = set()
    made: list[tuple[int, int]] = []
    newest: dict[int, int] = {}
    gaps: list[Gap] = []
    tick = 0

    def step() -> Rows:
        nonlocal tick
        tick += 1
        changes = [c for d in plant if (c := d.change(tick))]
        made.extend(changes)
        newest.update(changes)
        return rows([s for s, _ in changes], [t for _, t in changes], T0 + tick * 100 * MS + 20)

    for connected, away in runs:
        step()
        now = T0 + tick * 100 * MS + 20
        first = rows(list(newest), list(newest.values()), now)
        fresh = first.where(~source.knows(first))
        gaps += source.resume([fresh], now, "link")
        heard |= set(newest.items())
        for _ in range(connected):
            more = step()
            source.heard(more) if len(more) else source.alive(more.arrival)
            heard |= set(zip(more.sid.tolist(), more.ts.tolist(), strict=True))
        for _ in range(away):
            step()
    first_heard = {sid: min(ts for s, ts in heard if s == sid) for sid, _ in heard}
    last_heard = {sid: max(ts for s, ts in heard if s == sid) for sid, _ in heard}
    for sid, ts in made:
        if sid in first_heard and first_heard[sid] < ts <= last_heard[sid]:
            declared = any(g.start <= ts <= g.end for g in gaps)
            assert (sid, ts) in heard or declared, (sid, ts, gaps)


@given(st.integers(-3000, 3000), st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_a_counter_declares_no_more_than_the_outage_and_a_second(
    late_ms: int, aways: list[int]
) -> None:
    source, off, gaps, tick = Continuity(100 * MS), 0, list[Gap](), 0
    for away in aways:
        tick += 1
        arrival = T0 + tick * 100 * MS
        gaps += source.resume([rows([1], [arrival - late_ms * MS], arrival)], arrival, "link")
        for _ in range(20):
            tick += 1
            arrival = T0 + tick * 100 * MS
            source.heard(rows([1], [arrival - late_ms * MS], arrival))
        tick += away
        off += away
    assert all(gap.end - gap.start <= off * 100 * MS + S for gap in gaps)
    assert sum(g.end - g.start for g in gaps) <= off * 100 * MS + len(aways) * 300 * MS
