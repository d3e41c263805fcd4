"""Upgrade: a database of an earlier version becomes a present one, rehearsed on a copy first.

Rules: the real database is touched only after a copy of it went through all steps and kept every
row of every table (sign-ins apart). The state before stays beside it as
`records.before-NNNN.sqlite` until the next start. What fails leaves the real database byte for byte
as it was.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from lineshaft.core.errors import Broken
from lineshaft.keep.cut import copy_database, row_counts
from lineshaft.records.migrate import HEAD, known_version, migrate, version_of

__all__ = ["upgrade"]

_REHEARSAL: Final = "records.rehearsal.sqlite"
#: Rows that an upgrade may end: people then sign in again.
_PASSING: Final = frozenset({"sessions"})


def upgrade(file: Path) -> Path | None:
    """Bring the database to the present version; return where the state before lies, if any was.

    Raises Refused where it is of a later version, Broken where the rehearsal fails.
    """
    version = known_version(file)
    if not version:
        migrate(file)
        return None
    before, copy = file.with_name(f"records.before-{version}.sqlite"), file.with_name(_REHEARSAL)
    try:
        copy_database(file, before)
        copy_database(before, copy)
        _step(copy, version)
    except LookupError as error:
        before.unlink(missing_ok=True)
        raise Broken(f"the upgrade from {version} to {HEAD} fails on a copy:"
                     f" {error}", hint="Nothing was changed. Start the version before and report"
                     " this", code="records.rehearsal", retryable=False) from error  # fmt: skip
    finally:
        for name in ("", "-wal", "-shm", "-journal"):
            copy.with_name(copy.name + name).unlink(missing_ok=True)
    try:
        _step(file, version)
    except LookupError as error:
        raise Broken(f"the upgrade from {version} to {HEAD} fails: {error}",
                     hint=f"The state before lies in {before}", code="records.upgrade",
                     retryable=False) from error  # fmt: skip
    return before


def _step(file: Path, version: str) -> None:
    """Migrate a database; raise LookupError with the reason where that fails or loses a row."""
    counts = _counts(file)
    try:
        migrate(file)
    except (SQLAlchemyError, sqlite3.Error, ValueError, KeyError, TypeError) as error:
        text = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise LookupError(f"{type(error).__name__}: {text[:300]}") from error
    if version_of(file) != HEAD:
        raise LookupError(f"it ends at version {version_of(file)}")
    lost = _lost(counts, _counts(file))
    if lost:
        raise LookupError(lost)
    with closing(sqlite3.connect(file)) as connection:
        check = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        strays = connection.execute("PRAGMA foreign_key_check").fetchall()
    if check != "ok" or strays:
        raise LookupError(f"the database is unsound afterwards: {check}, {strays[:1]}")


def _lost(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    for table, rows in before.items():
        if after.get(table, -1) != rows and table not in _PASSING:
            now = f"{after[table]} afterwards" if table in after else "is gone afterwards"
            return f"the table {table} with {rows} rows has {now}"
    return ""


def _counts(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        return row_counts(connection)
