"""What one commit writes: rows above the high-water mark apart from late ones, by day."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.rooms.history.engine.commit import Part, arrange
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.revisions import merge
from tests.history.desk import DAY, START, Table, block, listed, unnumbered

_sids = st.sampled_from([1, 2, 65_535, 65_536, 2**31 - 1])
_stamps = st.one_of(st.integers(START, START + 9), st.integers(START + DAY - 3, START + DAY + 3))
_blocks = st.lists(
    st.lists(
        st.tuples(_sids, _stamps, st.floats(-10, 10), st.none(), st.just(0)),
        min_size=1, max_size=10,
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(_blocks, min_size=1, max_size=4))
def test_parts_hold_every_row_once_and_sequence_parts_never_meet(commits: list) -> None:
    last, table, seq = LastValues(), Table(), 0
    parts: list[Part] = []
    spans: dict[int, list[tuple[int, int]]] = {}
    for blocks in commits:
        numbered = [(seq + i, block(rows)) for i, rows in enumerate(blocks, 1)]
        seq += len(blocks)
        for number, one in numbered:
            table.add(number, one)
        made = arrange(numbered, last)
        assert sum(len(part.rows) for part in made) == sum(len(one) for _, one in numbered)
        parts += made
        for part in made:
            rows = part.rows
            assert set((rows.ts // DAY).tolist()) == {part.day}
            order = np.lexsort((rows.seq, rows.ts, rows.sid))
            assert (order == np.arange(len(rows))).all()
            if part.kind == "sequence":
                for sid in np.unique(rows.sid).tolist():
                    own = rows.ts[rows.sid == sid]
                    assert (np.diff(own) > 0).all()
                    spans.setdefault(sid, []).append((int(own[0]), int(own[-1])))
        every = sorted({sid for sid, _ in table.rows})
        newest = listed(last.of(np.array(every, np.int32)))  # a repeated row keeps its own number
        assert unnumbered(newest) == unnumbered(table.newest(every))
    for own in spans.values():
        assert all(before[1] < after[0] for before, after in pairwise(own))
    sids = sorted({sid for sid, _ in table.rows})
    assert listed(merge([part.rows for part in parts])) == table.raw(sids, 0, 1 << 62)


def test_rows_in_order_make_one_part() -> None:
    parts = arrange(
        [(1, block([(1, START, 1.0, None, 0), (2, START, 1.0, None, 0)]))], LastValues()
    )
    assert [(part.kind, part.day, len(part.rows)) for part in parts] == [
        ("sequence", START // DAY, 2)
    ]


def test_a_row_behind_its_signal_is_late_and_one_of_another_signal_is_not() -> None:
    last = LastValues()
    arrange([(1, block([(1, START + 10, 1.0, None, 0)]))], last)
    rows = [(1, START + 5, 2.0, None, 0), (2, START + 5, 2.0, None, 0)]
    parts = arrange([(2, block(rows))], last)
    assert [(part.kind, part.rows.sid.tolist()) for part in parts] == [
        ("sequence", [2]), ("late", [1]),
    ]  # fmt: skip
