"""What people leave on the desk: notes on charts, and views they come back to.

Rules: a note belongs to signals and a range of time, a view to a name of its owner; only who made
it, or an administrator, changes it; a view not shared is seen by its owner alone. An address of a
view is one of the console's own, so that no link leads out of the house.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.records import Engine, metadata, reading

__all__ = ["Desk", "check_text", "check_url"]

_MAX_NOTES: Final = 1000
_MAX_VIEWS: Final = 500
_CHUNK: Final = 500
# A hash route: the characters that the console's own links are written in, and no sign-in.
URL: Final = r"#/(?!sign-in)[A-Za-z0-9_\-./%?=&,:~+!*'()@]*"

notes = Table(
    "notes", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("edited", BigInteger),
    sqlite_autoincrement=True,
)  # fmt: skip
note_signals = Table(
    "note_signals", metadata,
    Column("sid", Integer, primary_key=True, autoincrement=False),
    Column("note", Integer, primary_key=True, autoincrement=False, index=True),
)  # fmt: skip
views = Table(
    "views", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("url", String(2000), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("shared", Boolean, nullable=False),
    UniqueConstraint("owner", "name"),
    sqlite_autoincrement=True,
)  # fmt: skip


def check_text(text: str, what: str) -> str:
    """Return the text without blanks round it; refuse an empty one and control characters."""
    plain = text.strip()
    odd = next((c for c in plain if not c.isprintable() and c not in "\n\t\u00a0\u3000\u200d"), "")
    if not plain or odd:
        reason = f"holds the character U+{ord(odd):04X}" if odd else "is empty"
        raise Refused(f"the {what} {reason}", hint="Write plain text", code="desk.text",
                      status=422)  # fmt: skip
    return plain


def check_url(url: str) -> str:
    """Return the address of a view; refuse whatever is none of the console's own."""
    if not re.fullmatch(URL, url):
        raise Refused(f"'{url[:80]}' is no view of this console",
                      hint="A view's address begins with #/ as in the address bar",
                      code="view.url", status=422)  # fmt: skip
    return url


class Desk:
    """Notes and views in the records database. Calls block. `missing` says which sids are none."""

    def __init__(self, engine: Engine, missing: Callable[[Collection[int]], set[int]]) -> None:
        self._engine = engine
        self._missing = missing

    def notes(self, sids: Sequence[int], start: int, stop: int) -> list[dict[str, Any]]:
        """Return the notes on any of these signals that touch [start, stop), oldest first."""
        touching = (notes.c.start < stop) & (notes.c.stop >= start)
        rows: dict[int, dict[str, Any]] = {}
        with reading(self._engine) as connection:
            for first in range(0, len(sids), _CHUNK):
                some = note_signals.c.sid.in_(sids[first : first + _CHUNK])
                wanted = notes.c.id.in_(select(note_signals.c.note).where(some))
                query = select(notes).where(touching & wanted).order_by(notes.c.start)
                for row in connection.execute(query.limit(_MAX_NOTES)).mappings():
                    rows[row["id"]] = dict(row)
            first_ones = sorted(rows.values(), key=lambda row: (row["start"], row["id"]))
            return [_with_sids(connection, row) for row in first_ones[:_MAX_NOTES]]

    def add_note(self, author: str, content: dict[str, Any]) -> dict[str, Any]:
        """Write a note ({sids, start, stop, text}); return it."""
        self._check_signals(content["sids"])
        row = {name: content[name] for name in ("start", "stop", "text")}
        row |= {"author": author, "created": now_us()}
        with self._engine.begin() as connection:
            made = connection.execute(insert(notes).values(row)).inserted_primary_key
            assert made is not None
            _set_sids(connection, made[0], content["sids"])
            return self._note(connection, made[0])

    def change_note(self, number: int, who: str | None, content: dict[str, Any]) -> dict[str, Any]:
        """Change what is given of a note; `who` None may change any."""
        self._check_signals(content.get("sids", []))
        with self._engine.begin() as connection:
            before = self._note(connection, number)
            _check_owner(before["author"], who, "note")
            row = {name: content.get(name, before[name]) for name in ("start", "stop", "text")}
            if row["start"] > row["stop"]:
                raise Refused("the note would end before it begins", code="note.range", status=422)
            one = notes.c.id == number
            connection.execute(update(notes).where(one).values({**row, "edited": now_us()}))
            if "sids" in content:
                connection.execute(delete(note_signals).where(note_signals.c.note == number))
                _set_sids(connection, number, content["sids"])
            return self._note(connection, number)

    def remove_note(self, number: int, who: str | None) -> None:
        """Remove a note; `who` None may remove any."""
        with self._engine.begin() as connection:
            _check_owner(self._note(connection, number)["author"], who, "note")
            connection.execute(delete(note_signals).where(note_signals.c.note == number))
            connection.execute(delete(notes).where(notes.c.id == number))

    def _check_signals(self, sids: Sequence[int]) -> None:
        if unknown := self._missing(sids):
            raise Refused(f"there is no signal {min(unknown)}", hint="Choose others",
                          code="note.signals", status=422)  # fmt: skip

    def _note(self, connection: Connection, number: int) -> dict[str, Any]:
        row = connection.execute(select(notes).where(notes.c.id == number)).mappings().first()
        if row is None:
            raise Refused(f"there is no note {number}", code="note.unknown", status=404)
        return _with_sids(connection, dict(row))

    def views(self, who: str) -> list[dict[str, Any]]:
        """Return a person's own views and the shared ones, by name."""
        seen = or_(views.c.owner == who, views.c.shared)
        query = select(views).where(seen).order_by(views.c.name, views.c.id)
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def add_view(self, owner: str, content: dict[str, Any]) -> dict[str, Any]:
        """Keep a view ({name, url, shared}) for its owner; return it."""
        with self._engine.begin() as connection:
            own = select(func.count()).where(views.c.owner == owner)
            if connection.execute(own).scalar_one() >= _MAX_VIEWS:
                raise Refused(f"you keep {_MAX_VIEWS} views already", hint="Remove some first",
                              code="view.count", status=409)  # fmt: skip
            _free_name(connection, (views.c.owner == owner), content["name"])
            statement = insert(views).values({**content, "owner": owner})
            made = connection.execute(statement).inserted_primary_key
            assert made is not None
            return self._view(connection, made[0], None)

    def change_view(self, number: int, who: str | None, content: dict[str, Any]) -> dict[str, Any]:
        """Change what is given of a view; `who` None may change any."""
        try:
            with self._engine.begin() as connection:
                self._view(connection, number, who)
                if content:
                    one = views.c.id == number
                    connection.execute(update(views).where(one).values(content))
                return self._view(connection, number, who)
        except IntegrityError:
            raise _taken(content["name"]) from None

    def remove_view(self, number: int, who: str | None) -> None:
        """Remove a view; `who` None may remove any."""
        with self._engine.begin() as connection:
            self._view(connection, number, who)
            connection.execute(delete(views).where(views.c.id == number))

    def _view(self, connection: Connection, number: int, who: str | None) -> dict[str, Any]:
        row = connection.execute(select(views).where(views.c.id == number)).mappings().first()
        if row is None or (who not in {None, row["owner"]} and not row["shared"]):
            raise Refused(f"there is no view {number}", code="view.unknown", status=404)
        _check_owner(row["owner"], who, "view")
        return dict(row)


def _free_name(connection: Connection, of_owner: ColumnElement[bool], name: str) -> None:
    query = select(views.c.id).where(of_owner & (views.c.name == name))
    if connection.execute(query).first() is not None:
        raise _taken(name)


def _taken(name: str) -> Refused:
    return Refused(f"you have a view '{name[:80]}' already", hint="Choose another name",
                   code="view.name", status=409)  # fmt: skip


def _check_owner(owner: str, who: str | None, what: str) -> None:
    if who not in {None, owner}:
        raise Refused(f"this {what} is {owner}'s", hint="Its author or an administrator changes it",
                      code=f"{what}.right", status=403)  # fmt: skip


def _with_sids(connection: Connection, note: dict[str, Any]) -> dict[str, Any]:
    query = select(note_signals.c.sid).where(note_signals.c.note == note["id"])
    return {**note, "sids": list(connection.execute(query.order_by(note_signals.c.sid)).scalars())}


def _set_sids(connection: Connection, number: int, sids: Sequence[int]) -> None:
    rows = [{"sid": sid, "note": number} for sid in dict.fromkeys(sids)]
    connection.execute(insert(note_signals), rows)
