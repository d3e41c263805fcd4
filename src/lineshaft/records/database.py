"""Opening the records database, with the guarantees that the rest of the house counts on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event

__all__ = ["Engine", "metadata", "open_records", "reading"]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def open_records(where: Path | str) -> Engine:
    """Open the database at a file path or a SQLAlchemy URL; several processes may do so at once.

    SQLite transactions begin IMMEDIATE when they write (`engine.begin()`), so that two writers
    queue instead of failing half-way, and wait for each other up to 30 s.
    """
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver's own transaction handling would begin too late for an exact read-then-write.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a read transaction: one consistent moment of the database, blocking nobody."""
    with engine.connect().execution_options(reading=True) as connection, connection.begin():
        yield connection
