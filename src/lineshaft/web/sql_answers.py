"""How a query's result leaves: JSON rows, CSV, Arrow.

Rules: stamps are int µs in JSON, ISO 8601 with Z in CSV, timestamps in Arrow; a column's name
stands once; what JSON or CSV cannot hold (intervals, blobs, lists in CSV) becomes text.
"""

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

__all__ = ["as_bytes", "rehearse"]


def rehearse() -> None:
    """Load everything that `as_bytes` ever needs: modules, the time zone."""
    at = pa.array([0], pa.timestamp("us", "UTC"))
    hour, length = (
        pa.array([0], pa.time64("us")),
        pa.array([(1, 1, 1)], pa.month_day_nano_interval()),
    )
    columns = {"ts": at, "in": pa.StructArray.from_arrays([at, hour, length], ["a", "b", "c"])}
    for format in ("arrow", "csv", "json"):
        as_bytes(pa.table(columns), True, {"format": format, "as_of": 0})


def as_bytes(table: pa.Table, is_whole: bool, request: Mapping[str, Any]) -> bytes:
    """Return the result in the format asked for."""
    names: list[str] = []
    for name in table.column_names:
        free = (f"{name}_{n}" if n else name for n in range(len(table.column_names) + 1))
        names.append(next(one for one in free if one not in names))
    table = table.rename_columns(names)
    if request["format"] == "arrow":
        return _arrow(table)
    if request["format"] == "csv":
        return _csv(table)
    kinds = [{"name": field.name, "type": str(field.type)} for field in table.schema]
    plain = pa.table({name: _for_json(table.column(name)) for name in names})
    content = {"columns": kinds, "rows": plain.to_pylist(), "is_whole": is_whole,
               "as_of": request["as_of"]}  # fmt: skip
    return orjson.dumps(content, default=_text, option=orjson.OPT_NON_STR_KEYS)


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _for_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    return column.cast(pa.float64()) if pa.types.is_decimal(kind) else column


def _csv(table: pa.Table) -> bytes:
    names = _for_csv(pa.chunked_array([table.column_names], pa.utf8())).to_pylist()
    columns = [_for_csv(table.column(name)) for name in table.column_names]
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(pa.Table.from_arrays(columns, names), sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _for_csv(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_timestamp(kind):
        plain = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
        return pc.strftime(plain, format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        column = pa.chunked_array([[_cell(one) for one in column.to_pylist()]], pa.utf8())
    # An apostrophe before what a spreadsheet would run as a formula.
    unsafe = pc.match_substring_regex(column, r"^[=+\-@\t\r]")
    return pc.if_else(unsafe, pc.binary_join_element_wise("'", column, ""), column)


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS).decode().strip('"')


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
