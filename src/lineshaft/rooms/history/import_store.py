"""The tables of imports and exports: what was asked, how far it is, how it ended.

Rule: how far an import is (`import_progress`) changes in one transaction, after the bus has the
samples up to there on disk; whoever reads on begins there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, String, Table, Text

from lineshaft.records import metadata, reading
from lineshaft.records.kept import AsJson, Kept

__all__ = ["ExportRow", "ExportStore", "ImportRow", "ImportStore"]

imports = Table(
    "imports", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(300), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("form", AsJson, nullable=False),
    Column("summary", AsJson, nullable=False),
    Column("targets", AsJson, nullable=False),
    Column("skip_problems", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("finished", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip
import_progress = Table(
    "import_progress", metadata,
    Column("import_id", Integer, sa.ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True,
           autoincrement=False),
    Column("place", AsJson(200), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)  # fmt: skip
exports = Table(
    "exports", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("state", String(16), nullable=False),
    Column("request", AsJson, nullable=False),
    Column("days_done", Integer, nullable=False),
    Column("days", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("finished", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One import. `state`: checking, waiting, running, paused, done or failed; times µs UTC, 0
    where not yet; `place` is how far it is, `seq` the stream's number of its last block."""

    id: int
    name: str
    size: int
    state: str
    form: Mapping[str, Any]
    summary: Mapping[str, Any]
    skip_problems: bool
    note: str
    created: int
    started: int
    finished: int
    place: Sequence[int]
    rows: int
    samples: int
    seq: int


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One export. `state`: running, done or failed; `request` is what was asked."""

    id: int
    state: str
    request: Mapping[str, Any]
    days_done: int
    days: int
    rows: int
    note: str
    created: int
    finished: int


class ImportStore(Kept[ImportRow]):
    """Imports in the records database."""

    table, make, what, listed = imports, ImportRow, "import", "imports"

    def query(self) -> sa.Select[Any]:
        """Return imports with how far they are, without their targets, newest first."""
        shown = [c for c in imports.c if c.name != "targets"]
        far = [c for c in import_progress.c if c.name != "import_id"]
        return sa.select(*shown, *far).join(import_progress).order_by(imports.c.id.desc())

    def add(self, name: str, size: int, created: int) -> int:
        """Add an import that is being checked; return its id."""
        values = {
            "name": name, "size": size, "state": "checking", "form": {}, "summary": {},
            "targets": [], "skip_problems": False, "note": "", "created": created, "started": 0,
            "finished": 0,
        }  # fmt: skip
        with self._engine.begin() as connection:
            key = connection.execute(sa.insert(imports).values(values)).inserted_primary_key
            assert key is not None
            begun = {"import_id": key[0], "place": [0, 0, 0], "rows": 0, "samples": 0, "seq": 0}
            connection.execute(sa.insert(import_progress).values(begun))
            return int(key[0])

    def targets(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Return where the values of an import go, as its check or start has settled it."""
        query = sa.select(imports.c.targets).where(imports.c.id == number)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar() or []

    def turn(self, number: int, states: Sequence[str], **values: Any) -> bool:
        """Change an import that is in one of these states; return whether it was."""
        return self.change(number, imports.c.state.in_(states), **values)

    def progress(
        self, number: int, place: Sequence[int], rows: int, samples: int, seq: int
    ) -> None:
        """Set how far an import is: everything up to `place` is on disk."""
        far = sa.update(import_progress).where(import_progress.c.import_id == number)
        far = far.values(place=list(place), rows=rows, samples=samples, seq=seq)
        with self._engine.begin() as connection:
            connection.execute(far)


class ExportStore(Kept[ExportRow]):
    """Exports in the records database."""

    table, make, what, listed = exports, ExportRow, "export", "exports"

    def add(self, request: Mapping[str, Any], created: int) -> int:
        """Add an export; return its id."""
        return int(self.insert(state="running", request=request, days_done=0, days=0, rows=0,
                               note="", created=created, finished=0))  # fmt: skip
