"""The cut: one moment of the database, and a hold on every file that it names.

Rules: the database is copied by SQLite's own backup, so the copy is one moment of it whoever
writes; the files that this very copy names are then linked into `run/hold-…` of the data folder. A
link costs no space and outlives whatever compaction or retention does to the name, so copying may
take its time. A file that went between copy and link: the cut is taken again.
"""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, create_engine

from lineshaft.core.errors import Broken
from lineshaft.ledger.store import LedgerStore
from lineshaft.records.migrate import HEAD, known_version, migrate
from lineshaft.rooms.history.files import rollup_path
from lineshaft.rooms.history.model import Checkpoint, FileEntry, StreamRow
from lineshaft.rooms.history.store import Catalogue

__all__ = [
    "Cut", "check_file", "copy_database", "hold_files", "parts_of", "read_cut", "row_counts",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """What one copy of the database says: its version, rows a table, streams and their files, and
    how far the ledger has read its stream (None before it began)."""

    records: str
    tables: dict[str, int]
    streams: tuple[StreamRow, ...]
    files: tuple[FileEntry, ...]
    ledger: StreamRow | None = None

    def stream(self, name: str) -> StreamRow | None:
        """Return what it knows of a stream."""
        return next((row for row in self.streams if row.name == name), None)

    def read_by_all(self, name: str) -> StreamRow | None:
        """Return how far the stream of Facts was read by its keeper and by that of the ledger: the
        row of the one that is behind, None where one has read nothing of it."""
        row, ledger = self.stream(name), self.ledger
        if row is None or ledger is None or ledger.token != row.token:
            return None
        return min(row, ledger, key=lambda one: one.last.position)


def copy_database(source: Path, copy: Path) -> None:
    """Copy one moment of a SQLite database into a new file, synced, and check it."""
    copy.unlink(missing_ok=True)
    try:
        with closing(_open(source)) as live, closing(sqlite3.connect(copy)) as made:
            live.backup(made)
            made.execute("PRAGMA journal_mode=DELETE")
            check = made.execute("PRAGMA integrity_check(5)").fetchall()
    except sqlite3.Error as error:
        raise Broken(f"the database {source} cannot be copied: {error}", code="backup.database",
                     hint="`lineshaft doctor` says more") from error  # fmt: skip
    if check != [("ok",)]:
        raise Broken(f"the database {source} is damaged: {check[0][0]}", code="backup.database",
                     hint="Restore the last good backup", retryable=False)  # fmt: skip
    copy.chmod(0o600)
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def read_cut(copy: Path) -> Cut:
    """Read a database that nobody writes; one of an earlier version is understood as well.

    Raises Refused where it is of a later version than this program.
    """
    version = known_version(copy)
    with closing(_open(copy, immutable=True)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM streams ORDER BY name")]
        tables = row_counts(connection)
    if version == HEAD:
        return _catalogued(copy, version, tables, names)
    with tempfile.TemporaryDirectory() as scratch:
        present = Path(scratch) / "records.sqlite"
        shutil.copyfile(copy, present)
        migrate(present)
        return _catalogued(present, version, tables, names)


def _catalogued(copy: Path, version: str, tables: dict[str, int], names: list[str]) -> Cut:
    rows: list[StreamRow] = []
    files: list[FileEntry] = []
    ledger: StreamRow | None = None
    engine = _engine(copy)
    for name in names:
        row, named = Catalogue(engine, name).files()
        ledger = _ledger(engine, name) or ledger
        rows += [row] if row else []
        files += named
    engine.dispose()
    return Cut(version, tables, tuple(rows), tuple(files), ledger)


def _ledger(engine: Engine, stream: str) -> StreamRow | None:
    state = LedgerStore(engine, stream).state()
    if state is None:
        return None
    point = state.point
    last = Checkpoint(point.epoch, point.position, point.message_id)
    return StreamRow(stream, point.token, state.lease, last, state.size)


def row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    wanted = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'"
    names = sorted(name for (name,) in connection.execute(wanted))
    quoted = {name: name.replace('"', '""') for name in names}
    return {
        name: connection.execute(f'SELECT count(*) FROM "{quoted[name]}"').fetchone()[0]
        for name in names
    }


def parts_of(entry: FileEntry) -> list[str]:
    """Return the files that must be there for an entry: its rows, its roll-ups, or both."""
    if entry.kind == "damaged":
        return []
    rows = [] if entry.kind == "rolled" else [entry.path]
    return [*rows, rollup_path(entry.path)] if entry.rollup_size else rows


def hold_files(history: Path, hold: Path, files: tuple[FileEntry, ...]) -> str:
    """Link all parts of these files into `hold`; return the first that is not there, or ''."""
    wanted = {path for entry in files for path in parts_of(entry)}
    spare = {entry.path for entry in files if entry.kind == "damaged"}
    for path in sorted(wanted | spare):
        place = hold / path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.unlink(missing_ok=True)  # from the cut before
        try:
            _link(history / path, place)
        except FileNotFoundError:
            if path in wanted:
                return path
    return ""


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        half = place.with_name(f".{place.name}.half")
        with suppress(FileNotFoundError):
            half.unlink()
        shutil.copyfile(source, half)
        half.rename(place)


def check_file(folder: Path, entry: FileEntry) -> str:
    """Return what is wrong with the parts of a file that the catalogue names, or ''."""
    path, parts = folder / entry.path, parts_of(entry)
    try:
        if entry.path in parts:
            if (path.stat().st_size, pq.read_metadata(path).num_rows) != (entry.size, entry.rows):
                return "its size or count of rows is another"
            parts.remove(entry.path)
        if any((folder / beside).stat().st_size != entry.rollup_size for beside in parts):
            return "its roll-ups have another size"
    except FileNotFoundError:
        return "it is missing"
    except (OSError, pa.ArrowException) as error:
        return f"it cannot be read: {str(error).splitlines()[0][:200]}"
    return ""


def _open(file: Path, *, immutable: bool = False) -> sqlite3.Connection:
    mode = "immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(f"file:{quote(str(file))}?{mode}", uri=True, timeout=30)


def _engine(file: Path) -> Engine:
    return create_engine("sqlite://", creator=lambda: _open(file, immutable=True))
