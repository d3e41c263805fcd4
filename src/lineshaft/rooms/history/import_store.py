"""The tables of imports and exports: what was asked, how far it is, how it ended.

Rule: how far an import is (`import_progress`) changes in one transaction, after the bus has the
samples up to there on disk; whoever reads on begins there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)  # fmt: skip

from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading

__all__ = ["ExportRow", "ExportStore", "ImportRow", "ImportStore"]

imports = Table(
    "imports", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(300), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("form", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("targets", Text, nullable=False),
    Column("skip_problems", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("finished", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip
import_progress = Table(
    "import_progress", metadata,
    Column("import_id", Integer, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True,
           autoincrement=False),
    Column("place", String(200), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)  # fmt: skip
exports = Table(
    "exports", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("state", String(16), nullable=False),
    Column("request", Text, nullable=False),
    Column("days_done", Integer, nullable=False),
    Column("days", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("finished", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip
_LISTED: Final = [c for c in imports.c if c.name != "targets"]


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


class ImportStore:
    """Imports in the records database. Calls block; services run them in threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, size: int, created: int) -> int:
        """Add an import that is being checked; return its id."""
        values = {
            "name": name, "size": size, "state": "checking", "form": "{}", "summary": "{}",
            "targets": "[]", "skip_problems": 0, "note": "", "created": created, "started": 0,
            "finished": 0,
        }  # fmt: skip
        with self._engine.begin() as connection:
            key = connection.execute(insert(imports).values(values)).inserted_primary_key
            assert key is not None
            connection.execute(insert(import_progress).values(_progress(key[0])))
            return int(key[0])

    def list(self) -> list[ImportRow]:
        """Return all imports, newest first."""
        query = select(*_LISTED, *import_progress.c).join(import_progress)
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(imports.c.id.desc())).mappings()
            return [_import_row(dict(row)) for row in found]

    def get(self, number: int) -> ImportRow:
        """Return one import; Refused where there is none."""
        query = select(*_LISTED, *import_progress.c).join(import_progress)
        with reading(self._engine) as connection:
            found = connection.execute(query.where(imports.c.id == number)).mappings().first()
        if found is None:
            raise Refused(f"there is no import {number}", code="import.unknown", status=404,
                          hint="List them with GET /imports")  # fmt: skip
        return _import_row(dict(found))

    def targets(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Return where the values of an import go, as its check or start has settled it."""
        query = select(imports.c.targets).where(imports.c.id == number)
        with reading(self._engine) as connection:
            found: list[Mapping[str, Any]] = json.loads(connection.execute(query).scalar() or "[]")
            return found

    def change(self, number: int, states: Sequence[str], **values: Any) -> bool:
        """Change an import that is in one of these states; return whether it was."""
        plain = {
            name: json.dumps(value) if name in {"form", "summary", "targets"} else value
            for name, value in values.items()
        }
        mine = (imports.c.id == number) & imports.c.state.in_(states)
        with self._engine.begin() as connection:
            changed = connection.execute(update(imports).where(mine).values(plain))
            return bool(changed.rowcount == 1)

    def progress(
        self, number: int, place: Sequence[int], rows: int, samples: int, seq: int
    ) -> None:
        """Set how far an import is: everything up to `place` is on disk."""
        mine = import_progress.c.import_id == number
        values = _progress(number, place, rows, samples, seq)
        with self._engine.begin() as connection:
            connection.execute(update(import_progress).where(mine).values(values))

    def remove(self, number: int) -> None:
        """Forget an import; what it brought stays."""
        with self._engine.begin() as connection:
            mine = import_progress.c.import_id == number
            connection.execute(delete(import_progress).where(mine))
            connection.execute(delete(imports).where(imports.c.id == number))


class ExportStore:
    """Exports in the records database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, request: Mapping[str, Any], created: int) -> int:
        """Add an export; return its id."""
        values = {"state": "running", "request": json.dumps(request), "days_done": 0, "days": 0,
                  "rows": 0, "note": "", "created": created, "finished": 0}  # fmt: skip
        with self._engine.begin() as connection:
            key = connection.execute(insert(exports).values(values)).inserted_primary_key
            assert key is not None
            return int(key[0])

    def list(self) -> list[ExportRow]:
        """Return all exports, newest first."""
        with reading(self._engine) as connection:
            found = connection.execute(select(exports).order_by(exports.c.id.desc())).mappings()
            return [ExportRow(**{**row, "request": json.loads(row["request"])}) for row in found]

    def get(self, number: int) -> ExportRow:
        """Return one export; Refused where there is none."""
        for row in self.list():
            if row.id == number:
                return row
        raise Refused(f"there is no export {number}", code="export.unknown", status=404,
                      hint="List them with GET /exports; they are kept for some days")  # fmt: skip

    def change(self, number: int, **values: Any) -> bool:
        """Change an export; return whether it is still there."""
        with self._engine.begin() as connection:
            mine = exports.c.id == number
            return bool(connection.execute(update(exports).where(mine).values(values)).rowcount)

    def remove(self, number: int) -> None:
        """Forget an export."""
        with self._engine.begin() as connection:
            connection.execute(delete(exports).where(exports.c.id == number))


def _progress(
    number: int, place: Sequence[int] = (0, 0, 0), rows: int = 0, samples: int = 0, seq: int = 0
) -> dict[str, Any]:
    return {"import_id": number, "place": json.dumps(list(place)), "rows": rows,
            "samples": samples, "seq": seq}  # fmt: skip


def _import_row(row: Mapping[str, Any]) -> ImportRow:
    content = {name: value for name, value in row.items() if name != "import_id"}
    for name in ("form", "summary", "place"):
        content[name] = json.loads(content[name])
    content["skip_problems"] = bool(content["skip_problems"])
    return ImportRow(**content)
