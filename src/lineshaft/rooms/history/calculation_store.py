"""The table of calculated signals, as people defined them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String, Table, Text

from lineshaft.core.errors import Refused
from lineshaft.records import metadata
from lineshaft.records.kept import Kept

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


class CalculationStore(Kept[Calculation]):
    """The calculations in the records database."""

    table, make, what, listed = calculations, Calculation, "calculation", "calculations"

    def query(self) -> sa.Select[Any]:
        """Return all, by path."""
        return sa.select(calculations).order_by(calculations.c.path)

    def add(self, new: Calculation) -> None:
        """Keep a new one; its path is free."""
        self.insert(**asdict(new))

    def revise(self, new: Calculation, before: int) -> None:
        """Put a new revision in the place of revision `before`; raise Refused where that is not
        the present one."""
        if not self.change(new.id, calculations.c.revision == before, **asdict(new)):
            raise Refused(f"'{new.path}' was changed by somebody else meanwhile",
                          hint="Look at it again, then change it",
                          code="calculation.revision", status=409)  # fmt: skip
