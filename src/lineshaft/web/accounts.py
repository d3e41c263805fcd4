"""Accounts: who may come in, with which role, and how they first do.

Rules: an account begins with an invitation, a link that works once within seven days and of which
the database holds a hash; whoever opens it sets the password. A new invitation ends the earlier
one, and it is also how a password is reset. The built-in account `local` is none of these: it is in
no table, has no password, and only the link printed on the platform's own machine signs it in.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)  # fmt: skip
from sqlalchemy.exc import IntegrityError

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading
from lineshaft.web.desk import check_text
from lineshaft.web.rights import BUILT_IN, ROLES

__all__ = ["Account", "Accounts", "accounts", "hash_secret", "no_person"]

_INVITATION_US: Final = 7 * 86_400_000_000
_MOST: Final = 5_000
NAME: Final = r"[a-z][a-z0-9._-]{1,31}"
_RESERVED: Final = {BUILT_IN, "nobody", "platform", "key"}

accounts = Table(
    "accounts", metadata,
    Column("name", String(32), primary_key=True),
    Column("display_name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(256)),
    Column("enabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger),
    Column("language", String(8)),
)  # fmt: skip

invitations = Table(
    "invitations", metadata,
    Column("account", String(32), primary_key=True),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("expires", BigInteger, nullable=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """A person; times are µs UTC."""

    name: str
    display_name: str
    role: str
    enabled: bool
    created: int
    seen: int | None
    language: str | None
    has_password: bool
    invited_until: int | None


def hash_secret(secret: str) -> str:
    """Return what the database holds of a random secret; a long random one needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def no_person(name: str) -> Refused:
    """Return the error that names who is not there."""
    return Refused(f"there is no person '{name[:40]}'", hint="GET /people lists all",
                   code="person.unknown", status=404)  # fmt: skip


class Accounts:
    """The people of this platform; every call may block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> list[Account]:
        """Return all, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(_query().order_by(accounts.c.name)).all()
        return [_account(dict(row._mapping)) for row in rows]

    def get(self, name: str) -> Account:
        """Return one; Refused 404 where there is none."""
        with reading(self._engine) as connection:
            return _one(connection, name)

    def add(self, name: str, role: str, display_name: str, language: str | None) -> str:
        """Add a person and return the code of the invitation."""
        if not re.fullmatch(NAME, name) or name in _RESERVED:
            raise Refused(f"'{name[:40]}' cannot be a name",
                          hint="Use 2 to 32 of a-z, 0-9, '.', '-', '_', a letter first; "
                          "local, nobody, platform, key are taken",
                          code="person.name", status=422)  # fmt: skip
        _check_role(role)
        shown = check_text(display_name, "name") if display_name.strip() else name
        row = {
            "name": name, "display_name": shown, "role": role,
            "password_hash": None, "enabled": True, "created": now_us(), "seen": None,
            "language": language,
        }  # fmt: skip
        with self._engine.begin() as connection:
            known = connection.execute(select(accounts.c.name).limit(_MOST)).all()
            if len(known) >= _MOST:
                raise Refused(f"there are {_MOST} people already", hint="Remove some",
                              code="person.most")  # fmt: skip
            try:
                connection.execute(insert(accounts).values(row))
            except IntegrityError:
                raise Refused(f"'{name}' is there already", hint="Invite again, or take another",
                              code="person.exists", status=409) from None  # fmt: skip
            return _invite(connection, name)[0]

    def change(self, name: str, wanted: Mapping[str, Any]) -> Account:
        """Change display name, role, enabled or language and return the account."""
        if "role" in wanted:
            _check_role(wanted["role"])
        if "display_name" in wanted:
            wanted = {**wanted, "display_name": check_text(wanted["display_name"], "name")}
        with self._engine.begin() as connection:
            _one(connection, name)
            if wanted:
                mine = accounts.c.name == name
                connection.execute(update(accounts).where(mine).values(dict(wanted)))
            if wanted.get("enabled") is False:
                connection.execute(delete(invitations).where(invitations.c.account == name))
            return _one(connection, name)

    def remove(self, name: str) -> None:
        """Remove a person; what they wrote stays under their name."""
        with self._engine.begin() as connection:
            _one(connection, name)
            connection.execute(delete(accounts).where(accounts.c.name == name))
            connection.execute(delete(invitations).where(invitations.c.account == name))

    def invite(self, name: str) -> tuple[str, int]:
        """Return the code of a new invitation and when it ends (µs); the password, if any, holds
        until it is used."""
        with self._engine.begin() as connection:
            if not _one(connection, name).enabled:
                raise Refused(f"'{name}' is disabled", hint="Enable first", code="person.disabled")
            return _invite(connection, name)

    def invited(self, code: str) -> Account:
        """Return whose invitation this is; Refused 401 for one that is used, old or no one's."""
        with reading(self._engine) as connection:
            return _invited(connection, code)

    def accept(self, code: str, password_hash: str) -> Account:
        """Spend an invitation: the password holds from now on."""
        with self._engine.begin() as connection:
            account = _invited(connection, code)
            mine = invitations.c.account == account.name
            connection.execute(delete(invitations).where(mine))
            _set_password(connection, account.name, password_hash)
        return account

    def password_hash(self, name: str) -> str | None:
        """Return what is kept of the password of an enabled account, or None."""
        wanted = select(accounts.c.password_hash)
        mine = (accounts.c.name == name) & accounts.c.enabled
        with reading(self._engine) as connection:
            found: str | None = connection.execute(wanted.where(mine)).scalar()
        return found

    def set_password(self, name: str, password_hash: str) -> None:
        """Replace the password."""
        with self._engine.begin() as connection:
            _set_password(connection, name, password_hash)


def _query() -> Any:
    joined = accounts.outerjoin(invitations, invitations.c.account == accounts.c.name)
    return select(accounts, invitations.c.expires.label("invited_until")).select_from(joined)


def _account(row: Mapping[str, Any]) -> Account:
    content = {**row, "has_password": row["password_hash"] is not None}
    if (row["invited_until"] or 0) <= now_us():
        content["invited_until"] = None
    del content["password_hash"]
    return Account(**content)


def _one(connection: Connection, name: str) -> Account:
    row = connection.execute(_query().where(accounts.c.name == name)).first()
    if row is None:
        raise no_person(name)
    return _account(dict(row._mapping))


def _invite(connection: Connection, name: str) -> tuple[str, int]:
    code = secrets.token_urlsafe(24)
    connection.execute(delete(invitations).where(invitations.c.account == name))
    expires = now_us() + _INVITATION_US
    row = {"account": name, "code_hash": hash_secret(code), "expires": expires}
    connection.execute(insert(invitations).values(row))
    return code, expires


def _invited(connection: Connection, code: str) -> Account:
    mine = (invitations.c.code_hash == hash_secret(code)) & (invitations.c.expires > now_us())
    row = connection.execute(_query().where(mine & accounts.c.enabled)).first()
    if row is None:
        raise Refused("this invitation has been used or is too old",
                      hint="Ask an administrator for a new one", code="invitation.code",
                      status=401)  # fmt: skip
    return _account(dict(row._mapping))


def _set_password(connection: Connection, name: str, password_hash: str) -> None:
    mine = accounts.c.name == name
    connection.execute(update(accounts).where(mine).values(password_hash=password_hash))


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Refused(f"there is no role '{role[:40]}'", hint=f"Use {', '.join(ROLES)}",
                      code="person.role", status=422)  # fmt: skip
