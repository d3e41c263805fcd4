"""The tables of schedules: one row a plan, and the versions that held."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading
from lineshaft.rooms.decide.schedule.kept import (
    schedule_from,
    schedule_json,
    shop_from,
    shop_json,
)
from lineshaft.rooms.decide.schedule.model import Schedule, Shop

__all__ = ["DEMO", "Clock", "Planned", "ScheduleStore", "Version"]

DEMO: Final = "demo"
_KEPT: Final = 50  # versions of a plan

schedules = Table(
    "schedules", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("clock", Text, nullable=False),
    Column("shop", Text, nullable=False),
    Column("adopted", Text, nullable=False),
    Column("proposal_shop", Text, nullable=False),
    Column("proposal", Text, nullable=False),
)  # fmt: skip
versions = Table(
    "schedule_versions", metadata,
    Column("number", Integer, primary_key=True),
    Column("schedule", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("why", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_schedule_versions_schedule", "schedule", "number"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clock:
    """How a shop's time runs: it was `shop` (µs) when the wall said `wall`, and runs at `speed`."""

    wall: int = 0
    shop: int = 0
    speed: float = 1.0

    def at(self, wall: int) -> int:
        """Return the shop's time at a moment of the wall's, a whole second."""
        now = self.shop + (wall - self.wall) * self.speed
        return int(now) // 1_000_000 * 1_000_000


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan: its shop, the schedule that holds there (None: none yet), and what is proposed
    instead, with the shop as that sees it."""

    id: str
    name: str
    shop: Shop
    kind: str = ""
    revision: int = 1
    clock: Clock = Clock()
    adopted: Schedule | None = None
    proposal_shop: Shop | None = None
    proposal: Schedule | None = None

    def with_proposal(self, shop: Shop, schedule: Schedule) -> Self:
        """Return it with something proposed."""
        return replace(self, proposal_shop=shop, proposal=schedule)

    def with_adopted(self, shop: Shop, schedule: Schedule) -> Self:
        """Return it with another schedule that holds, and nothing proposed."""
        return replace(self, shop=shop, adopted=schedule, proposal_shop=None, proposal=None)


@dataclass(frozen=True, slots=True)
class Version:
    """A schedule that held from `at` (µs) on, and why it came to."""

    number: int
    at: int
    why: str
    schedule: Schedule


class ScheduleStore:
    """The plans in the records database. Calls block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Planned]:
        """Return all plans by name."""
        with reading(self._engine) as connection:
            found = connection.execute(select(schedules).order_by(schedules.c.name))
            return [_made(row) for row in found.mappings()]

    def get(self, number: str) -> Planned:
        """Return one; raise Refused (404) where there is none."""
        mine = select(schedules).where(schedules.c.id == number)
        with reading(self._engine) as connection:
            row = connection.execute(mine).mappings().first()
        if row is None:
            raise Refused("there is no such schedule", hint="See GET /schedules",
                          code="schedule.unknown", status=404)  # fmt: skip
        return _made(row)

    def add(self, new: Planned) -> None:
        """Keep a new plan."""
        with self._engine.begin() as connection:
            connection.execute(insert(schedules).values(_row(new)))

    def change(self, new: Planned, why: str = "", at: int = 0) -> Planned:
        """Put a plan in the place of the revision it was made from and return it with its new one;
        with a reason, what it adopted becomes a version. Refused where it was changed meanwhile."""
        after = replace(new, revision=new.revision + 1)
        mine = (schedules.c.id == new.id) & (schedules.c.revision == new.revision)
        with self._engine.begin() as connection:
            if connection.execute(update(schedules).where(mine).values(_row(after))).rowcount != 1:
                raise Refused(f"the schedule '{new.name}' was changed meanwhile",
                              hint="Look at it again", code="schedule.revision",
                              status=409)  # fmt: skip
            if why and new.adopted is not None:
                _keep_version(connection, new.id, new.adopted, why, at)
        return after

    def remove(self, number: str) -> None:
        """Forget a plan and its versions."""
        with self._engine.begin() as connection:
            connection.execute(delete(versions).where(versions.c.schedule == number))
            connection.execute(delete(schedules).where(schedules.c.id == number))

    def versions(self, number: str) -> list[Version]:
        """Return the versions of a plan, the newest first."""
        mine = select(versions).where(versions.c.schedule == number)
        with reading(self._engine) as connection:
            rows = connection.execute(mine.order_by(versions.c.number.desc())).mappings().all()
        return [Version(row["number"], row["at"], row["why"], schedule_from(row["body"]))
                for row in rows]  # fmt: skip


def _keep_version(
    connection: Connection, number: str, schedule: Schedule, why: str, at: int
) -> None:
    body = {"schedule": number, "at": at, "why": why, "body": schedule_json(schedule)}
    connection.execute(insert(versions).values(body))
    newest = select(versions.c.number).where(versions.c.schedule == number)
    kept = newest.order_by(versions.c.number.desc()).limit(_KEPT).scalar_subquery()
    old = (versions.c.schedule == number) & versions.c.number.not_in(kept)
    connection.execute(delete(versions).where(old))


def _row(plan: Planned) -> dict[str, object]:
    return {
        "id": plan.id, "name": plan.name, "kind": plan.kind, "revision": plan.revision,
        "clock": json.dumps(asdict(plan.clock)), "shop": shop_json(plan.shop),
        "adopted": schedule_json(plan.adopted) if plan.adopted else "",
        "proposal_shop": shop_json(plan.proposal_shop) if plan.proposal_shop else "",
        "proposal": schedule_json(plan.proposal) if plan.proposal else "",
    }  # fmt: skip


def _made(row: RowMapping) -> Planned:
    return Planned(
        id=row["id"], name=row["name"], kind=row["kind"], revision=row["revision"],
        clock=Clock(**json.loads(row["clock"])), shop=shop_from(row["shop"]),
        adopted=schedule_from(row["adopted"]) if row["adopted"] else None,
        proposal_shop=shop_from(row["proposal_shop"]) if row["proposal_shop"] else None,
        proposal=schedule_from(row["proposal"]) if row["proposal"] else None,
    )  # fmt: skip
