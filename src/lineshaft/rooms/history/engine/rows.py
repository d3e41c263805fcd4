"""Rows: samples in numpy columns, with the sequence number that every stored row keeps.

A sequence number is one int64: the epoch of the stream in the upper 23 bits, the stream's own
number in the lower 40. Later epochs therefore always win over earlier ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.core.samples import SCHEMA, STAMP, SampleBlock

__all__ = [
    "STORED", "Column", "Rows", "bounded", "full_seq", "gather", "order_by_signal", "split_seq",
    "text_bytes",
]  # fmt: skip

_SEQ_BITS: Final = 40
_MAX_TEXT: Final = 64 * 1024 * 1024
STORED: Final = SCHEMA.append(pa.field("seq", pa.int64(), nullable=False))

Column = NDArray[Any]


def full_seq(epoch: int, seq: int) -> int:
    """Join an epoch and a stream's number into the number that rows keep."""
    return epoch << _SEQ_BITS | seq


def split_seq(full: int) -> tuple[int, int]:
    """Return (epoch, number in the stream)."""
    return full >> _SEQ_BITS, full & ((1 << _SEQ_BITS) - 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of shape `(n,)`: sid int32, ts int64 µs, v float64 (NaN for null), q int32, seq
    int64; `s` is a string array, or None where no row holds a text."""

    sid: Column
    ts: Column
    v: Column
    q: Column
    seq: Column
    s: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.sid)

    def take(self, index: Column) -> "Rows":
        """Return the rows at `index` (positions or a mask), in that order."""
        s = self.s
        if s is not None:
            chosen = pa.array(index)
            s = s.filter(chosen) if index.dtype == np.bool_ else s.take(chosen)
        return Rows(
            self.sid[index], self.ts[index], self.v[index], self.q[index], self.seq[index], s
        )

    def slice(self, first: int, end: int) -> "Rows":
        """Return rows `first … end-1` as views."""
        cut = slice(first, end)
        s = None if self.s is None else self.s[first:end]
        return Rows(self.sid[cut], self.ts[cut], self.v[cut], self.q[cut], self.seq[cut], s)

    def last_of_each(self) -> "Rows":
        """Return the last row of each signal; the rows are sorted by sid."""
        if not len(self):
            return self
        return self.take(np.flatnonzero(np.append(self.sid[1:] != self.sid[:-1], True)))

    def table(self) -> pa.Table:
        """Return the rows as an Arrow table with the stored columns."""
        s = pa.nulls(len(self), pa.utf8()) if self.s is None else self.s
        columns = [
            pa.array(self.sid),
            pa.array(self.ts).view(STAMP),
            pa.array(self.v, from_pandas=True),
            s.dictionary_encode(),
            pa.array(self.q),
            pa.array(self.seq),
        ]
        return pa.Table.from_arrays(columns, schema=STORED)

    def to_bytes(self) -> bytes:
        """Return the rows as compressed Arrow IPC."""
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, STORED, options=options) as stream:
            stream.write_table(self.table())
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]

    @classmethod
    def from_bytes(cls, content: bytes) -> "Rows":
        """Read what `to_bytes` wrote."""
        with pa.ipc.open_stream(pa.py_buffer(content)) as stream:
            return cls.from_table(stream.read_all())

    @classmethod
    def from_table(cls, table: pa.Table) -> "Rows":
        """Read rows from a table with the stored columns."""
        s, texts = table.column("s"), None
        if s.null_count < len(s):
            texts = pa.concat_arrays([chunk.cast(pa.utf8()) for chunk in s.chunks])
        return cls(
            table.column("sid").to_numpy(),
            table.column("ts").to_numpy().view(np.int64),
            table.column("v").to_numpy(),
            table.column("q").to_numpy(),
            table.column("seq").to_numpy(),
            texts,
        )

    @classmethod
    def of_block(cls, seq: int, block: SampleBlock) -> "Rows":
        """Return the rows of one block as views of it, all with the full number `seq`."""
        batch = block.batch
        s = batch.column(3)
        return cls(
            block.sid,
            block.ts,
            batch.column(2).to_numpy(zero_copy_only=False),
            batch.column(4).to_numpy(),
            # One number seen as a whole column: `broadcast_to` takes longer than all the rest.
            np.ndarray((batch.num_rows,), np.int64, np.array([seq]), strides=(0,)),
            None if s.null_count == len(s) else s.cast(pa.utf8()),
        )

    @classmethod
    def empty(cls) -> "Rows":
        """Return no rows."""
        return cls(
            np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64),
            np.empty(0, np.int32), np.empty(0, np.int64),
        )  # fmt: skip

    @classmethod
    def concat(cls, parts: Sequence["Rows"]) -> "Rows":
        """Return all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        s = None
        if any(part.s is not None for part in parts):
            s = pa.concat_arrays(
                [pa.nulls(len(p), pa.utf8()) if p.s is None else p.s.cast(pa.utf8()) for p in parts]
            )
        sid, ts, v, q, seq = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("sid", "ts", "v", "q", "seq")
        )
        return cls(sid, ts, v, q, seq, s)


def text_bytes(block: SampleBlock) -> int:
    """Return how many bytes the block's texts take once each row holds its own."""
    s = block.batch.column(3)
    if s.null_count == len(s):
        return 0
    lengths = pc.binary_length(s.dictionary).cast(pa.int64()).take(s.indices)
    return pc.sum(lengths).as_py() or 0


def bounded(block: SampleBlock) -> SampleBlock:
    """Return the block; raise Refused where a small message would unfold to an immense one."""
    size = text_bytes(block)
    if size > _MAX_TEXT:
        raise Refused(f"a block with {size} bytes of text", code="block.text",
                      hint=f"{_MAX_TEXT} are allowed")  # fmt: skip
    return block


def gather(blocks: Sequence[tuple[int, SampleBlock]]) -> Rows:
    """Return the rows of blocks `(full sequence number, block)` in the order given."""
    batches = [block.batch for _, block in blocks]
    lengths = [batch.num_rows for batch in batches]
    seq = np.repeat(np.array([number for number, _ in blocks], np.int64), lengths)
    s = None
    if any(batch.column(3).null_count < batch.num_rows for batch in batches):
        s = pa.concat_arrays([batch.column(3).cast(pa.utf8()) for batch in batches])
    columns = pa.Table.from_batches(batches).columns
    return Rows(
        columns[0].to_numpy(),
        columns[1].to_numpy().view(np.int64),
        columns[2].to_numpy(),
        columns[4].to_numpy(),
        seq,
        s,
    )


def order_by_signal(sid: Column) -> Column:
    """Return the stable order by sid: a radix sort by 16-bit digits, linear in the rows."""
    offset = sid.astype(np.int64) - int(sid.min())
    order = np.argsort((offset & 0xFFFF).astype(np.uint16), kind="stable")
    if int(offset.max()) > 0xFFFF:
        order = order[np.argsort((offset[order] >> 16).astype(np.uint16), kind="stable")]
    return order
