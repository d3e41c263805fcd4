"""The table of calculated signals, as people defined them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Engine,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading

__all__ = ["Calculation", "CalculationStore"]

calculations = Table(
    "calculations", metadata,
    Column("id", String(32), primary_key=True),
    Column("path", String(800), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("expression", Text, nullable=False),
    Column("unit", String(64), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("sid", Integer, nullable=False),
    Column("meant", JSON, nullable=False, server_default="{}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Calculation:
    """A calculated signal: `sid` is that of its output, `since` (µs) from when on this revision is
    evaluated by itself; what lies before is computed on request. `meant` gives the sid that each
    path in the expression had, so that renaming a signal changes no calculation."""

    id: str
    path: str
    name: str
    expression: str
    unit: str
    enabled: bool
    revision: int
    since: int
    sid: int
    meant: Mapping[str, int]


class CalculationStore:
    """The calculations in the records database. Calls block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> list[Calculation]:
        """Return all, by path."""
        with reading(self._engine) as connection:
            found = connection.execute(select(calculations).order_by(calculations.c.path))
            return [Calculation(**row) for row in found.mappings()]

    def add(self, new: Calculation) -> None:
        """Keep a new one; raise Refused where its path is taken."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(calculations).values(asdict(new)))
        except IntegrityError as error:
            raise Refused(
                f"'{new.path}' is calculated already",
                hint="Change that one, or take another path",
                code="calculation.path",
                status=409,
            ) from error

    def change(self, new: Calculation, before: int) -> None:
        """Put a new revision in the place of revision `before`; raise Refused where that is not
        the present one."""
        mine = (calculations.c.id == new.id) & (calculations.c.revision == before)
        with self._engine.begin() as connection:
            done = connection.execute(update(calculations).where(mine).values(asdict(new)))
        if done.rowcount != 1:
            raise Refused(f"'{new.path}' was changed by somebody else meanwhile",
                          hint="Look at it again, then change it",
                          code="calculation.revision", status=409)  # fmt: skip

    def remove(self, number: str) -> None:
        """Forget one; its signal and samples stay."""
        with self._engine.begin() as connection:
            connection.execute(delete(calculations).where(calculations.c.id == number))
