"""What the stores of simple tables share: rows that are listed, got, added, changed and removed.

Each call is one transaction and blocks; services run it in a thread.
"""

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from lineshaft.core.errors import Refused
from lineshaft.records.database import reading

__all__ = ["AsJson", "Kept"]

T = TypeVar("T")


class AsJson(sa.TypeDecorator[Any]):
    """Plain values, kept as JSON in a column of text; of `length` characters where one is given."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return the column's own type."""
        length = getattr(self.impl, "length", None)
        return dialect.type_descriptor(sa.String(length) if length else sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        """Write it."""
        return json.dumps(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Read it."""
        return json.loads(value)


class Kept(Generic[T]):
    """The rows of a table with the key `id`, each as what `make` returns for its columns.

    `query` is what is read (the table by default, newest first); `what` and `listed` stand in the
    refusal of a number that is not there.
    """

    table: sa.Table
    make: Callable[..., T]
    what: str
    listed: str

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def query(self) -> sa.Select[Any]:
        """Return what is read, in the order of the list."""
        return sa.select(self.table).order_by(self.table.c.id.desc())

    def list(self) -> list[T]:
        """Return all."""
        with reading(self._engine) as connection:
            return [self.make(**row) for row in connection.execute(self.query()).mappings()]

    def get(self, number: Any) -> T:
        """Return one; raise Refused (404) where there is none."""
        with reading(self._engine) as connection:
            one = self.query().where(self.table.c.id == number)
            row = connection.execute(one).mappings().first()
        if row is None:
            raise Refused(f"there is no {self.what} {number}", code=f"{self.what}.unknown",
                          hint=f"List them with GET /{self.listed}", status=404)  # fmt: skip
        return self.make(**row)

    def insert(self, **values: Any) -> Any:
        """Add one; return its id."""
        with self._engine.begin() as connection:
            done = connection.execute(sa.insert(self.table).values(values))
            return (done.inserted_primary_key or [None])[0]

    def change(self, number: Any, *where: sa.ColumnElement[bool], **values: Any) -> bool:
        """Change one that is there and so; return whether it was."""
        mine = sa.update(self.table).where(self.table.c.id == number, *where).values(values)
        with self._engine.begin() as connection:
            return bool(connection.execute(mine).rowcount == 1)

    def remove(self, number: Any) -> None:
        """Forget one."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(self.table).where(self.table.c.id == number))
