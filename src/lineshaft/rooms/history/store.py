"""The catalogue: which files there are, up to where the stream is in them, and the Facts.

Rules: files and position change in one transaction; a commit holds only if the lease and the
position are still those that the writer read, so a writer that was paused and replaced is refused.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)  # fmt: skip

from lineshaft.core.errors import Broken
from lineshaft.core.facts import AUDIT_KINDS, Fact
from lineshaft.records import metadata, reading
from lineshaft.rooms.history.engine.retention import Rule
from lineshaft.rooms.history.model import Checkpoint, FileEntry, StreamRow

__all__ = ["Catalogue", "FactStore"]

_BigId = BigInteger().with_variant(Integer, "sqlite")

streams = Table(
    "streams", metadata,
    Column("name", String(128), primary_key=True),
    Column("token", String(64), nullable=False),
    Column("lease", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
)  # fmt: skip
checkpoints = Table(
    "checkpoints", metadata,
    Column("id", _BigId, primary_key=True, autoincrement=True),
    Column("stream", String(128), nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)  # fmt: skip
files = Table(
    "files", metadata,
    Column("id", _BigId, primary_key=True, autoincrement=True),
    Column("stream", String(128), nullable=False),
    Column("path", String(255), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("day", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sid_min", Integer, nullable=False),
    Column("sid_max", Integer, nullable=False),
    Column("ts_min", BigInteger, nullable=False),
    Column("ts_max", BigInteger, nullable=False),
    Column("seq_min", BigInteger, nullable=False),
    Column("seq_max", BigInteger, nullable=False),
    Column("rollup_size", BigInteger, nullable=False, server_default="0"),
    Index("ix_files_stream_ts", "stream", "ts_min", "ts_max"),
    Index("ix_files_stream_day", "stream", "day"),
)  # fmt: skip
last_values = Table(
    "last_values", metadata,
    Column("stream", String(128), primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("rows", LargeBinary, nullable=False),
)  # fmt: skip
retention_rules = Table(
    "retention_rules", metadata,
    Column("prefix", String(800), primary_key=True),
    Column("raw_days", Integer),
    Column("rollup_days", Integer),
)  # fmt: skip
retired = Table(
    "retired", metadata,
    Column("stream", String(128), primary_key=True),
    Column("sid", Integer, primary_key=True, autoincrement=False),
    Column("before", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)  # fmt: skip
facts = Table(
    "facts", metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(64), nullable=False, index=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("json", LargeBinary, nullable=False),
    Index("ix_facts_kind_end", "kind", "end"),
)  # fmt: skip

_SOME = 500
_FILE_COLUMNS = [files.c[name] for name in FileEntry.__dataclass_fields__]


class Catalogue:
    """The catalogue of one stream."""

    def __init__(self, engine: Engine, stream: str) -> None:
        self._engine = engine
        self.stream = stream

    def row(self) -> StreamRow | None:
        """Return the stream's row, or None before the first writer."""
        with reading(self._engine) as connection:
            return _row(connection, self.stream)

    def take_lease(
        self, lease: str, clean: Callable[[Sequence[FileEntry]], object] = lambda _: None
    ) -> StreamRow:
        """Become the stream's only writer: whoever held the lease cannot commit any more.

        `clean` gets the named files while nobody else can name another: it may delete the rest.
        """
        with self._engine.begin() as connection:
            row = _row(connection, self.stream)
            if row is None:
                values = {"name": self.stream, "token": "", "lease": lease, "epoch": 0,
                          "position": 0, "message_id": "", "rows": 0}  # fmt: skip
                connection.execute(insert(streams).values(values))
            else:
                mine = streams.c.name == self.stream
                connection.execute(update(streams).where(mine).values(lease=lease))
            taken = _row(connection, self.stream)
            named = select(*_FILE_COLUMNS).where(files.c.stream == self.stream)
            clean([FileEntry(*entry) for entry in connection.execute(named)])
        if taken is None:
            raise Broken(f"the catalogue row of {self.stream} vanished", code="history.catalogue")
        return taken

    def open_epoch(self, lease: str, token: str, start: Checkpoint, at: int) -> None:
        """Begin a new epoch on the stream named by `token`, after `start.position` of it."""
        with self._engine.begin() as connection:
            mine = (streams.c.name == self.stream) & (streams.c.lease == lease)
            changed = connection.execute(
                update(streams).where(mine).values(token=token, **_position(start))
            )
            if changed.rowcount != 1:
                raise _lease_lost(self.stream)
            connection.execute(insert(checkpoints).values(_checkpoint(self.stream, start, at)))

    def commit(
        self, lease: str, before: Checkpoint, after: Checkpoint, added: Sequence[FileEntry],
        chunks: Mapping[int, bytes], at: int,
    ) -> None:  # fmt: skip
        """Add files and newest values and move the position, all or nothing.

        Raises Broken `history.lease_lost` where another writer has taken over.
        """
        with self._engine.begin() as connection:
            mine = (
                (streams.c.name == self.stream) & (streams.c.lease == lease)
                & (streams.c.epoch == before.epoch) & (streams.c.position == before.position)
            )  # fmt: skip
            rows = sum(file.rows for file in added)
            moved = update(streams).where(mine)
            moved = moved.values(**_position(after), rows=streams.c.rows + rows)
            if connection.execute(moved).rowcount != 1:
                raise _lease_lost(self.stream)
            if added:
                values = [{"stream": self.stream, **asdict(file)} for file in added]
                connection.execute(insert(files), values)
            for number, content in chunks.items():
                key = (last_values.c.stream == self.stream) & (last_values.c.chunk == number)
                connection.execute(delete(last_values).where(key))
                row = {"stream": self.stream, "chunk": number, "rows": content}
                connection.execute(insert(last_values).values(row))
            connection.execute(insert(checkpoints).values(_checkpoint(self.stream, after, at)))

    def replace(self, lease: str, old: str, new: Sequence[FileEntry]) -> None:
        """Put files in the place of one that is damaged."""
        with self._engine.begin() as connection:
            row = _row(connection, self.stream)
            if row is None or row.lease != lease:
                raise _lease_lost(self.stream)
            connection.execute(delete(files).where(files.c.path == old))
            if new:
                values = [{"stream": self.stream, **asdict(file)} for file in new]
                connection.execute(insert(files), values)

    def swap(
        self, lease: str, old: Sequence[str], new: Sequence[FileEntry],
        retired_before: Mapping[int, int] | None = None, at: int = 0,
    ) -> None:  # fmt: skip
        """Put files in the place of others, all or nothing. The rows stay the same, but for those
        of signals before the stamp in `retired_before`: they are written down as gone since `at`.

        Raises Broken `history.lease_lost` where another writer has taken over, `history.changed`
        where one of the old files is not named any more.
        """
        with self._engine.begin() as connection:
            row = _row(connection, self.stream)
            if row is None or row.lease != lease:
                raise _lease_lost(self.stream)
            gone = 0
            for first in range(0, len(old), _SOME):
                some = files.c.path.in_(old[first : first + _SOME]) & (files.c.kind != "damaged")
                gone += connection.execute(delete(files).where(some)).rowcount
            if gone != len(old):
                raise Broken(f"files of {self.stream} were replaced meanwhile",
                             code="history.changed")  # fmt: skip
            if new:
                values = [{"stream": self.stream, **asdict(file)} for file in new]
                connection.execute(insert(files), values)
            for sid, before in (retired_before or {}).items():
                key = (retired.c.stream == self.stream) & (retired.c.sid == sid)
                connection.execute(delete(retired).where(key))
                row_of = {"stream": self.stream, "sid": sid, "before": before, "at": at}
                connection.execute(insert(retired).values(row_of))

    def retired(self, sids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return those of these signals whose rows before a stamp are gone: (stamp, since when)."""
        wanted = select(retired.c.sid, retired.c.before, retired.c.at)
        wanted = wanted.where(retired.c.stream == self.stream)
        asked = set(sids)
        with reading(self._engine) as connection:
            return {sid: (before, at) for sid, before, at in connection.execute(wanted)
                    if sid in asked}  # fmt: skip

    def rules(self) -> list[Rule]:
        """Return how long the classes of signals stay, by prefix."""
        wanted = select(retention_rules).order_by(retention_rules.c.prefix)
        with reading(self._engine) as connection:
            return [Rule(*row) for row in connection.execute(wanted)]

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Replace all retention rules."""
        with self._engine.begin() as connection:
            connection.execute(delete(retention_rules))
            if rules:
                connection.execute(insert(retention_rules), [asdict(rule) for rule in rules])

    def mark(self, lease: str, path: str, kind: str) -> None:
        """Change a file's kind: `damaged` where it cannot be read, its own where it can again."""
        with self._engine.begin() as connection:
            row = _row(connection, self.stream)
            if row is None or row.lease != lease:
                raise _lease_lost(self.stream)
            connection.execute(update(files).where(files.c.path == path).values(kind=kind))

    def checkpoints(self, limit: int = 10_000) -> list[Checkpoint]:
        """Return the commits, newest first."""
        wanted = select(checkpoints.c.epoch, checkpoints.c.position, checkpoints.c.message_id)
        wanted = wanted.where(checkpoints.c.stream == self.stream)
        with reading(self._engine) as connection:
            found = connection.execute(wanted.order_by(checkpoints.c.id.desc()).limit(limit))
            return [Checkpoint(*row) for row in found]

    def position_at(self, at: int) -> Checkpoint | None:
        """Return the newest commit made at or before `at`, or None."""
        wanted = select(checkpoints.c.epoch, checkpoints.c.position, checkpoints.c.message_id)
        wanted = wanted.where((checkpoints.c.stream == self.stream) & (checkpoints.c.at <= at))
        with reading(self._engine) as connection:
            found = connection.execute(wanted.order_by(checkpoints.c.id.desc()).limit(1)).first()
            return None if found is None else Checkpoint(*found)

    def forget_checkpoints(self, epoch: int, before: int) -> None:
        """Drop the commits whose messages the stream has forgotten; keep the newest."""
        with self._engine.begin() as connection:
            old = (checkpoints.c.stream == self.stream) & (
                (checkpoints.c.epoch < epoch) | (checkpoints.c.position < before)
            )
            connection.execute(delete(checkpoints).where(old))

    def files(
        self, start: int | None = None, end: int | None = None
    ) -> tuple[StreamRow | None, list[FileEntry]]:
        """Return the stream's row and the files with rows in [start, end), of one moment."""
        wanted = select(*_FILE_COLUMNS).where(files.c.stream == self.stream)
        if start is not None:
            wanted = wanted.where(files.c.ts_max >= start)
        if end is not None:
            wanted = wanted.where(files.c.ts_min < end)
        with reading(self._engine) as connection:
            row = _row(connection, self.stream)
            found = connection.execute(wanted.order_by(files.c.ts_min, files.c.seq_min))
            return row, [FileEntry(*entry) for entry in found]

    def size(self) -> tuple[int, int, int]:
        """Return how many files are named, their bytes (roll-ups included), and how many commits
        there were."""
        size = func.coalesce(func.sum(files.c.size + files.c.rollup_size), 0)
        of_files = select(func.count(), size)
        of_commits = select(func.coalesce(func.max(checkpoints.c.id), 0))
        with reading(self._engine) as connection:
            count, used = connection.execute(of_files.where(files.c.stream == self.stream)).one()
            commits = connection.execute(of_commits.where(checkpoints.c.stream == self.stream))
            return count, used, commits.scalar_one()

    def last_chunks(self) -> tuple[StreamRow | None, dict[int, bytes]]:
        """Return the stream's row and its newest values by chunk, of one moment."""
        wanted = select(last_values.c.chunk, last_values.c.rows)
        wanted = wanted.where(last_values.c.stream == self.stream)
        with reading(self._engine) as connection:
            row = _row(connection, self.stream)
            return row, {number: content for number, content in connection.execute(wanted)}


class FactStore:
    """The Facts of a site, kept in the order of their stream."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep(
        self, catalogue: Catalogue, lease: str, before: Checkpoint,
        numbered: Sequence[tuple[int, Fact]], after: Checkpoint,
    ) -> None:  # fmt: skip
        """Keep Facts and move the position of their stream, all or nothing; a Fact that is known
        is left as it is."""
        with self._engine.begin() as connection:
            mine = (
                (streams.c.name == catalogue.stream) & (streams.c.lease == lease)
                & (streams.c.epoch == before.epoch) & (streams.c.position == before.position)
            )  # fmt: skip
            moved = connection.execute(update(streams).where(mine).values(**_position(after)))
            if moved.rowcount != 1:
                raise _lease_lost(catalogue.stream)
            for seq, fact in numbered:
                known = connection.execute(select(facts.c.seq).where(facts.c.id == fact.id))
                if known.first() is None:
                    connection.execute(insert(facts).values(_fact_values(seq, fact)))

    def find(
        self, *, kinds: Iterable[str] = (), subject: str = "", start: int | None = None,
        end: int | None = None, limit: int = 200,
    ) -> list[Fact]:  # fmt: skip
        """Return the newest Facts of these kinds (all but the audit where none is named) that touch
        the time [start, end): a Fact with `from` and `to` lasts, any other is a moment."""
        wanted = select(facts.c.json)
        names = list(kinds)
        if names:
            wanted = wanted.where(facts.c.kind.in_(names))
        else:
            wanted = wanted.where(facts.c.kind.not_in(AUDIT_KINDS))
        if subject:
            wanted = wanted.where(facts.c.subject == subject)
        if start is not None:
            wanted = wanted.where(facts.c.end >= start)
        if end is not None:
            wanted = wanted.where(facts.c.start < end)
        wanted = wanted.order_by(facts.c.at.desc(), facts.c.seq.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [Fact.from_json(content) for (content,) in connection.execute(wanted)]


def _row(connection: Connection, stream: str) -> StreamRow | None:
    found = connection.execute(select(streams).where(streams.c.name == stream)).first()
    if found is None:
        return None
    last = Checkpoint(found.epoch, found.position, found.message_id)
    return StreamRow(found.name, found.token, found.lease, last, found.rows)


def _position(point: Checkpoint) -> dict[str, Any]:
    return {"epoch": point.epoch, "position": point.position, "message_id": point.message_id}


def _checkpoint(stream: str, point: Checkpoint, at: int) -> dict[str, Any]:
    return {"stream": stream, **_position(point), "at": at}


def _fact_values(seq: int, fact: Fact) -> dict[str, Any]:
    start, end = fact.body.get("from", fact.at), fact.body.get("to", fact.at)
    lasting = isinstance(start, int) and isinstance(end, int) and end >= start
    return {
        "seq": seq, "id": fact.id, "kind": fact.kind, "at": fact.at, "subject": fact.subject,
        "start": start if lasting else fact.at, "end": end if lasting else fact.at,
        "json": fact.to_json(),
    }  # fmt: skip


def _lease_lost(stream: str) -> Broken:
    return Broken(
        f"another writer has taken over {stream}",
        hint="Only one writer may run on a data folder; this one stops",
        code="history.lease_lost",
        retryable=False,
    )
