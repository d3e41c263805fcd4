"""The newest sample of every signal, against a dictionary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.rooms.history.engine.last import CHUNK, LastValues
from lineshaft.rooms.history.engine.rows import Rows
from tests.history.desk import START, Row, Table, block, listed, unnumbered

_NEVER = np.iinfo(np.int64).min
SIDS = [1, 2, 3, 4, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 2**31 - 1]
_blocks = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(SIDS), st.integers(START, START + 4), st.floats(-5, 5),
            st.sampled_from([None, "on", "off"]), st.sampled_from([0, 256]),
        ),
        min_size=1, max_size=12,
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=200)
@given(_blocks, st.sets(st.sampled_from(SIDS), min_size=1))
def test_the_newest_row_of_each_signal_is_known(many: list[list[Row]], asked: set[int]) -> None:
    last, table = LastValues(), Table()
    for seq, rows in enumerate(many, 1):
        last.update(block(rows), seq)
        table.add(seq, block(rows))
    sids = np.array(sorted(asked), np.int32)
    expected = table.newest(sorted(asked))
    assert unnumbered(listed(last.of(sids))) == unnumbered(expected)
    marks = dict(zip(sids.tolist(), last.high_water(sids).tolist(), strict=True))
    stamps = {row[0]: row[1] for row in expected}
    assert marks == {sid: stamps.get(sid, _NEVER) for sid in marks}
    half = len(many) // 2
    changed = listed(last.changed(sids, half))
    assert all(row[5] > half for row in changed)
    news = set(unnumbered([row for row in expected if row[5] > half]))
    assert news <= set(unnumbered(changed)) <= set(unnumbered(expected))


@given(_blocks)
def test_kept_chunks_bring_all_back(many: list[list[Row]]) -> None:
    last = LastValues()
    for seq, rows in enumerate(many, 1):
        last.update(block(rows), seq)
    back = LastValues()
    for number in last.numbers():
        back.update_rows(Rows.from_bytes(last.chunk_rows(number).to_bytes()))
    sids = np.array(SIDS, np.int32)
    assert listed(back.of(sids)) == listed(last.of(sids))


def test_a_copy_goes_its_own_way() -> None:
    last = LastValues()
    last.update(block([(1, START, 1.0, "a", 0)]), 1)
    twin = last.copy()
    twin.update(block([(1, START + 1, 2.0, None, 0), (9, START, 2.0, "b", 0)]), 2)
    one = np.array([1, 9], np.int32)
    assert listed(last.of(one)) == [(1, START, 1.0, "a", 0, 1)]
    assert len(twin.of(one)) == 2
    assert list(last.touched(np.array([1, CHUNK, CHUNK + 5, 9 * CHUNK], np.int32))) == [0, 1, 9]
