"""API tokens: `ls_<id>_<secret>`, shown once, of which the database holds a hash.

Rules: a token never may more than its owner may at that moment; it ends by itself within a year,
when it is revoked, and when its owner is disabled or removed.
"""

import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)  # fmt: skip

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading
from lineshaft.web.accounts import hash_secret
from lineshaft.web.rights import ALL, rights_of, scopes_of

__all__ = ["Token", "Tokens", "tokens"]

_MOST: Final = 100
_DAY_US: Final = 86_400_000_000
_FORM: Final = re.compile(r"ls_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"

tokens = Table(
    "tokens", metadata,
    Column("id", String(16), primary_key=True),
    Column("secret_hash", String(64), nullable=False),
    Column("owner", String(32), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used", BigInteger),
    Index("ix_tokens_owner", "owner"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret; times are µs UTC."""

    id: str
    owner: str
    name: str
    scopes: list[str]
    created: int
    expires: int
    used: int | None


class Tokens:
    """The tokens of everybody; every call may block."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, owner: str | None) -> list[Token]:
        """Return the tokens of a person, or of all, newest first."""
        wanted = select(tokens).order_by(tokens.c.created.desc(), tokens.c.id)
        if owner is not None:
            wanted = wanted.where(tokens.c.owner == owner)
        with reading(self._engine) as connection:
            return [_token(row) for row in connection.execute(wanted)]

    def make(
        self, owner: str, role: str, name: str, scopes: Iterable[str] | None, days: int
    ) -> tuple[str, Token]:
        """Make a token that may do `scopes`, or read where none are given; return its text, which
        nobody can see again, and what is kept of it."""
        asked = None if scopes is None else set(scopes)
        if unknown := (asked or set()) - ALL:
            raise Refused(f"there is no right '{min(unknown)[:60]}'", code="token.scope",
                          hint="GET /session lists yours", status=422)  # fmt: skip
        if beyond := (asked or set()) - rights_of(role):
            raise Refused(f"you have no right '{min(beyond)}' to hand on", code="token.scope",
                          hint="A token may not do more than its owner", status=403)  # fmt: skip
        identity = "".join(secrets.choice(_LETTERS) for _ in range(12))
        secret, now = secrets.token_urlsafe(32), now_us()
        made = Token(identity, owner, name, sorted(scopes_of(role, asked)), now,
                     now + days * _DAY_US, None)  # fmt: skip
        row = {
            "id": identity, "secret_hash": hash_secret(secret), "owner": owner, "name": name,
            "scopes": json.dumps(made.scopes), "created": now, "expires": made.expires,
        }  # fmt: skip
        with self._engine.begin() as connection:
            gone = (tokens.c.owner == owner) & (tokens.c.expires <= now)
            connection.execute(delete(tokens).where(gone))
            mine = select(tokens.c.id).where(tokens.c.owner == owner)
            if len(connection.execute(mine).all()) >= _MOST:
                raise Refused(f"you have {_MOST} tokens already", hint="Revoke some",
                              code="token.most")  # fmt: skip
            connection.execute(insert(tokens).values(row))
        return f"ls_{identity}_{secret}", made

    def find(self, text: str) -> Token | None:
        """Return the token with this text, if it holds now."""
        parts = _FORM.fullmatch(text)
        if parts is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == parts[1])).first()
        kept = row.secret_hash if row is not None else ""
        matches = hmac.compare_digest(kept, hash_secret(parts[2]))
        return _token(row) if row is not None and matches and row.expires > now_us() else None

    def note_use(self, identity: str) -> None:
        """Keep that it was used now."""
        with self._engine.begin() as connection:
            mine = tokens.c.id == identity
            connection.execute(update(tokens).where(mine).values(used=now_us()))

    def revoke(self, identity: str, owner: str | None) -> None:
        """End a token, of this owner or of whomever; Refused 404 where there is none."""
        mine = tokens.c.id == identity
        if owner is not None:
            mine &= tokens.c.owner == owner
        with self._engine.begin() as connection:
            if connection.execute(delete(tokens).where(mine)).rowcount == 0:
                raise Refused("there is no such token of yours", hint="GET /tokens lists them",
                              code="token.unknown", status=404)  # fmt: skip

    def end_all(self, owner: str) -> None:
        """End all tokens of a person."""
        with self._engine.begin() as connection:
            connection.execute(delete(tokens).where(tokens.c.owner == owner))


def _token(row: Any) -> Token:
    return Token(row.id, row.owner, row.name, json.loads(row.scopes), row.created, row.expires,
                 row.used)  # fmt: skip
