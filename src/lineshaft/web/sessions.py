"""Who is calling: one-time links, sessions, tokens, the data folder's key.

A link's code is made on demand, lives ten minutes, works once. A session is a random token in a
cookie; the database holds only its hash, so reading the database signs nobody in. It ends twelve
hours after it was last seen, thirty days after it began, when its owner is disabled. What was found
is believed for a second, so that a busy page does not ask the database each time; what ends a
session in this process ends that belief too.
"""

import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)  # fmt: skip

from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading
from lineshaft.web.accounts import accounts, hash_secret
from lineshaft.web.rights import BUILT_IN, rights_of, scopes_of
from lineshaft.web.tokens import Tokens

__all__ = ["Session", "SessionView", "Sessions", "is_loopback"]

_CODE_US: Final = 600_000_000
_IDLE_US: Final = 12 * 3_600_000_000
_LONGEST_US: Final = 30 * 86_400_000_000
_NOTE_US: Final = 60_000_000
_BELIEF_S: Final = 1.0
_MOST_CODES: Final = 100
_MOST_BELIEVED: Final = 10_000
_MOST_SESSIONS: Final = 50
_FOREVER: Final = 1 << 62

sessions = Table(
    "sessions", metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("account", String(32), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("address", String(64), nullable=False),
    Column("agent", String(120), nullable=False),
    Index("ix_sessions_account", "account"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """Who calls: by a session, a token or the key; with which rights; until when (µs UTC)."""

    user: str
    role: str
    expires: int
    rights: frozenset[str]
    by: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its owner sees it."""

    id: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str


def is_loopback(address: str) -> bool:
    """Return whether a peer is this machine itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


class Sessions:
    """Codes in memory, sessions in the database, one key for the command line; may block."""

    def __init__(self, engine: Engine, key: str, tokens: Tokens) -> None:
        self._engine = engine
        self._key = key
        self._tokens = tokens
        self._codes: dict[str, int] = {}
        self._believed: dict[str, tuple[float, Session]] = {}

    def make_code(self) -> str:
        """Return a new code for one sign-in."""
        now = now_us()
        self._codes = {code: end for code, end in self._codes.items() if end > now}
        if len(self._codes) >= _MOST_CODES:
            raise Refused("too many sign-in links wait to be used",
                          hint="Use one of them, or wait until the oldest is ten minutes old",
                          code="session.codes")  # fmt: skip
        code = secrets.token_urlsafe(24)
        self._codes[code] = now + _CODE_US
        return code

    def spend_code(self, code: str) -> None:
        """Spend a code; Refused 401 for one that is used, old or never made."""
        if self._codes.pop(code, 0) <= now_us():
            raise Refused("this sign-in link has been used or is too old",
                          hint="Run `lineshaft link` for a new one", code="session.code",
                          status=401)  # fmt: skip

    def open(self, account: str, address: str = "", agent: str = "") -> tuple[str, int]:
        """Begin a session; return its token and when it ends at the latest (µs)."""
        token, now = secrets.token_urlsafe(32), now_us()
        shown = "".join(char for char in agent if char.isprintable())[:120]
        row = {
            "token_hash": hash_secret(token), "id": secrets.token_hex(8), "account": account,
            "created": now, "seen": now, "expires": now + _LONGEST_US, "address": address[:64],
            "agent": shown,
        }  # fmt: skip
        with self._engine.begin() as connection:
            over = (sessions.c.expires < now) | (sessions.c.seen < now - _IDLE_US)
            connection.execute(delete(sessions).where(over))
            mine = select(sessions.c.id).where(sessions.c.account == account)
            held = connection.execute(mine.order_by(sessions.c.seen.desc())).all()
            too_many = [identity for (identity,) in held[_MOST_SESSIONS - 1 :]]
            connection.execute(delete(sessions).where(sessions.c.id.in_(too_many)))
            connection.execute(insert(sessions).values(row))
            came = accounts.c.name == account
            connection.execute(update(accounts).where(came).values(seen=now))
        return token, now + _LONGEST_US

    def believed(self, secret: str) -> Session | None:
        """Return what was found of a cookie or token within the last second, without asking."""
        found = self._believed.get(hash_secret(secret))
        return None if found is None or monotonic_s() - found[0] > _BELIEF_S else found[1]

    def find(self, token: str) -> Session | None:
        """Return the session of a cookie, or None; keeps that it was seen."""
        return self._believe(token, self._find(hash_secret(token)))

    def _find(self, token_hash: str) -> Session | None:
        joined = sessions.outerjoin(accounts, accounts.c.name == sessions.c.account)
        wanted = select(sessions, accounts.c.role, accounts.c.enabled).select_from(joined)
        with reading(self._engine) as connection:
            row = connection.execute(wanted.where(sessions.c.token_hash == token_hash)).first()
        now = now_us()
        if row is None or row.expires <= now or row.seen <= now - _IDLE_US:
            return None
        role = "administrator" if row.account == BUILT_IN else row.role
        if row.account != BUILT_IN and not row.enabled:
            return None
        if row.seen < now - _NOTE_US:
            self._note(row.token_hash, row.account, now)
        return Session(row.account, role, row.expires, rights_of(role), "session", row.id)

    def holds_key(self, text: str) -> bool:
        """Return whether this is the data folder's key."""
        return hmac.compare_digest(text.encode(), self._key.encode())

    def by_key(self) -> Session:
        """Return who comes in by the key."""
        role = "administrator"
        return Session(BUILT_IN, role, _FOREVER, rights_of(role), "key")

    def find_bearer(self, text: str) -> Session | None:
        """Return who holds this API token, or None; keeps that it was used."""
        token = self._tokens.find(text)
        role = None if token is None else self._role_of(token.owner)
        if token is None or role is None:
            return None
        if (token.used or 0) < now_us() - _NOTE_US:
            self._tokens.note_use(token.id)
        rights = scopes_of(role, token.scopes)
        found = Session(token.owner, role, token.expires, rights, "token", token.id)
        return self._believe(text, found)

    def _role_of(self, name: str) -> str | None:
        """Return the role of an enabled account, or None."""
        if name == BUILT_IN:
            return "administrator"
        mine = (accounts.c.name == name) & accounts.c.enabled
        with reading(self._engine) as connection:
            role: str | None = connection.execute(select(accounts.c.role).where(mine)).scalar()
        return role

    def list(self, account: str) -> list[SessionView]:
        """Return the sessions of an account that hold now, newest first."""
        now = now_us()
        mine = (sessions.c.account == account) & (sessions.c.expires > now)
        wanted = select(sessions).where(mine & (sessions.c.seen > now - _IDLE_US))
        with reading(self._engine) as connection:
            rows = connection.execute(wanted.order_by(sessions.c.created.desc())).all()
        return [SessionView(r.id, r.created, r.seen, r.expires, r.address, r.agent) for r in rows]

    def end(self, account: str, identity: str) -> None:
        """End one session of an account; Refused 404 where there is none."""
        mine = (sessions.c.account == account) & (sessions.c.id == identity)
        if not self._delete(mine):
            raise Refused("there is no such session of yours", hint="GET /sessions lists them",
                          code="session.unknown", status=404)  # fmt: skip

    def end_all(self, account: str, but: str = "") -> int:
        """End all sessions of an account but one; return how many."""
        return self._delete((sessions.c.account == account) & (sessions.c.id != but))

    def forget(self) -> None:
        """Believe nothing any more: rights or people have changed."""
        self._believed.clear()

    def _delete(self, which: Any) -> int:
        with self._engine.begin() as connection:
            ended = connection.execute(delete(sessions).where(which)).rowcount
        self.forget()
        return ended

    def _note(self, token_hash: str, account: str, now: int) -> None:
        with self._engine.begin() as connection:
            mine = sessions.c.token_hash == token_hash
            connection.execute(update(sessions).where(mine).values(seen=now))
            came = accounts.c.name == account
            connection.execute(update(accounts).where(came).values(seen=now))

    def _believe(self, secret: str, found: Session | None) -> Session | None:
        if found is not None:
            if len(self._believed) >= _MOST_BELIEVED:
                self._believed.clear()
            self._believed[hash_secret(secret)] = (monotonic_s(), found)
        return found
