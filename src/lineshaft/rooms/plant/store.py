"""The table of signals; implements the port `SignalDirectory`.

Rules: `sid` is given out by the database and never again (`AUTOINCREMENT`; a sequence in
PostgreSQL); among signals that are not retired a path is unique; nothing is ever deleted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.types import BigInteger

from lineshaft.core.signals import Kind, Signal
from lineshaft.records import Engine, metadata, reading
from lineshaft.rooms.plant.engine import is_same_quantity, merged, unit_note
from lineshaft.rooms.plant.model import Listed, checked

__all__ = ["SignalStore", "signals"]

signals = Table(
    "signals",
    metadata,
    Column("sid", Integer, primary_key=True, autoincrement=True),
    Column("path", String(800), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("low", Float),
    Column("high", Float),
    Column("limit_low", Float),
    Column("limit_high", Float),
    Column("period_ms", Integer),
    Column("source", String(64), nullable=False, index=True),
    Column("writable", Boolean, nullable=False),
    Column("decimals", Integer),
    Column("description", Text, nullable=False),
    Column("retired_at", BigInteger),
    Index(
        "uq_signals_path_live",
        "path",
        unique=True,
        sqlite_where=text("retired_at IS NULL"),
        postgresql_where=text("retired_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)
_CHUNK = 500


class SignalStore:
    """The list of signals in the records database. Calls block; services run them in threads."""

    def __init__(self, engine: Engine, now_us: Callable[[], int]) -> None:
        self._engine = engine
        self._now_us = now_us

    def register(self, drafts: Sequence[Signal]) -> Sequence[Signal]:
        """Give each draft its sid, in one transaction; see `SignalDirectory.register`."""
        asked = [checked(draft) for draft in drafts]
        with self._engine.begin() as connection:
            known = _live_by_path(connection, [draft.path for draft in asked])
            done: list[Signal] = []
            for draft in asked:
                done.append(self._register_one(connection, known.get(draft.path), draft))
                known[draft.path] = done[-1]
        return done

    def _register_one(self, connection: Connection, known: Signal | None, draft: Signal) -> Signal:
        if known is not None and is_same_quantity(known, draft):
            now = merged(known, draft)
            if now != known:
                where = signals.c.sid == known.sid
                connection.execute(update(signals).where(where).values(_row(now)))
            return now
        if known is not None:
            retired = update(signals).where(signals.c.sid == known.sid)
            connection.execute(retired.values(retired_at=self._now_us()))
        made = connection.execute(insert(signals).values(_row(draft)))
        key = made.inserted_primary_key
        assert key is not None
        return merged(Signal(key[0], draft.path, draft.name, draft.kind), draft)

    def rename(self, sid: int, path: str) -> None:
        """Give a signal another path; its sid and history stay."""
        checked(Signal(sid, path, "", Kind.FLOAT))
        with self._engine.begin() as connection:
            connection.execute(update(signals).where(signals.c.sid == sid).values(path=path))

    def of_source(self, source: str) -> Sequence[Signal]:
        """Return the signals that a source feeds, by path."""
        return [listed.signal for listed in self.list(source=source)]

    def list(self, *, prefix: str = "", source: str = "", retired: bool = False) -> list[Listed]:
        """Return signals by path: those below a path prefix, of a source, both or all."""
        query = select(signals).order_by(signals.c.path)
        if not retired:
            query = query.where(signals.c.retired_at.is_(None))
        if source:
            query = query.where(signals.c.source == source)
        if prefix:
            level = prefix.rstrip("/") + "/"
            below = signals.c.path.startswith(level, autoescape=True)
            query = query.where(below | (signals.c.path == prefix))
        with reading(self._engine) as connection:
            return [_listed(row) for row in connection.execute(query).mappings()]


def _live_by_path(connection: Connection, paths: Sequence[str]) -> dict[str, Signal]:
    found: dict[str, Signal] = {}
    for start in range(0, len(paths), _CHUNK):
        some = signals.c.path.in_(paths[start : start + _CHUNK])
        query = select(signals).where(some, signals.c.retired_at.is_(None))
        for row in connection.execute(query).mappings():
            found[row["path"]] = _listed(row).signal
    return found


def _row(signal: Signal) -> Mapping[str, Any]:
    content = asdict(signal)
    del content["sid"]
    return {**content, "kind": signal.kind.value}


def _listed(row: RowMapping) -> Listed:
    content = dict(row)
    retired = content.pop("retired_at")
    content["kind"] = Kind(content["kind"])
    signal = Signal(**content)
    return Listed(signal, unit_note(signal.unit), retired)
