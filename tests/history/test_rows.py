"""Rows: columns that survive every way out and back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.rows import (
    STORED,
    Rows,
    bounded,
    full_seq,
    gather,
    order_by_signal,
    split_seq,
    text_bytes,
)
from tests.history.desk import START, Row, block, listed, rows_of

_rows = st.lists(
    st.tuples(
        st.integers(1, 2**31 - 1),
        st.integers(START, START + 50),
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        st.one_of(st.none(), st.text(max_size=5)),
        st.sampled_from([0, 256, 512, 767]),
    ).map(lambda row: row if row[2] is not None or row[3] is not None else (*row[:4], 512)),
    min_size=1,
    max_size=20,
)


@given(st.integers(0, 2**23 - 1), st.integers(0, 2**40 - 1))
def test_a_number_is_an_epoch_and_a_place_in_it(epoch: int, seq: int) -> None:
    full = full_seq(epoch, seq)
    assert split_seq(full) == (epoch, seq)
    assert 0 <= full < 2**63
    if seq:
        assert full > full_seq(epoch, seq - 1)
    assert full < full_seq(epoch + 1, 0)


@given(st.lists(_rows, min_size=1, max_size=4))
def test_gathered_rows_are_those_of_the_blocks(many: list[list[Row]]) -> None:
    blocks = [(10 + number, block(rows)) for number, rows in enumerate(many)]
    expected = [(*row, seq) for seq, one in blocks for row in rows_of(one)]
    assert listed(gather(blocks)) == expected


@given(_rows)
def test_rows_survive_bytes_and_tables(rows: list[Row]) -> None:
    own = gather([(7, block(rows))])
    assert listed(Rows.from_bytes(own.to_bytes())) == listed(own)
    assert listed(Rows.from_table(own.table())) == listed(own)
    halves = pa.concat_tables([own.slice(0, 1).table(), own.slice(1, len(own)).table()])
    assert listed(Rows.from_table(halves)) == listed(own)
    assert own.table().schema.equals(STORED)


@given(_rows, st.randoms(use_true_random=False))
def test_rows_are_taken_by_mask_and_place(rows: list[Row], dice: "np.random.Generator") -> None:
    own = gather([(7, block(rows))])
    mask = np.array([dice.random() < 0.5 for _ in range(len(own))])
    whole = listed(own)
    assert listed(own.take(mask)) == [row for row, kept in zip(whole, mask, strict=True) if kept]
    backwards = np.arange(len(own))[::-1]
    assert listed(own.take(backwards)) == whole[::-1]


def test_concat_joins_rows_with_and_without_texts() -> None:
    one = gather([(1, block([(1, START, 1.0, None, 0)]))])
    two = gather([(2, block([(1, START, None, "on", 0)]))])
    assert listed(Rows.concat([one, two, Rows.empty()])) == [
        (1, START, 1.0, None, 0, 1), (1, START, None, "on", 0, 2),
    ]  # fmt: skip
    assert len(Rows.concat([])) == 0
    assert listed(Rows.from_bytes(Rows.empty().to_bytes())) == []


@given(st.lists(st.sampled_from([1, 2, 3, 65_536, 65_537, 2**20, 2**31 - 1]), min_size=1))
def test_the_order_by_signal_is_stable(sids: list[int]) -> None:
    sid = np.array(sids, np.int32)
    assert order_by_signal(sid).tolist() == np.argsort(sid, kind="stable").tolist()


def test_a_small_message_with_immense_texts_is_refused() -> None:
    def texts(count: int, length: int) -> list[Row]:
        return [(1, START + i, None, "x" * length, 0) for i in range(count)]

    assert text_bytes(block(texts(10, 1000))) == 10_000
    assert text_bytes(block([(1, START, 1.0, None, 0)])) == 0
    assert text_bytes(block([(1, START, None, "ä", 0), (1, START + 1, 1.0, None, 0)])) == 2
    with pytest.raises(Refused, match="bytes of text"):
        bounded(block(texts(3000, 30_000)))
    assert len(bounded(block(texts(3000, 300)))) == 3000
