"""The tables of the room: sources, which of their nodes feed which signal, and the gap ledger.

Rules: no password is ever in a table (`Secrets` keeps each in a file of mode 0600); calls block, so
services run them in threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Column, Integer, String, Table, Text, delete, func, insert, select
from sqlalchemy.types import BigInteger

from lineshaft.core.errors import Refused
from lineshaft.private import write_private
from lineshaft.records import Engine, metadata, reading
from lineshaft.rooms.connect.engine import Gap
from lineshaft.rooms.connect.model import Node, Source, check_source_id

__all__ = ["Secrets", "SourceStore", "source_gaps", "source_nodes", "sources"]

sources = Table(
    "sources",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("prefix", String(300), nullable=False),
    Column("policy", String(40), nullable=False),
    Column("mode", String(40), nullable=False),
    Column("user", Text, nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("view", String(40), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("all_nodes", Boolean, nullable=False),
    Column("speed", String(300), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("writes", Boolean, nullable=False),
)
source_nodes = Table(
    "source_nodes",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("node_id", String(1000), primary_key=True),
    Column("sid", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
)
source_gaps = Table(
    "source_gaps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", String(64), nullable=False, index=True),
    Column("start", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("cause", String(16), nullable=False),
)
Item = tuple[str, int, str]


class SourceStore:
    """Sources in the records database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Source]:
        """Return all sources, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(sources).order_by(sources.c.name, sources.c.id))
            return [Source(**row) for row in rows.mappings()]

    def get(self, source_id: str) -> Source:
        """Return one source; raise Refused (404) where there is none."""
        check_source_id(source_id)
        with reading(self._engine) as connection:
            query = select(sources).where(sources.c.id == source_id)
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise Refused("there is no such source", code="source.unknown", status=404)
        return Source(**row)

    def save(self, source: Source) -> None:
        """Write a source, new or changed."""
        check_source_id(source.id)
        with self._engine.begin() as connection:
            connection.execute(delete(sources).where(sources.c.id == source.id))
            connection.execute(insert(sources).values(asdict(source)))

    def remove(self, source_id: str) -> None:
        """Forget a source; its signals, its history and its gaps stay."""
        with self._engine.begin() as connection:
            connection.execute(delete(source_nodes).where(source_nodes.c.source == source_id))
            connection.execute(delete(sources).where(sources.c.id == source_id))

    def items(self, source_id: str) -> list[Item]:
        """Return (node id, sid, kind) of what a source feeds, by sid."""
        query = select(source_nodes.c.node_id, source_nodes.c.sid, source_nodes.c.kind)
        query = query.where(source_nodes.c.source == source_id).order_by(source_nodes.c.sid)
        with reading(self._engine) as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def set_items(self, source_id: str, nodes: Sequence[Node], sids: Sequence[int]) -> None:
        """Set what a source feeds, instead of what it fed."""
        rows = [
            {"source": source_id, "node_id": node.node_id, "sid": sid, "kind": node.kind.value}
            for node, sid in zip(nodes, sids, strict=True)
        ]
        with self._engine.begin() as connection:
            connection.execute(delete(source_nodes).where(source_nodes.c.source == source_id))
            if rows:
                connection.execute(insert(source_nodes), rows)

    def counts(self) -> Mapping[str, int]:
        """Return how many signals each source feeds."""
        query = select(source_nodes.c.source, func.count()).group_by(source_nodes.c.source)
        with reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def add_gap(self, source_id: str, gap: Gap) -> None:
        """Enter a gap into the ledger."""
        row = {"source": source_id, "start": gap.start, "end": gap.end, "cause": gap.cause}
        with self._engine.begin() as connection:
            connection.execute(insert(source_gaps).values(row))

    def gaps_since(self, moment: int) -> Mapping[str, Mapping[str, Any]]:
        """Return by source how many gaps ended after a moment (µs) and their seconds after it."""
        query = select(source_gaps.c.source, source_gaps.c.start, source_gaps.c.end)
        found: dict[str, dict[str, Any]] = {}
        with reading(self._engine) as connection:
            for source, start, end in connection.execute(query.where(source_gaps.c.end > moment)):
                entry = found.setdefault(source, {"count": 0, "seconds": 0.0})
                entry["count"] += 1
                entry["seconds"] += (end - max(start, moment)) / 1e6
        return found


class Secrets:
    """Passwords of sources, each a file that only its owner may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "secrets"

    def put(self, source_id: str, password: str) -> None:
        """Keep a password; an empty one is kept as such."""
        write_private(self._folder / check_source_id(source_id), password)

    def get(self, source_id: str) -> str:
        """Return a password, empty where none was given."""
        try:
            return (self._folder / check_source_id(source_id)).read_text("utf-8")
        except FileNotFoundError:
            return ""

    def remove(self, source_id: str) -> None:
        """Forget a password."""
        (self._folder / check_source_id(source_id)).unlink(missing_ok=True)
