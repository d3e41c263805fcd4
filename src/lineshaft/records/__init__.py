"""Records: the rows that people edit and the catalogue of what is kept, in SQL.

SQLite by default, PostgreSQL by URL. Each room defines its own tables in its `store.py` on the one
`metadata` here; `migrate` brings any earlier database to them.
Invariant: a transaction that returned is on disk (WAL with `synchronous=FULL`).
"""

from lineshaft.records.database import Engine, metadata, open_records, reading

__all__ = ["Engine", "metadata", "open_records", "reading"]
