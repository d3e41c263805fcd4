"""The table `signals` of a snapshot: read straight into columns, and anew only when it changed.

Rules: retired signals stay in it, because their samples do; whether it changed is asked of the
database every time, with one pass over numbers.
"""

import threading
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Engine, func, select

from lineshaft.records import reading
from lineshaft.rooms.plant.store import signals

__all__ = ["SIGNALS", "SignalTable"]

SIGNALS: Final = pa.schema([
    ("sid", pa.int32()), ("path", pa.utf8()), ("name", pa.utf8()), ("kind", pa.utf8()),
    ("unit", pa.utf8()), ("low", pa.float64()), ("high", pa.float64()),
    ("limit_low", pa.float64()), ("limit_high", pa.float64()), ("period_ms", pa.int32()),
    ("source", pa.utf8()), ("writable", pa.bool_()), ("decimals", pa.int32()),
    ("description", pa.utf8()), ("retired_at", pa.timestamp("us", "UTC")),
])  # fmt: skip
_WANTED: Final = select(*(signals.c[name] for name in SIGNALS.names)).order_by(signals.c.sid)
_MARK: Final = select(
    func.count(), func.max(signals.c.sid), func.sum(signals.c.revision),
    func.count(signals.c.retired_at), func.sum(func.length(signals.c.path)),
)  # fmt: skip


class SignalTable:
    """Reads the list of signals; blocks on the database, in any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._mark: tuple[Any, ...] | None = None
        self._table = SIGNALS.empty_table()

    def arrow(self) -> pa.Table:
        """Return all signals, retired ones too, by sid."""
        with self._lock, reading(self._engine) as connection:
            mark = tuple(connection.execute(_MARK).one())
            if mark != self._mark:
                rows = connection.execute(_WANTED).all()
                columns = list(zip(*rows, strict=True)) if rows else [()] * len(SIGNALS)
                arrays = [pa.array(column, field.type)
                          for column, field in zip(columns, SIGNALS, strict=True)]  # fmt: skip
                self._table, self._mark = pa.Table.from_arrays(arrays, schema=SIGNALS), mark
            return self._table
