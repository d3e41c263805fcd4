"""Bringing a records database of any earlier version to the present one, step by numbered step.

Looking whether that is needed costs a glance; Alembic is loaded only when it is.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from lineshaft.core.errors import Refused

__all__ = ["HEAD", "known_version", "migrate", "version_of"]

_SCRIPTS: Final = Path(__file__).parent / "migrations"
HEAD: Final = max(file.name[:4] for file in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def version_of(file: Path) -> str:
    """Return the version of the SQLite database at `file`, '' where there is none yet."""
    if not file.exists():
        return ""
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return ""
    return str(found[0]) if found else ""


def known_version(file: Path) -> str:
    """Return the same; raise Refused where it is of a later version than this program."""
    version = version_of(file)
    if version > HEAD:
        raise Refused(f"the database is of version {version}, this program knows {HEAD}",
                      hint="Use the version that wrote it, or a later one",
                      code="records.later")  # fmt: skip
    return version


def migrate(where: Path | str) -> None:
    """Bring the database to the present version; each step holds whole or not at all."""
    from alembic import command
    from alembic.config import Config

    from lineshaft.records.database import metadata, open_records

    engine = open_records(where)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        config.attributes["metadata"] = metadata
        command.upgrade(config, "head")
    engine.dispose()
