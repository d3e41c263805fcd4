"""SampleBlock: samples as columns, one Arrow record batch, never one object per sample.

Rules that hold for every block, checked when it is made and again when it comes off a wire:

- columns `sid int32, ts timestamp[us, UTC], v float64, s dictionary<string>, q int32`, sorted by
  `sid, ts`, one row per (sid, ts);
- no stamp lies before 1970 or more than 60 s ahead of the block's arrival: such a stamp is replaced
  by the arrival and its quality becomes Uncertain/clock;
- `v` is never NaN or infinite: those become null and Bad. A text sample has null in `v`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from lineshaft.core.errors import Refused
from lineshaft.core.quality import BAD, Reason, bad, uncertain

__all__ = ["MAX_ROWS", "SCHEMA", "STAMP", "Floats", "Ints", "SampleBlock", "sort_order"]

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]

STAMP: Final = pa.timestamp("us", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("sid", pa.int32(), nullable=False),
        pa.field("ts", STAMP, nullable=False),
        pa.field("v", pa.float64()),
        pa.field("s", pa.dictionary(pa.int32(), pa.utf8())),
        pa.field("q", pa.int32(), nullable=False),
    ]
)
MAX_ROWS: Final = 100_000
_OPTIONS: Final = pa.ipc.IpcWriteOptions()
_AHEAD_US: Final = 60_000_000
_YEAR_2200: Final = 7_258_118_400_000_000


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Samples of one origin, `n` rows; `arrival` (µs UTC) is when the first of them reached us."""

    batch: pa.RecordBatch
    origin: str
    arrival: int

    @classmethod
    def from_columns(
        cls,
        sid: Sequence[int] | Ints,
        ts: Sequence[int] | Ints,
        v: Sequence[float] | Floats,
        q: Sequence[int] | Ints,
        *,
        s: Sequence[str | None] | None = None,
        origin: str,
        arrival: int,
    ) -> "SampleBlock":
        """Make a block from columns of shape `(n,)` in any order.

        Of several rows with one (sid, ts) the last given stays. Raises Refused when a column has
        another length, an id or quality is none, or the block is empty or larger than MAX_ROWS.
        """
        sids, stamps = np.asarray(sid, np.int32), np.asarray(ts, np.int64)
        values, quality = np.asarray(v, np.float64), np.array(q, np.int32)
        texts = None if s is None else pa.array(s, pa.utf8())
        lengths = {len(sids), len(stamps), len(values), len(quality)}
        if len(lengths) != 1 or (texts is not None and len(texts) != len(sids)):
            raise Refused("the columns of a block differ in length", code="block.columns")
        if not 0 < len(sids) <= MAX_ROWS:
            raise Refused(f"a block of {len(sids)} samples", hint=f"1 to {MAX_ROWS} are allowed",
                          code="block.size")  # fmt: skip
        _check_ranges(sids, quality)
        off = (stamps > arrival + _AHEAD_US) | (stamps < 0)
        if off.any():
            stamps = np.where(off, arrival, stamps)
            quality[off & (quality < BAD)] = uncertain(Reason.CLOCK)
        odd = ~np.isfinite(values)
        if odd.any():
            empty = odd if texts is None else odd & texts.is_null().to_numpy(zero_copy_only=False)
            quality[empty & (quality < BAD)] = bad(Reason.NOT_A_NUMBER)
        if (sids[1:] > sids[:-1]).all():  # one row a signal, in order already: the common block
            return cls(_batch(sids, stamps, values, odd, texts, quality), origin, arrival)
        order = sort_order(sids, stamps)
        if order is not None:
            sids, stamps, odd = sids[order], stamps[order], odd[order]
            values, quality = values[order], quality[order]
            texts = None if texts is None else texts.take(pa.array(order))
        batch = _batch(sids, stamps, values, odd, texts, quality)
        keep = np.ones(len(sids), bool)
        keep[:-1] = (sids[1:] != sids[:-1]) | (stamps[1:] != stamps[:-1])
        if not keep.all():
            batch = batch.filter(pa.array(keep))
        return cls(batch, origin, arrival)

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @property
    def sid(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """Signal ids, shape `(n,)`, ascending; a view without copy."""
        return self.batch.column(0).to_numpy()  # type: ignore[no-any-return]

    @property
    def ts(self) -> Ints:
        """Stamps in µs UTC, shape `(n,)`; a view without copy."""
        return self.batch.column(1).to_numpy().view(np.int64)  # type: ignore[no-any-return]

    def between(self, first: int, last: int) -> "SampleBlock":
        """Return the samples with first <= sid <= last (perhaps none), without copy."""
        low = int(self.sid.searchsorted(np.int32(first)))
        high = int(self.sid.searchsorted(np.int32(last), "right"))
        return SampleBlock(self.batch.slice(low, high - low), self.origin, self.arrival)

    def encode(self) -> bytes:
        """Return the block's columns as one Arrow IPC stream."""
        sink = pa.BufferOutputStream()
        # With options of its own: else each new stream looks some up in the environment.
        with pa.ipc.RecordBatchStreamWriter(sink, SCHEMA, options=_OPTIONS) as stream:
            stream.write_batch(self.batch)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]

    def message_id(self, body: bytes) -> str:
        """Return the id of this block's message: the same content gives the same id, always."""
        digest = hashlib.sha256(body).hexdigest()[:24]
        return f"{self.origin}:{int(self.ts.min())}:{digest}"

    @classmethod
    def decode(cls, body: bytes, *, origin: str, arrival: int) -> "SampleBlock":
        """Read a block off a wire, trusting nothing; raise Refused that says what is wrong."""
        try:
            with pa.ipc.RecordBatchStreamReader(pa.py_buffer(body)) as stream:
                if not stream.schema.equals(SCHEMA):
                    raise Refused("the columns are not those of a block", code="block.schema")
                batch = stream.read_next_batch()
                batch.validate(full=True)
                if next(iter(stream), None) is not None:
                    raise Refused("a block is one batch, not more", code="block.form")
        except (pa.ArrowException, StopIteration, OSError, ValueError) as error:
            text = str(error) or "no batch in it"
            raise Refused(f"this is no Arrow block: {text[:200]}", code="block.form") from error
        block = cls(batch, origin, arrival)
        block._check()
        return block

    def _check(self) -> None:
        if not 0 < len(self) <= MAX_ROWS:
            raise Refused(f"a block of {len(self)} samples", code="block.size")
        if any(self.batch.column(i).null_count for i in (0, 1, 4)):
            raise Refused("a sample without signal, stamp or quality", code="block.null")
        sid, ts = self.sid, self.ts
        if not (sid[1:] > sid[:-1]).all():
            same = sid[1:] == sid[:-1]
            if (sid[1:] < sid[:-1]).any() or (same & (ts[1:] <= ts[:-1])).any():
                raise Refused("the block is not sorted by signal and stamp", code="block.order")
        _check_ranges(sid[:1], self.batch.column(4).to_numpy())
        # Read without their sign, what lies below zero lies beyond every limit.
        if ts.view(np.uint64).max() > min(self.arrival + _AHEAD_US, _YEAR_2200):
            raise Refused("a stamp is out of range", code="block.range")
        v = self.batch.column(2)
        finite = np.isfinite(v.to_numpy(zero_copy_only=False))
        if np.count_nonzero(finite) != len(self) - v.null_count:
            raise Refused("a value is infinite or not a number", code="block.value")


def _check_ranges(
    sid: np.ndarray[tuple[int], np.dtype[np.int32]], q: np.ndarray[tuple[int], np.dtype[np.int32]]
) -> None:
    if sid.min() <= 0:
        raise Refused("a signal id is out of range", code="block.range")
    if q.view(np.uint32).max() >= BAD + 256:
        raise Refused("a quality is out of range", code="block.quality")


def sort_order(
    sid: np.ndarray[tuple[int], np.dtype[np.int32]], ts: Ints
) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Return the stable order by (sid, ts), or None where the rows have it already."""
    if bool(((sid[1:] > sid[:-1]) | ((sid[1:] == sid[:-1]) & (ts[1:] >= ts[:-1]))).all()):
        return None
    return np.lexsort((ts, sid))


def _batch(
    sid: np.ndarray[tuple[int], np.dtype[np.int32]],
    ts: Ints,
    v: Floats,
    odd: np.ndarray[tuple[int], np.dtype[np.bool_]],
    texts: pa.Array | None,
    q: np.ndarray[tuple[int], np.dtype[np.int32]],
) -> pa.RecordBatch:
    none = pa.DictionaryArray.from_arrays(pa.nulls(len(sid), pa.int32()), pa.array([], pa.utf8()))
    columns = [
        pa.array(sid),
        pa.array(ts).view(STAMP),
        pa.array(v, mask=odd if odd.any() else None),
        none if texts is None else texts.dictionary_encode(),
        pa.array(q),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
