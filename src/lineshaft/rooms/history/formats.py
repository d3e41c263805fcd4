"""How rows leave the house: JSON columns, Arrow, CSV; ready bytes, no object per sample."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv

from lineshaft.core.quality import describe
from lineshaft.core.signals import Signal
from lineshaft.rooms.history.engine.rows import Rows

__all__ = ["as_arrow", "as_columns", "as_csv", "dump"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def dump(content: Any) -> bytes:
    """Return JSON; numpy columns become lists, NaN becomes null."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def as_columns(rows: Rows) -> dict[str, Any]:
    """Return the rows as named columns for `dump`."""
    texts = [None] * len(rows) if rows.s is None else rows.s.to_pylist()
    plain = {name: np.ascontiguousarray(getattr(rows, name))
             for name in ("sid", "ts", "v", "q", "seq")}  # fmt: skip
    return {**plain, "s": texts}


def as_arrow(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def as_csv(rows: Rows, signals: Mapping[int, Signal]) -> bytes:
    """Return `time,path,value,text,quality,unit` lines; texts cannot become formulas."""
    kinds, which = np.unique(rows.q, return_inverse=True)
    names = pa.array([describe(int(q)) for q in kinds], pa.utf8())
    sids, whose = np.unique(rows.sid, return_inverse=True)
    known = [signals.get(int(sid)) for sid in sids]
    named = [s.path if s else str(n) for s, n in zip(known, sids, strict=True)]
    paths = _harmless(pa.array(named, pa.utf8()))
    units = _harmless(pa.array([s.unit if s else "" for s in known], pa.utf8()))
    texts = pa.nulls(len(rows), pa.utf8()) if rows.s is None else _harmless(rows.s)
    stamps = pa.array(rows.ts).view(pa.timestamp("us"))
    table = pa.table(
        {
            "time": pa.compute.strftime(stamps, format="%Y-%m-%dT%H:%M:%SZ"),
            "path": paths.take(pa.array(whose)),
            "value": pa.array(rows.v, from_pandas=True),
            "text": texts,
            "quality": names.take(pa.array(which)),
            "unit": units.take(pa.array(whose)),
        }
    )
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _harmless(texts: pa.Array) -> pa.Array:
    """Put an apostrophe before what a spreadsheet would run as a formula."""
    some = texts.unique().to_pylist()
    if not any(t is not None and t.startswith(_FORMULA) for t in some):
        return texts
    safe = ["'" + t if t is not None and t.startswith(_FORMULA) else t for t in texts.to_pylist()]
    return pa.array(safe, pa.utf8())
