"""Cells of a grid against plain Python that looks at every sample."""

import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.rooms.history.engine.grid import (
    NO_LIMIT,
    Grid,
    Holding,
    How,
    Rule,
    aligned_edges,
    cells,
    grid,
    hold,
)
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.grids import Grids
from tests.history.desk import START, Desk, block

Sample = tuple[int, float, int]
NAN = float("nan")

samples = st.lists(
    st.tuples(
        st.integers(-30, 130),
        st.one_of(st.integers(-9, 9).map(float), st.just(NAN)),
        st.sampled_from([0, 0, 0, 256, 257, 512, 516]),
    ),
    max_size=40, unique_by=lambda sample: sample[0],
).map(sorted)  # fmt: skip
spans = st.lists(
    st.tuples(st.integers(-20, 120), st.integers(1, 40)).map(lambda g: (g[0], g[0] + g[1])),
    max_size=4,
)
holdings = st.builds(
    Holding,
    st.one_of(st.just(NO_LIMIT), st.integers(1, 50)),
    st.one_of(st.just(NO_LIMIT), st.integers(0, 150)),
)


class Slow:
    """One signal looked at microsecond by microsecond."""

    def __init__(
        self, told: list[Sample], gaps: list[tuple[int, int]], holding: Holding, rule: Rule
    ) -> None:
        self.told, self.holding, self.rule = told, holding, rule
        lost = {t for start, end in gaps for t in range(start + 1, end)}
        self.now: dict[int, tuple[float, int] | None] = {}
        for t in range(-31, 160):
            self.now[t] = self._at(t, lost, gaps)

    def _at(self, t: int, lost: set[int], gaps: list[tuple[int, int]]) -> tuple[float, int] | None:
        before = [one for one in self.told if one[0] <= t]
        if not before or t >= self.holding.horizon or t in lost:
            return None
        ts, v, q = before[-1]
        since = max([ts, *(end for _, end in gaps if ts < end <= t and end not in lost)])
        return (v, q) if t < since + self.holding.max_hold else None

    def counts(self, one: tuple[float, int] | None) -> bool:
        limit = 256 if self.rule is Rule.GOOD else 512
        return one is not None and one[1] < limit and not math.isnan(one[0])


def _held(told: list[Sample], gaps: list[tuple[int, int]], holding: Holding) -> object:
    ts, v, q = (list(c) for c in zip(*told, strict=True)) if told else ([], [], [])
    return hold(np.array(ts, np.int64), np.array(v, float), np.array(q, np.int32), gaps, holding)


def _expected(slow: Slow, first: int, end: int, how: How) -> float:
    inside = [one for one in slow.told if first <= one[0] < end and slow.counts(one[1:])]
    values = [v for _, v, _ in inside]
    over = [slow.now[t] for t in range(first, end)]
    match how:
        case How.LAST:
            now = slow.now[first]
            return now[0] if now is not None and slow.counts(now) else NAN
        case How.TWA:
            held = [one[0] for one in over if one is not None and slow.counts(one)]
            return sum(held) / len(held) if held else NAN
        case How.GOOD_SHARE:
            known = min(end, slow.holding.horizon) - first
            good = [o for o in over if o is not None and o[1] < 256 and not math.isnan(o[0])]
            return len(good) / known if known > 0 else NAN
        case How.COUNT:
            return float(len(values))
        case _ if not values:
            return NAN
        case How.FIRST:
            return values[0]
        case How.MEAN:
            return sum(values) / len(values)
        case _:
            return min(values) if how is How.MIN else max(values)


@settings(max_examples=300)
@given(samples, holdings, st.integers(1, 60), st.sampled_from(How), st.sampled_from(Rule))
def test_every_cell_is_what_looking_at_every_sample_gives(
    told: list[Sample], holding: Holding, step: int, how: How, rule: Rule
) -> None:
    slow = Slow(told, [], holding, rule)
    edges = aligned_edges(0, 100, step)
    edges = edges[edges < 155]
    v, q = cells(_held(told, [], holding), edges, how, rule, holding.horizon)
    expected = [_expected(slow, a, b, how) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(v, expected, rtol=1e-12, atol=1e-12)
    assert ((q >= 512) == np.isnan(v)).all() or rule is Rule.WORST


@settings(max_examples=300)
@given(samples, spans, holdings, st.integers(1, 60), st.sampled_from([How.LAST, How.TWA]))
def test_nothing_holds_in_a_gap_and_all_holds_again_after_it(
    told: list[Sample], gaps: list[tuple[int, int]], holding: Holding, step: int, how: How
) -> None:
    # Samples within gaps are the next test's.
    lost = {t for start, end in gaps for t in range(start + 1, end)}
    told = [one for one in told if one[0] not in lost]
    slow = Slow(told, gaps, holding, Rule.USABLE)
    edges = aligned_edges(0, 100, step)
    edges = edges[edges < 155]
    v, _ = cells(_held(told, gaps, holding), edges, how, Rule.USABLE, holding.horizon)
    expected = [_expected(slow, a, b, how) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(v, expected, rtol=1e-12, atol=1e-12)


def test_what_was_told_within_a_gap_holds_and_is_counted_once() -> None:
    held = _held([(0, 1.0, 0), (20, 5.0, 0)], [(10, 30)], Holding())
    edges = np.arange(0, 50, 5)
    last, _ = cells(held, edges, How.LAST, Rule.USABLE)
    assert [None if math.isnan(x) else x for x in last] == [1, 1, 1, None, 5, 5, 5, 5, 5]
    count, _ = cells(held, edges, How.COUNT, Rule.USABLE)
    assert count.sum() == 2


def test_an_outdated_value_does_not_count_and_says_so() -> None:
    held = _held([(0, 1.0, 0)], [], Holding(max_hold=15))
    v, q = cells(held, np.arange(0, 40, 10), How.LAST, Rule.USABLE)
    assert v[:2].tolist() == [1, 1] and math.isnan(v[2])
    assert q.tolist() == [0, 0, 512 + 3]


def test_quality_is_that_of_what_counted_or_of_all() -> None:
    held = _held([(0, 1.0, 0), (2, 2.0, 257), (4, NAN, 517), (6, 3.0, 0)], [], Holding())
    edges = np.array([0, 8])
    assert cells(held, edges, How.MEAN, Rule.GOOD)[0][0] == 2
    assert cells(held, edges, How.MEAN, Rule.GOOD)[1][0] == 0
    assert cells(held, edges, How.MEAN, Rule.USABLE)[0][0] == 2
    assert cells(held, edges, How.MEAN, Rule.USABLE)[1][0] == 257
    assert cells(held, edges, How.TWA, Rule.WORST)[1][0] == 517
    assert cells(held, np.array([4, 6]), How.MAX, Rule.USABLE)[1][0] == 517


def test_cells_are_aligned_whatever_range_is_asked() -> None:
    assert aligned_edges(7, 21, 10).tolist() == [0, 10, 20, 30]
    assert aligned_edges(10, 20, 10).tolist() == [10, 20]


def _rows(told: dict[int, list[Sample]]) -> Rows:
    flat = [(sid, ts, v, q) for sid in sorted(told) for ts, v, q in told[sid]]
    sid, ts, v, q = zip(*flat, strict=True)
    return Rows(
        np.array(sid, np.int32), np.array(ts), np.array(v, float), np.array(q, np.int32),
        np.zeros(len(sid), np.int64),
    )  # fmt: skip


def test_signals_come_in_the_order_asked_with_what_each_held_before() -> None:
    rows = _rows({2: [(5, 20.0, 0)], 7: [(0, 70.0, 0)]})
    before = _rows({2: [(-9, 2.0, 0)], 3: [(-1, 3.0, 256)]})
    found = grid(rows, before, [7, 3, 2, 9], {}, np.array([0, 10]), How.LAST)
    assert found.v[:3, 0].tolist() == [70, 3, 2] and math.isnan(found.v[3, 0])
    assert found.q[:, 0].tolist() == [0, 256, 0, 512]


class _History:
    """What Grids asks of HistoryService, over a desk without a bus."""

    def __init__(self, desk: Desk) -> None:
        self._reader, self.desk, self.calls = desk.reader, desk, 0
        self.told: list[Fact] = []

    async def raw(self, sids: list[int], start: int, end: int, limit: int) -> Rows:
        self.calls += 1
        return self._reader.raw(sids, start, end, limit)

    async def trend(
        self, sids: list[int], start: int, end: int, px: int, sources: dict[int, str]
    ) -> object:
        return self._reader.trend(sids, start, end, px, sources)

    async def held(self, sids: list[int], at: int) -> pa.Table:
        return self._reader.held(sids, at).table()

    async def facts(self, *_: object) -> list[Fact]:
        return self.told


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 60), st.integers(10, 30), st.sampled_from(How), st.integers(0, 5))
async def test_cutting_a_range_into_parts_changes_nothing(
    most: int, step: int, how: How, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        told = {
            sid: [(START + int(t), float(rng.integers(9)), int(rng.choice([0, 0, 256, 512])))
                  for t in np.unique(rng.integers(-50, 100, 30))] for sid in (1, 2, 3)
        }  # fmt: skip
        many = [(sid, *one[:2], None, one[2]) for sid, own in told.items() for one in own]
        half = len(many) // 2
        desk.accept(block(many[:half]))
        desk.commit()
        desk.prune()
        desk.accept(block(many[half:]))
        history = _History(desk)
        edges = START + np.arange(0, 100 + step, step)
        asked = ([3, 1, 2], {}, edges, how, Rule.USABLE, Holding())
        try:
            cut: Grid = await Grids(history, most).grid(*asked)
        except Refused as refused:
            assert refused.code == "history.much"
            widest = max(sum(a <= t < a + step for t, _, _ in own)
                         for own in told.values() for a in edges[:-1].tolist())  # fmt: skip
            assert widest > most
            return
        finally:
            desk.close()
        rows = _rows(told)
        inside = rows.take((rows.ts >= edges[0]) & (rows.ts < edges[-1]))
        before = rows.take(rows.ts < edges[0])
        before = before.take(np.append(before.sid[1:] != before.sid[:-1], True))
        whole = grid(inside, before, [3, 1, 2], {}, edges, how)
        np.testing.assert_array_equal(cut.v, whole.v)
        np.testing.assert_array_equal(cut.q, whole.q)


async def test_too_many_cells_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    history = _History(Desk(tmp_path))
    edges = np.arange(0, 1_000_002)
    with pytest.raises(Refused, match="too large"):
        await Grids(history).grid([1, 2], {}, edges, How.LAST, Rule.USABLE, Holding())
    assert history.calls == 0


async def test_a_gap_before_the_range_ends_what_held(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.accept(block([(1, START, 4.0, None, 0), (2, START, 4.0, None, 0)]))
    history = _History(desk)
    history.told = [Fact("link.gap", 0, "a", {"from": START + 5, "to": START + 25, "cause": "x"})]
    edges = START + np.arange(10, 50, 10)
    found = await Grids(history).grid(
        [1, 2], {1: "a", 2: "b"}, edges, How.LAST, Rule.USABLE, Holding(max_hold=22)
    )
    assert np.isnan(found.v).tolist() == [[True, True, False], [False, False, True]]
