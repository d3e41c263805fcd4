"""The table of twins: one row each, its body as JSON beside what is searched."""

from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    RowMapping,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading
from lineshaft.rooms.twins.model import LEARNED, Twin

__all__ = ["TwinStore"]

twins = Table(
    "twins", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("machine", String(800), nullable=False),
    Column("behaviour", String(200), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("model", LargeBinary, nullable=False),
    Column("healthy", LargeBinary, nullable=False),
    Column("monitor", LargeBinary, nullable=False),
    UniqueConstraint("machine", "name", name="uq_twins_machine"),
)  # fmt: skip


class TwinStore:
    """The twins in the records database. Calls block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Twin]:
        """Return all, by machine and name."""
        with reading(self._engine) as connection:
            found = connection.execute(select(twins).order_by(twins.c.machine, twins.c.name))
            return [_made(row) for row in found.mappings()]

    def get(self, number: str) -> Twin:
        """Return one; raise Refused (404) where there is none."""
        with reading(self._engine) as connection:
            row = connection.execute(select(twins).where(twins.c.id == number)).mappings().first()
        if row is None:
            raise Refused("there is no such twin", hint="See GET /twins", code="twin.unknown",
                          status=404)  # fmt: skip
        return _made(row)

    def add(self, new: list[Twin]) -> None:
        """Keep new ones, all or none; raise Refused where a machine has one of that name."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(twins), [_row(twin) for twin in new])
        except IntegrityError as error:
            raise _taken(new[0]) from error

    def change(self, new: Twin, before: int) -> None:
        """Put a new revision in the place of revision `before`; raise Refused where that is not
        the present one."""
        mine = (twins.c.id == new.id) & (twins.c.revision == before)
        try:
            with self._engine.begin() as connection:
                done = connection.execute(update(twins).where(mine).values(_row(new)))
        except IntegrityError as error:
            raise _taken(new) from error
        if done.rowcount != 1:
            raise Refused(f"the twin '{new.name}' was changed by somebody else meanwhile",
                          hint="Look at it again, then change it", code="twin.revision",
                          status=409)  # fmt: skip

    def remove(self, number: str) -> None:
        """Forget one; its signals and their samples stay."""
        with self._engine.begin() as connection:
            connection.execute(delete(twins).where(twins.c.id == number))


def _taken(twin: Twin) -> Refused:
    return Refused(f"'{twin.machine}' has a twin called '{twin.name}' already",
                   hint="Take another name", code="twin.name", status=409)  # fmt: skip


def _row(twin: Twin) -> dict[str, Any]:
    return {
        "id": twin.id, "name": twin.name, "machine": twin.machine, "behaviour": twin.behaviour,
        "revision": twin.revision, "body": twin.to_json(), **twin.learned(),
    }  # fmt: skip


def _made(row: RowMapping) -> Twin:
    learned = {name: row[name] for name in LEARNED}
    return Twin.from_json(row["body"], id=row["id"], revision=row["revision"], learned=learned)
