"""The table of signals; implements the port `SignalDirectory`.

Rules: `sid` is given out by the database and never again (`AUTOINCREMENT`; a sequence in
PostgreSQL); among signals that are not retired a path is unique; nothing is ever deleted. What a
person edited stays when the source declares the signal again: a signal that was given another path
is found by the one that its source knows (`declared_path`), and who finds its own path taken by
such a one gets the next free.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    bindparam,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import BigInteger

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.records import Engine, metadata, reading
from lineshaft.rooms.plant.engine import edited, is_same_quantity, merged, succeeded, unit_note
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
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("declared", Text, nullable=False, server_default="{}"),
    Column("declared_path", String(800), index=True),
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


@dataclass
class _Known:
    """The signals that drafts may mean: by path, and by the path under which a source knows them
    where a person gave them another."""

    by_path: dict[str, Listed] = field(default_factory=dict)
    moved: dict[tuple[str, str], Listed] = field(default_factory=dict)

    def add(self, listed: Listed) -> None:
        self.by_path[listed.signal.path] = listed
        if "path" in listed.declared:
            self.moved[listed.signal.source, listed.declared["path"]] = listed

    def meant(self, draft: Signal) -> Listed | None:
        """Return the signal that a draft declares again; one that was moved to its path is not."""
        own = self.moved.get((draft.source, draft.path))
        there = self.by_path.get(draft.path)
        return own or (there if there is not None and "path" not in there.declared else None)


class SignalStore:
    """The list of signals in the records database. Calls block; services run them in threads."""

    def __init__(self, engine: Engine, now_us: Callable[[], int]) -> None:
        self._engine = engine
        self._now_us = now_us

    def register(self, drafts: Sequence[Signal]) -> Sequence[Signal]:
        """Give each draft its sid, in one transaction; see `SignalDirectory.register`."""
        asked = [checked(draft) for draft in drafts]
        with self._engine.begin() as connection:
            known = _known(connection, [draft.path for draft in asked])
            done: list[Signal] = []
            for draft in asked:
                listed = self._register_one(connection, known, draft)
                done.append(listed.signal)
                known.add(listed)
        return done

    def _register_one(self, connection: Connection, known: _Known, draft: Signal) -> Listed:
        meant, declared = known.meant(draft), dict[str, Any]()
        if meant is not None and is_same_quantity(meant, draft):
            now = merged(meant, draft)
            if now is not meant:
                where = signals.c.sid == now.signal.sid
                connection.execute(update(signals).where(where).values(_row(now)))
            return now
        if meant is not None:
            retired = update(signals).where(signals.c.sid == meant.signal.sid)
            connection.execute(retired.values(retired_at=self._now_us()))
            draft, kept = succeeded(meant, draft)
            declared = dict(kept)
        elif draft.path in known.by_path:
            declared = {"path": draft.path}
            draft = replace(draft, path=_free_path(connection, draft.path))
        fresh = Listed(draft, unit_note(draft.unit), declared=declared)
        made = connection.execute(insert(signals).values(_row(fresh)))
        key = made.inserted_primary_key
        assert key is not None
        return replace(fresh, signal=replace(draft, sid=key[0]))

    def change(self, sid: int, revision: int, wanted: Mapping[str, Any]) -> tuple[Listed, Listed]:
        """Edit a signal; return it before and after. Raise Refused where it is not there, is not as
        the person saw it any more (another revision), or cannot become what is wanted."""
        with self._engine.begin() as connection:
            query = select(signals).where(signals.c.sid == sid, signals.c.retired_at.is_(None))
            row = connection.execute(query).mappings().first()
            if row is None:
                raise Refused(f"there is no signal {sid}", hint="It may have been retired",
                              code="signal.unknown", status=404)  # fmt: skip
            before = _listed(row)
            if before.revision != revision:
                raise Refused(f"'{before.signal.path}' was changed meanwhile",
                              hint="Look at it again, then repeat what is still wanted",
                              code="signal.stale", status=409)  # fmt: skip
            after = edited(before, wanted)
            if after is not before:
                _write(connection, [(before, after)])
        return before, after

    def change_all(self, changes: Sequence[tuple[Listed, Listed]]) -> None:
        """Write many edits or none; refuse where one signal is not as it was before."""
        with self._engine.begin() as connection:
            _write(connection, changes)

    def by_sid(self, sids: Sequence[int]) -> dict[int, Signal]:
        """Return those of these signals that there are, retired ones too."""
        found: dict[int, Signal] = {}
        with reading(self._engine) as connection:
            for start in range(0, len(sids), _CHUNK):
                some = select(signals).where(signals.c.sid.in_(sids[start : start + _CHUNK]))
                for row in connection.execute(some).mappings():
                    found[row["sid"]] = _listed(row).signal
        return found

    def of_source(self, source: str) -> Sequence[Signal]:
        """Return the signals that a source feeds, by path."""
        return [listed.signal for listed in self.list(source=source)]

    def list(self, *, prefix: str = "", source: str = "", retired: bool = False) -> list[Listed]:
        """Return signals by path: those below a path prefix, of a source, both or all."""
        query = _query(prefix, source)
        if not retired:
            query = query.where(signals.c.retired_at.is_(None))
        with reading(self._engine) as connection:
            return [_listed(row) for row in connection.execute(query).mappings()]

    def columns(self, prefix: str = "", source: str = "") -> dict[str, Sequence[Any]]:
        """Return what `list` returns as columns of one length, without an object per signal."""
        query = _query(prefix, source).where(signals.c.retired_at.is_(None))
        shown = [c for c in signals.c if c.name not in {"retired_at", "declared_path"}]
        with reading(self._engine) as connection:
            rows = connection.execute(query.with_only_columns(*shown)).fetchall()
        names = [str(column.name) for column in shown]
        empty: Sequence[Any] = ()
        columns = zip(*rows, strict=True) if rows else [empty] * len(names)
        return dict(zip(names, columns, strict=True))

    def version(self) -> tuple[int, ...]:
        """Return what differs as soon as anything in the list of signals that are not retired does:
        edits raise a revision, new ones the highest sid, and retiring lowers the count."""
        seen = select(func.count(), func.max(signals.c.sid), func.sum(signals.c.revision))
        with reading(self._engine) as connection:
            row = connection.execute(seen.where(signals.c.retired_at.is_(None))).one()
        return tuple(int(number or 0) for number in row)

    def missing(self, sids: Collection[int]) -> set[int]:
        """Return which of these numbers were never given to a signal."""
        found: set[int] = set()
        with reading(self._engine) as connection:
            for some in _chunks(sorted(sids)):
                query = select(signals.c.sid).where(signals.c.sid.in_(some))
                found.update(connection.execute(query).scalars())
        return set(sids) - found


def _write(connection: Connection, changes: Sequence[tuple[Listed, Listed]]) -> None:
    """Write edits of signals that are still as they were; signals may exchange their paths."""
    moved = [{"b_sid": after.signal.sid, "b_path": f"~{after.signal.sid}"}
             for before, after in changes if before.signal.path != after.signal.path]  # fmt: skip
    one = signals.c.sid == bindparam("b_sid")
    try:
        if moved:
            connection.execute(update(signals).where(one).values(path=bindparam("b_path")), moved)
        names = [column.name for column in signals.c if column.name not in {"sid", "retired_at"}]
        as_seen = (one, signals.c.revision == bindparam("b_seen"), signals.c.retired_at.is_(None))
        write = update(signals).where(*as_seen).values({n: bindparam(f"b_{n}") for n in names})
        for start in range(0, len(changes), _CHUNK):
            rows = [
                {"b_sid": after.signal.sid, "b_seen": before.revision,
                 **{f"b_{name}": value for name, value in _row(after).items()}}
                for before, after in changes[start : start + _CHUNK]
            ]  # fmt: skip
            if connection.execute(write, rows).rowcount != len(rows):
                raise Refused("signals were changed meanwhile", hint="Look at the differences "
                              "again, then confirm", code="signal.stale", status=409)  # fmt: skip
    except IntegrityError as error:
        raise Refused("another signal has this path already", hint="Choose a free path",
                      code="signal.path", status=409) from error  # fmt: skip


def _query(prefix: str, source: str) -> Select[Any]:
    query = select(signals).order_by(signals.c.path)
    if source:
        query = query.where(signals.c.source == source)
    if prefix:
        level = prefix.rstrip("/") + "/"
        below = signals.c.path.startswith(level, autoescape=True)
        query = query.where(below | (signals.c.path == prefix))
    return query


def _known(connection: Connection, paths: Sequence[str]) -> _Known:
    known = _Known()
    for some in _chunks(paths):
        named = or_(signals.c.path.in_(some), signals.c.declared_path.in_(some))
        query = select(signals).where(named, signals.c.retired_at.is_(None))
        for row in connection.execute(query).mappings():
            known.add(_listed(row))
    return known


def _free_path(connection: Connection, path: str) -> str:
    """Return a path near this one that no signal has."""
    stem, number = path[:-3] if len(path.rsplit("/", 1)[1]) > 60 else path, 2
    while True:
        taken = select(signals.c.sid).where(signals.c.path == f"{stem}-{number}")
        if connection.execute(taken).first() is None:
            return f"{stem}-{number}"
        number += 1


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def _row(listed: Listed) -> Mapping[str, Any]:
    content = asdict(listed.signal)
    del content["sid"]
    return {
        **content, "kind": listed.signal.kind.value, "revision": listed.revision,
        "declared": json.dumps(dict(listed.declared)), "declared_path": listed.declared.get("path"),
    }  # fmt: skip


def _listed(row: RowMapping) -> Listed:
    content = dict(row)
    retired, revision = content.pop("retired_at"), content.pop("revision")
    declared = json.loads(content.pop("declared"))
    del content["declared_path"]
    content["kind"] = Kind(content["kind"])
    signal = Signal(**content)
    return Listed(signal, unit_note(signal.unit), retired, revision, declared)
