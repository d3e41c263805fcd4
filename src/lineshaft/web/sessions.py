"""Sign-in: one-time codes and sessions.

A code is made on demand, lives ten minutes, works once. A session is a random token in a cookie;
the database holds only its hash, so reading the database signs nobody in.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Engine, String, Table, delete, insert, select

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.records import metadata, reading

__all__ = ["Session", "Sessions"]

_CODE_US = 600_000_000
_SESSION_US = 30 * 86_400_000_000
_MAX_CODES = 100

sessions = Table(
    "sessions", metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user", String(64), nullable=False),
    Column("expires", BigInteger, nullable=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and until when (µs UTC)."""

    user: str
    expires: int


class Sessions:
    """Codes in memory, sessions in the database, one key for the command line."""

    def __init__(self, engine: Engine, key: str) -> None:
        self._engine = engine
        self._key = key
        self._codes: dict[str, int] = {}

    def make_code(self) -> str:
        """Return a new code for one sign-in."""
        now = now_us()
        self._codes = {code: end for code, end in self._codes.items() if end > now}
        if len(self._codes) >= _MAX_CODES:
            raise Refused("too many sign-in links wait to be used",
                          hint="Use one of them, or wait until the oldest is ten minutes old",
                          code="session.codes")  # fmt: skip
        code = secrets.token_urlsafe(24)
        self._codes[code] = now + _CODE_US
        return code

    def sign_in(self, code: str) -> tuple[str, Session]:
        """Spend a code; return the new session and its token."""
        if self._codes.pop(code, 0) <= now_us():
            raise Refused("this sign-in link has been used or is too old",
                          hint="Run `lineshaft link` for a new one", code="session.code",
                          status=401)  # fmt: skip
        token = secrets.token_urlsafe(32)
        session = Session("engineer", now_us() + _SESSION_US)
        row = {"token_hash": _hash(token), "user": session.user, "expires": session.expires}
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires < now_us()))
            connection.execute(insert(sessions).values(row))
        return token, session

    def find(self, token: str) -> Session | None:
        """Return the session of a cookie, or None."""
        wanted = select(sessions.c.user, sessions.c.expires)
        with reading(self._engine) as connection:
            row = connection.execute(wanted.where(sessions.c.token_hash == _hash(token))).first()
        return None if row is None or row.expires < now_us() else Session(*row)

    def holds_key(self, key: str) -> bool:
        """Return whether this is the data folder's key."""
        return hmac.compare_digest(key.encode(), self._key.encode())

    def end(self, token: str) -> None:
        """End a session."""
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.token_hash == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
