"""Bringing a records database of any earlier version to the present one, step by numbered step.

Looking whether that is needed costs a glance; Alembic is loaded only when it is.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

__all__ = ["HEAD", "is_current", "migrate"]

_SCRIPTS: Final = Path(__file__).parent / "migrations"
HEAD: Final = max(file.name[:4] for file in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def is_current(file: Path) -> bool:
    """Return whether the SQLite database at `file` has the present tables."""
    if not file.exists():
        return False
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
                (HEAD,)
            ]
        except sqlite3.OperationalError:
            return False


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
