"""Passwords: argon2id (RFC 9106), hashed beside the event loop, few at a time.

Rules: what a hash costs is bounded whatever stands in the database; a name without password costs
as much to try as one with; a password is never logged, stored or repeated.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from lineshaft.core.errors import Broken, Refused

__all__ = ["Passwords", "check_password"]

_LEAST: Final = 12
_MOST: Final = 200
_MOST_KIB: Final = 262_144
_MOST_TIME: Final = 10
_NOBODYS: Final = f"$argon2id$v=19$m=65536,t=3,p=1$bm9ib2R5J3Mgc2FsdHMhIQ${'A' * 43}"
_AT_ONCE: Final = 2
_MOST_WAITING: Final = 30


def check_password(password: str, name: str) -> str:
    """Return the password, or refuse one that is too short, too long or the person's name."""
    if not _LEAST <= len(password) <= _MOST:
        raise Refused(f"the password has not between {_LEAST} and {_MOST} characters",
                      hint="Take a sentence that only you know", code="password.length",
                      status=422)  # fmt: skip
    plain = password.casefold().replace(" ", "")
    if plain in {name.casefold(), name.casefold() * 2} or len(set(password)) < 4:
        raise Refused("the password is the name, or a few characters repeated",
                      hint="Take a sentence that only you know", code="password.weak",
                      status=422)  # fmt: skip
    return password


class Passwords:
    """Hashes and compares, at most two at a time (64 MiB each)."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1, type=Type.ID)
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash to be kept."""
        async with self._my_turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Return whether the password is the one that was kept; None takes as long and is no."""
        async with self._my_turn():
            return await asyncio.to_thread(self._compare, kept, password)

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        if self._waiting >= _MOST_WAITING:
            raise Broken("too many people sign in at this moment", hint="Try again in some seconds",
                         code="password.busy")  # fmt: skip
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    def _compare(self, kept: str | None, password: str) -> bool:
        try:
            cost = extract_parameters(kept or _NOBODYS)
            if cost.memory_cost > _MOST_KIB or cost.time_cost > _MOST_TIME:
                return False
            self._hasher.verify(kept or _NOBODYS, password)
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None
