"""Records: the rows that people edit and the catalogue of what is kept, in SQL.

SQLite by default, PostgreSQL by URL. Each room defines its own tables in its `store.py` on the one
`metadata` here; `migrate` brings any earlier database to them.
Invariant: a transaction that returned is on disk (WAL with `synchronous=FULL`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineshaft.records.database import Engine, metadata, open_records, reading

__all__ = ["Engine", "metadata", "open_records", "reading"]


def __getattr__(name: str) -> Any:
    """Load SQLAlchemy when it is first asked for: the supervisor only looks at the version."""
    if name in __all__:
        return getattr(import_module("lineshaft.records.database"), name)
    raise AttributeError(name)
