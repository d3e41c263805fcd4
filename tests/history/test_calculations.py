"""Evaluation against plain Python, and whatever way the inputs come."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.quality import Reason, bad, uncertain
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.engine.calculate import Series, Track, evaluate
from lineshaft.rooms.history.engine.follow import EMPTY, KEEP_US, Follower, differing, track_of
from lineshaft.rooms.history.engine.program import Program, compile_expression
from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.plant.measures import measure

S = 1_000_000
NAN = float("nan")
Row = tuple[int, float, int]
SIGNALS = {"a": Signal(1, "a", "a", Kind.FLOAT), "b": Signal(2, "b", "b", Kind.FLOAT),
           "s": Signal(3, "s", "s", Kind.STRING)}  # fmt: skip


def made(text: str) -> Program:
    return compile_expression(text, None, SIGNALS.get, measure)


def track(rows: Sequence[Row]) -> Track:
    ts, v, q = zip(*rows, strict=True) if rows else ((), (), ())
    return Track(np.array(ts, np.int64), np.array(v, float), np.array(q, np.int32))


def shown(series: Series) -> list[tuple[int, float | None, int]]:
    values = [None if math.isnan(v) else v for v in series.v.tolist()]
    return list(zip(series.ts.tolist(), values, series.q.tolist(), strict=True))


def run(text: str, *inputs: Sequence[Row]) -> list[tuple[int, float | None, int]]:
    return shown(evaluate(made(text).root, [track(rows) for rows in inputs], 0, 1 << 60))


BAD = bad(Reason.SENSOR)
CLOCK = uncertain(Reason.CLOCK)


def test_values_hold_until_the_next_and_quality_is_the_worst() -> None:
    a = [(0, 1.0, 0), (20, 2.0, CLOCK), (40, 3.0, 0)]
    b = [(10, 10.0, 0), (30, NAN, BAD), (40, 30.0, 0)]
    assert run('"a" + "b"', a, b) == [
        (0, None, 512), (10, 11, 0), (20, 12, CLOCK), (30, None, BAD), (40, 33, 0)
    ]  # fmt: skip


def test_what_is_not_finite_is_bad() -> None:
    nan = bad(Reason.NOT_A_NUMBER)
    assert run('1 / "a"', [(0, 0.0, 0), (1, 2.0, 0)]) == [(0, None, nan), (1, 0.5, 0)]
    assert run('sqrt("a")', [(0, -1.0, CLOCK)]) == [(0, None, nan)]
    assert run('"a" + 1', [(0, NAN, 0)]) == [(0, None, nan)]


def test_only_the_chosen_side_of_an_if_counts() -> None:
    a, b = [(0, 1.0, 0), (10, -1.0, 0)], [(0, NAN, BAD), (5, NAN, BAD)]
    found = run('if("a" > 0, "a", "b")', a, b)
    assert found == [(0, 1, 0), (5, 1, 0), (10, None, BAD)]
    assert run('if(good("b"), "b", 7)', b) == [(0, 7, 0), (5, 7, 0)]


def test_changes_rates_and_the_value_before() -> None:
    a = [(0, 1.0, 0), (2 * S, 5.0, 0), (3 * S, 5.0, CLOCK), (5 * S, 4.0, 0)]
    assert run('previous("a")', a)[1:] == [(2 * S, 1, 0), (3 * S, 5, 0), (5 * S, 5, CLOCK)]
    assert run('delta("a")', a) == [(0, None, 512), (2 * S, 4, 0), (3 * S, 0, CLOCK),
                                    (5 * S, -1, CLOCK)]  # fmt: skip
    assert [v for _, v, _ in run('rate("a")', a)] == [None, 2, 0, -0.5]
    assert [v for _, v, _ in run('delta("a", 2 s)', a)] == [None, 4, 4, -1]
    assert [v for _, v, _ in run('rate("a", 2 s)', a)] == [None, 2, 2, -0.5]


def test_a_short_loss_is_bridged_and_says_so() -> None:
    a = [(0, 1.0, 0), (8 * S, NAN, BAD), (9 * S, NAN, BAD), (12 * S, NAN, BAD), (13 * S, 2.0, 0)]
    held = uncertain(Reason.LAST_USABLE)
    assert run('held("a", 3 s)', a) == [(0, 1, 0), (8 * S, 1, held), (9 * S, 1, held),
                                        (12 * S, None, BAD), (13 * S, 2, 0)]  # fmt: skip


def test_a_text_is_compared() -> None:
    rows = Track(np.array([0, 5, 9]), np.full(3, NAN), np.array([0, 0, BAD], np.int32),
                 pa.array(["off", "run", None]))  # fmt: skip
    found = evaluate(made("\"s\" = 'run'").root, [rows], 0, 100)
    assert shown(found) == [(0, 0, 0), (5, 1, 0), (9, None, BAD)]


numbers = st.integers(-9, 9).map(float)
rows = st.lists(
    st.tuples(st.integers(0, 40), numbers, st.sampled_from([0, 0, 0, CLOCK, BAD])),
    max_size=25, unique_by=lambda row: row[0],
).map(lambda found: sorted((ts * S, NAN if q == BAD else v, q) for ts, v, q in found))  # fmt: skip


@settings(max_examples=200)
@given(rows, st.integers(1, 15), st.sampled_from(["avg", "lowest", "highest"]))
def test_a_window_is_what_looking_at_every_second_gives(
    told: list[Row], width: int, name: str
) -> None:
    for ts, v, q in run(f'{name}("a", {width} s)', told):
        over = []
        for second in range(ts // S - width, ts // S):
            before = [row for row in told if row[0] <= second * S]
            if before and before[-1][2] < 512:
                over.append(before[-1][1])
        covered = len(over)
        now = next(row for row in told if row[0] == ts)
        if now[2] < 512 and (name != "avg" or not over):
            over.append(now[1])
        if not over:
            assert v is None and q >= 512
            continue
        fold = {"lowest": min, "highest": max}.get(name, lambda x: sum(x) / len(x))
        assert v == pytest.approx(fold(over))
        assert (256 <= q < 512) or (covered == width and q == 0)


EXPRESSIONS = [
    '"a" - 2 * "b"', 'avg("a", 7 s) / 3', 'rate("a") * 1 s + previous("b")', 'held("a" + "b", 4 s)',
    'if("a" > avg("b", 5 s), previous(previous("a")), delta("b", 6 s))',
    'previous(avg("a" * 0.1, 9 s)) - highest("b", 3 s)', 'avg(rate("a") * 1 s / 7, 11 s) + "b"',
]  # fmt: skip


def _rows(sid: int, told: Sequence[Row]) -> Rows:
    one = track(told)
    return Rows(np.full(len(told), sid, np.int32), one.ts, one.v, one.q,
                np.zeros(len(told), np.int64))  # fmt: skip


@settings(max_examples=200)
@given(rows, rows, st.sampled_from(EXPRESSIONS), st.integers(0, 42), st.integers(0, 42))
def test_any_part_of_time_gives_what_the_whole_gives(
    a: list[Row], b: list[Row], text: str, start: int, end: int
) -> None:
    program, told = made(text), {"a": a, "b": b}
    inputs = [told[signal.path] for signal in program.inputs]
    whole = evaluate(program.root, [track(rows) for rows in inputs], 0, 100 * S)

    def before(number: int, t: int) -> int | None:
        return max([row[0] for row in inputs[number] if row[0] < t], default=None)

    reach = program.root.reach(start * S, before)
    assert set(reach) == set(range(len(inputs)))
    part = [
        track([row for row in rows if reach[number] <= row[0] < end * S])
        for number, rows in enumerate(inputs)
    ]
    found = evaluate(program.root, part, start * S, end * S)
    assert shown(found) == shown(whole.cut(start * S, end * S))  # to the last bit


@settings(max_examples=200)
@given(rows, rows, st.sampled_from(EXPRESSIONS), st.randoms(use_true_random=False),
       st.integers(0, 3), st.booleans())  # fmt: skip
def test_however_the_inputs_come_the_outputs_end_the_same(
    a: list[Row], b: list[Row], text: str, random: object, late: int, lose: bool
) -> None:
    program, told = made(text), {"a": a, "b": b}
    inputs = [told[signal.path] for signal in program.inputs]
    whole = evaluate(program.root, [track(rows) for rows in inputs], 0, 100 * S)
    events = [(row[0], number, row) for number, rows in enumerate(inputs) for row in rows]
    events.sort(key=lambda e: e[0] + random.randint(0, late) * 5 * S)  # type: ignore[attr-defined]
    line = Follower(program.root, [Rows.empty()] * len(inputs), EMPTY, 0)
    given: dict[int, tuple[float | None, int]] = {}
    while events:
        batch = events[: random.randint(1, 6)]  # type: ignore[attr-defined]
        del events[: len(batch)]
        for number in range(len(inputs)):
            some = sorted(row for _, at, row in batch if at == number)
            line.hear(number, _rows(number + 1, some))
        end = max(stamp for stamp, _, _ in batch) + 1
        series = line.due(end)
        if lose and random.random() < 0.2:  # type: ignore[attr-defined]
            continue  # it could not be given: it stays due
        line.gave(series, end)
        given |= {ts: (v, q) for ts, v, q in shown(series)}
    series = line.due(100 * S)
    given |= {ts: (v, q) for ts, v, q in shown(series)}
    assert [(ts, *given[ts]) for ts in sorted(given)] == shown(whole)


def test_what_came_in_order_is_given_once() -> None:
    line = Follower(made('"a" + "b"').root, [Rows.empty()] * 2, EMPTY, 0)
    count = 0
    for at in range(100):
        for number in range(2):
            line.hear(number, _rows(number + 1, [(at * S, float(at), 0)]))
        series = line.due(at * S + 1)
        line.gave(series, at * S + 1)
        count += len(series.ts)
    assert count == 100 and line.late == 0
    line.hear(0, _rows(1, [(99 * S, 99.0, 0)]))  # heard again
    assert len(line.due(200 * S).ts) == 0


def test_what_comes_later_than_is_kept_is_counted_and_memory_stays_bounded() -> None:
    line = Follower(made('avg("a", 10 s)').root, [Rows.empty()], EMPTY, 0)
    for at in range(1000):
        line.hear(0, _rows(1, [(at * S, float(at), 0)]))
        line.gave(line.due(at * S + 1), at * S + 1)
    assert len(line) < 3 * (KEEP_US // S + 12)
    line.hear(0, _rows(1, [(5 * S + 1, 0.0, 0)]))
    assert line.late == 1 and not len(line.due(2000 * S).ts)
    line.hear(0, _rows(1, [(990 * S + 1, 0.0, 0)]))
    again = line.due(2000 * S)
    assert again.ts[0] == 990 * S + 1 and len(again.ts) == 10


def test_what_was_given_by_another_expression_is_overwritten() -> None:
    given = Series(np.array([1, 5, 9]), np.array([1.0, 5.0, 9.0]), np.zeros(3, np.int32))
    new = Series(np.array([1, 4]), np.array([1.0, 7.0]), np.zeros(2, np.int32))
    assert shown(differing(new, given)) == [(4, 7, 0), (5, 7, 0), (9, 7, 0)]
    assert track_of(_rows(1, [(1, 2.0, 0)])).ts.tolist() == [1]
