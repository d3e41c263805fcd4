"""The records of loops: one row each, its mode beside the record; and the big stops.

Rules: a mode changes only from the one that was looked at (compare and swap), so of two that change
it at once one is refused; a stop is one transaction over all loops. Calls block.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, RowMapping, case, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from lineshaft.core.errors import Refused
from lineshaft.records import reading
from lineshaft.rooms.decide.model import MODES, Loop
from lineshaft.rooms.decide.tables import loop_stops, loops

__all__ = ["Kept", "LoopStore"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A loop, the mode that it is in, and since when (µs)."""

    loop: Loop
    mode: str
    since: int


class LoopStore:
    """The loops in the records database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Kept]:
        """Return all, by machine and name."""
        with reading(self._engine) as connection:
            found = connection.execute(select(loops).order_by(loops.c.machine, loops.c.name))
            return [_made(row) for row in found.mappings()]

    def get(self, number: str) -> Kept:
        """Return one; raise Refused (404) where there is none."""
        with reading(self._engine) as connection:
            row = connection.execute(select(loops).where(loops.c.id == number)).mappings().first()
        if row is None:
            raise Refused("there is no such loop", hint="See GET /decisions", code="loop.unknown",
                          status=404)  # fmt: skip
        return _made(row)

    def modes(self) -> Mapping[str, tuple[str, int]]:
        """Return the mode of every loop and since when (µs), as it is at this moment."""
        query = select(loops.c.id, loops.c.mode, loops.c.since)
        with reading(self._engine) as connection:
            return {number: (mode, since) for number, mode, since in connection.execute(query)}

    def add(self, loop: Loop, mode: str, at: int) -> None:
        """Keep a new one; raise Refused where its machine has one of that name."""
        row = {**_row(loop), "mode": mode, "since": at}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(loops), row)
        except IntegrityError as error:
            raise _taken(loop) from error

    def change(self, new: Loop, before: int, at: int) -> None:
        """Put a new revision in the place of revision `before`, in shadow from then on (µs); raise
        Refused, and change nothing, where that is not the present one."""
        mine = (loops.c.id == new.id) & (loops.c.revision == before)
        since = case((loops.c.mode == MODES[0], loops.c.since), else_=at)
        row = {**_row(new), "mode": MODES[0], "since": since}
        try:
            with self._engine.begin() as connection:
                done = connection.execute(update(loops).where(mine).values(row))
        except IntegrityError as error:
            raise _taken(new) from error
        if done.rowcount != 1:
            raise Refused(f"the loop '{new.name}' was changed by somebody else meanwhile",
                          hint="Look at it again, then change it", code="loop.revision",
                          status=409)  # fmt: skip

    def move(self, number: str, before: str, after: str, at: int) -> None:
        """Bring a loop from one mode to another; raise Refused where it is not in the first."""
        mine = (loops.c.id == number) & (loops.c.mode == before)
        with self._engine.begin() as connection:
            done = connection.execute(update(loops).where(mine).values(mode=after, since=at))
        if done.rowcount != 1:
            raise Refused(f"the loop is not in the mode '{before}' any more", code="loop.mode",
                          hint="Look at it again", status=409)  # fmt: skip

    def remove(self, number: str) -> None:
        """Forget one; its signals, samples, proposals and Commands stay."""
        with self._engine.begin() as connection:
            connection.execute(delete(loops).where(loops.c.id == number))

    def stop(self, at: int, by: str, reason: str) -> dict[str, Any]:
        """Bring every loop to shadow, and write down who did; return the stop."""
        with self._engine.begin() as connection:
            above = loops.c.mode != "shadow"
            found = connection.execute(select(loops.c.id).where(above)).scalars().all()
            connection.execute(update(loops).where(above).values(mode="shadow", since=at))
            row = {"at": at, "by": by, "reason": reason, "loops": json.dumps(list(found))}
            connection.execute(insert(loop_stops), row)
        return {"at": at, "by": by, "reason": reason, "loops": list(found)}

    def stopped(self) -> dict[str, Any] | None:
        """Return the last stop where no loop has left shadow since, else None."""
        with reading(self._engine) as connection:
            newest = select(loop_stops).order_by(loop_stops.c.id.desc()).limit(1)
            row = connection.execute(newest).mappings().first()
            later = select(loops.c.id).where(loops.c.mode != "shadow").limit(1)
            if row is None or connection.execute(later).first() is not None:
                return None
            return {**{key: row[key] for key in ("at", "by", "reason")},
                    "loops": json.loads(row["loops"])}  # fmt: skip


def _taken(loop: Loop) -> Refused:
    return Refused(f"'{loop.machine}' has a loop called '{loop.name}' already",
                   hint="Take another name", code="loop.name", status=409)  # fmt: skip


def _row(loop: Loop) -> dict[str, Any]:
    return {"id": loop.id, "name": loop.name, "machine": loop.machine, "revision": loop.revision,
            "body": loop.to_json()}  # fmt: skip


def _made(row: RowMapping) -> Kept:
    loop = Loop.from_json(row["body"], id=row["id"], revision=row["revision"])
    return Kept(loop, row["mode"], row["since"])
