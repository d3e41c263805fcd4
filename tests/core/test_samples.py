"""SampleBlock: the rules hold however the columns come, and nothing breaks the reader."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.quality import Reason, bad, uncertain
from lineshaft.core.samples import MAX_ROWS, SCHEMA, SampleBlock, sort_order

ARRIVAL = 1_700_000_000_000_000
AHEAD = 60_000_000

_row = st.tuples(
    st.integers(1, 4),
    st.one_of(
        st.integers(ARRIVAL - 5, ARRIVAL + 5),
        st.integers(0, ARRIVAL + 2 * AHEAD),
        st.sampled_from([ARRIVAL + AHEAD, ARRIVAL + AHEAD + 1, -1, -11_644_473_600_000_000]),
    ),
    st.floats(),
    st.sampled_from([0, uncertain(Reason.SENSOR), bad(Reason.LINK), bad(Reason.NONE)]),
    st.one_of(st.none(), st.text(max_size=4)),
)
_rows = st.lists(_row, min_size=1, max_size=40)


def _make(rows: list[tuple[int, int, float, int, str | None]], *, text: bool = True) -> SampleBlock:
    sid, ts, v, q, s = zip(*rows, strict=True)
    return SampleBlock.from_columns(
        sid, ts, v, q, s=s if text else None, origin="o", arrival=ARRIVAL
    )


def _expected(rows: list[tuple[int, int, float, int, str | None]]) -> list[dict[str, Any]]:
    """Return what the rules say, row by row, as slowly and plainly as can be."""
    kept: dict[tuple[int, int], dict[str, Any]] = {}
    for sid, ts, v, q, s in rows:
        off = not 0 <= ts <= ARRIVAL + AHEAD
        finite = bool(np.isfinite(v))
        if off:
            ts = ARRIVAL
            q = uncertain(Reason.CLOCK) if q < 512 else q
        if not finite and s is None and q < 512:
            q = bad(Reason.NOT_A_NUMBER)
        kept[sid, ts] = {"sid": sid, "ts": ts, "v": v if finite else None, "s": s, "q": q}
    return [kept[key] for key in sorted(kept)]


def _columns(block: SampleBlock) -> list[dict[str, Any]]:
    table = pa.Table.from_batches([block.batch])
    return table.set_column(1, "ts", table["ts"].cast(pa.int64())).to_pylist()


@given(_rows, st.booleans())
def test_a_block_is_what_the_rules_say(
    rows: list[tuple[int, int, float, int, str | None]], text: bool
) -> None:
    if not text:
        rows = [(sid, ts, v, q, None) for sid, ts, v, q, _ in rows]
    block = _make(rows, text=text)
    assert _columns(block) == _expected(rows)


@given(_rows)
def test_a_block_survives_the_wire(rows: list[tuple[int, int, float, int, str | None]]) -> None:
    block = _make(rows)
    back = SampleBlock.decode(block.encode(), origin="o", arrival=ARRIVAL)
    assert _columns(back) == _columns(block)
    assert (back.origin, back.arrival, len(back)) == ("o", ARRIVAL, len(block))
    assert back.batch.schema == SCHEMA
    assert list(back.ts) == [row["ts"] for row in _columns(block)]


@given(_rows)
def test_the_same_content_has_the_same_message_id(
    rows: list[tuple[int, int, float, int, str | None]],
) -> None:
    block = _make(rows)
    body = block.encode()
    again = _make(rows).encode()
    assert block.message_id(body) == block.message_id(again)
    assert hashlib.sha256(body).hexdigest()[:24] in block.message_id(body)
    other = _make([(9, ARRIVAL, 1.0, 0, None), *rows])
    assert other.message_id(other.encode()) != block.message_id(body)


def test_quality_given_is_not_changed_in_place() -> None:
    q = np.zeros(2, np.int32)
    SampleBlock.from_columns(
        np.array([1, 2]), np.array([0, 2**60]), np.array([np.nan, 1.0]), q,
        origin="o", arrival=ARRIVAL,
    )  # fmt: skip
    assert list(q) == [0, 0]


def test_a_text_sample_has_no_number_and_stays_good() -> None:
    (row,) = _columns(_make([(1, ARRIVAL, float("nan"), 0, "running")]))
    assert row == {"sid": 1, "ts": ARRIVAL, "v": None, "s": "running", "q": 0}


def test_order_is_found_only_where_it_is_needed() -> None:
    sid, ts = np.array([1, 1, 2], np.int32), np.array([5, 6, 1])
    assert sort_order(sid, ts) is None
    order = sort_order(sid[::-1], ts[::-1])
    assert order is not None
    assert list(order) == [2, 1, 0]


@pytest.mark.parametrize(
    ("sid", "ts", "v", "q", "code"),
    [
        ([], [], [], [], "block.size"),
        ([1], [1, 2], [1.0], [0], "block.columns"),
        ([1, 1], [1, 2], [1.0, 2.0], [0], "block.columns"),
        ([0], [1], [1.0], [0], "block.range"),
        ([-4], [1], [1.0], [0], "block.range"),
        ([1], [1], [1.0], [-1], "block.quality"),
        ([1], [1], [1.0], [768], "block.quality"),
        (range(1, MAX_ROWS + 2), [1] * (MAX_ROWS + 1), [1.0] * (MAX_ROWS + 1),
         [0] * (MAX_ROWS + 1), "block.size"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_a_block_are_refused(
    sid: Any, ts: Any, v: Any, q: Any, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        SampleBlock.from_columns(sid, ts, v, q, origin="o", arrival=ARRIVAL)
    assert refused.value.code == code


# --- what comes off a wire is not trusted ------------------------------------------------------


def _ipc(*batches: pa.RecordBatch, schema: pa.Schema = SCHEMA) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return bytes(sink.getvalue())


def _batch(**changed: Any) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "sid": [1, 2], "ts": [10, 10], "v": [1.0, None], "s": [None, "on"], "q": [0, 0],
    }  # fmt: skip
    columns |= changed
    arrays = [
        pa.array(columns["s"], pa.utf8()).dictionary_encode()
        if field.name == "s"
        else pa.array(columns[field.name], field.type)
        for field in SCHEMA
    ]
    loose = pa.schema([field.with_nullable(True) for field in SCHEMA])
    batch = pa.RecordBatch.from_arrays(arrays, schema=loose)
    return pa.RecordBatch.from_arrays(batch.columns, schema=SCHEMA)


def _decode(body: bytes) -> SampleBlock:
    return SampleBlock.decode(body, origin="o", arrival=ARRIVAL)


def test_the_plain_batch_of_these_tests_is_a_block() -> None:
    assert len(_decode(_ipc(_batch()))) == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sid": [2, 1]}, "block.order"),
        ({"sid": [1, 1]}, "block.order"),
        ({"sid": [1, 1], "ts": [11, 10]}, "block.order"),
        ({"sid": [0, 1]}, "block.range"),
        ({"ts": [-1, 10]}, "block.range"),
        ({"ts": [10, ARRIVAL + AHEAD + 1]}, "block.range"),
        ({"v": [1.0, float("inf")]}, "block.value"),
        ({"v": [1.0, float("nan")]}, "block.value"),
        ({"q": [0, -1]}, "block.quality"),
        ({"q": [0, 768]}, "block.quality"),
        ({"sid": [1, None]}, "block.null"),
        ({"ts": [None, 1]}, "block.null"),
        ({"q": [None, 0]}, "block.null"),
        ({"sid": [], "ts": [], "v": [], "s": [], "q": []}, "block.size"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        _decode(_ipc(_batch(**changed)))
    assert refused.value.code == code


def test_rows_in_a_second_batch_are_not_dropped_in_silence() -> None:
    with pytest.raises(Refused, match="one batch"):
        _decode(_ipc(_batch(), _batch(sid=[3, 4])))


def test_other_columns_are_refused() -> None:
    other = pa.record_batch({"sid": pa.array([1], pa.int32())})
    for body in (_ipc(other, schema=other.schema), _ipc(), b"", b"{}"):
        with pytest.raises(Refused):
            _decode(body)


def _holds(block: SampleBlock) -> None:
    rows = _columns(block)
    keys = [(row["sid"], row["ts"]) for row in rows]
    assert keys == sorted(set(keys))
    assert 0 < len(rows) <= MAX_ROWS
    assert all(row["v"] is None or np.isfinite(row["v"]) for row in rows)
    assert all(row["sid"] > 0 and 0 <= row["ts"] <= ARRIVAL + AHEAD for row in rows)
    assert all(0 <= row["q"] < 768 for row in rows)


_BODY = _make([(1, ARRIVAL, 1.5, 0, "on"), (2, ARRIVAL, np.nan, 0, None)]).encode()


def _try(body: bytes) -> None:
    """Decode what may be anything: Refused, or a block that keeps every rule."""
    try:
        block = _decode(body)
    except Refused as refused:
        assert str(refused)
        assert refused.code.startswith("block.")
    else:
        _holds(block)


@given(st.binary(max_size=600))
def test_random_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        _decode(body)


def test_a_body_cut_at_any_length_is_refused_or_whole() -> None:
    for length in range(len(_BODY)):
        try:
            block = _decode(_BODY[:length])
        except Refused:
            continue
        assert _columns(block) == _columns(_decode(_BODY))  # only the end mark was cut off


def test_a_flipped_bit_anywhere_never_breaks_the_reader() -> None:
    for place in range(len(_BODY) * 8):
        body = bytearray(_BODY)
        body[place // 8] ^= 1 << place % 8
        _try(bytes(body))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(_BODY) - 1), st.integers(0, 255)), max_size=8))
def test_changed_bytes_never_break_the_reader(changes: list[tuple[int, int]]) -> None:
    body = bytearray(_BODY)
    for place, value in changes:
        body[place] = value
    _try(bytes(body))
