"""The buffer and its blocks: examples and properties."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.quality import Reason, uncertain
from lineshaft.rooms.connect.engine import (
    BLOCK_ROWS,
    BLOCK_SPAN_US,
    Buffer,
    Gap,
    Rows,
    tamed,
)

T0 = 1_790_000_000_000_000
MS = 1000


def rows(
    sid: Sequence[int],
    ts: Sequence[int],
    arrival: int,
    q: int = 0,
    s: list[str | None] | None = None,
) -> Rows:
    count = len(sid)
    return Rows(
        np.array(sid, np.int64), np.array(ts, np.int64), np.arange(count, dtype=np.float64),
        np.full(count, q, np.int64), s, arrival,
    )  # fmt: skip


batches = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 400_000), st.booleans()), min_size=1, max_size=30
)


@given(batches, st.integers(50, 2000))
def test_every_row_leaves_once_in_order_or_is_named_as_dropped(
    steps: list[tuple[int, int, bool]], limit: int
) -> None:
    buffer, arrival, serial = Buffer(limit), T0, 0
    went: list[int] = []
    dropped: list[Gap] = []
    for count, pause, cut in steps:
        arrival += pause
        stamps = [T0 + serial + i for i in range(count)]
        serial += count
        gap = buffer.append(rows([1] * count, stamps, arrival))
        dropped += [gap] if gap else []
        assert len(buffer) <= limit
        if cut and (block := buffer.cut("s")):
            went += block.ts.tolist()
    while block := buffer.cut("s"):
        assert len(block) <= BLOCK_ROWS
        went += block.ts.tolist()
    assert len(buffer) == 0 and went == sorted(set(went))
    missing = set(range(T0, T0 + serial)) - set(went)
    assert all(any(g.start <= ts <= g.end for g in dropped) for ts in missing)
    assert bool(dropped) == bool(missing)


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 900_000)), min_size=1, max_size=20))
def test_blocks_keep_their_bounds(steps: list[tuple[int, int]]) -> None:
    buffer, arrival, arrivals = Buffer(10**7), T0, {}
    for count, pause in steps:
        arrival += pause
        first = len(arrivals)
        buffer.append(rows([1] * count, [T0 + first + i for i in range(count)], arrival))
        arrivals |= {T0 + first + i: arrival for i in range(count)}
    total = 0
    while block := buffer.cut("s"):
        total += len(block)
        own = [arrivals[ts] for ts in block.ts.tolist()]
        assert len(block) <= BLOCK_ROWS
        assert block.arrival == min(own) and max(own) - min(own) <= BLOCK_SPAN_US
    assert total == len(arrivals)


def test_texts_travel_with_their_rows_and_bound_a_block() -> None:
    buffer = Buffer(10_000)
    buffer.append(rows([1, 2], [T0, T0], T0))
    buffer.append(rows([3] * 1500, [T0 + i for i in range(1500)], T0, s=["x" * 1000] * 1500))
    buffer.append(rows([4], [T0], T0))
    blocks = []
    while block := buffer.cut("s"):
        blocks.append(block)
    assert len(blocks) == 3 and all(len(b.encode()) < 4_000_000 for b in blocks)
    first = blocks[0].batch.to_pydict()
    assert first["s"][:3] == [None, None, "x" * 1000] and first["v"][2] is not None
    assert blocks[-1].batch.to_pydict()["s"][-1] is None


def test_one_text_longer_than_a_block_still_leaves() -> None:
    buffer = Buffer(10)
    buffer.append(rows([1, 1], [T0, T0 + 1], T0, s=["x" * 600_000, "y"]))
    first, second = buffer.cut("s"), buffer.cut("s")
    assert first is not None and second is not None and (len(first), len(second)) == (1, 1)


def test_wild_stamps_take_the_arrival_and_none_hides_another() -> None:
    found = tamed(rows([1, 1, 1, 1], [T0, 0, T0 + 10**12, 2**62], T0, q=0))
    assert len(set(found.ts.tolist())) == 4 or found.ts[0] == T0
    assert found.ts[1:].tolist() == [T0 - 2, T0 - 1, T0]
    assert found.q.tolist() == [0, *[uncertain(Reason.CLOCK)] * 3]
