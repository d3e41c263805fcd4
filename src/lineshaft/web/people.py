"""People come in: by link, password or invitation; what changes of them ends what hangs on it.

Rules: an attempt at a password is counted before it is looked at and forgiven when it succeeds
(codes of links are too long to be guessed, and an old link shall lock nobody out); an unknown name,
a wrong password and a disabled account are answered alike and take as long; who is disabled,
removed or changed loses sessions and tokens, or their rights, at once.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Engine

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Refused
from lineshaft.web.accounts import Account, Accounts
from lineshaft.web.passwords import Passwords, check_password
from lineshaft.web.sessions import Session, Sessions
from lineshaft.web.throttle import Throttle, Throttled, network_of
from lineshaft.web.tokens import Tokens

__all__ = ["People"]

_FREE_BY_NAME: Final = 5
_FREE_BY_ADDRESS: Final = 20


class People:
    """Accounts, sessions, tokens and passwords together."""

    def __init__(
        self, engine: Engine, key: str, *, clock: Callable[[], float] = monotonic_s
    ) -> None:
        self.accounts = Accounts(engine)
        self.tokens = Tokens(engine)
        self.sessions = Sessions(engine, key, self.tokens)
        self._passwords = Passwords()
        self._by_name = Throttle(_FREE_BY_NAME)
        self._by_address = Throttle(_FREE_BY_ADDRESS)
        self._clock = clock

    async def sign_in_by_password(self, name: str, password: str, address: str) -> Account:
        """Return whose name and password these are; Refused 401, or Throttled after many."""
        name = name.strip().lower()[:64]
        self._count(name, address)
        kept = await asyncio.to_thread(self.accounts.password_hash, name)
        if not await self._passwords.matches(kept, password):
            raise Refused("name and password do not fit together",
                          hint="Ask an administrator for an invitation to set a new password",
                          code="session.password", status=401)  # fmt: skip
        self._forgive(name, address)
        return await asyncio.to_thread(self.accounts.get, name)

    async def accept(self, code: str, password: str) -> Account:
        """Spend an invitation: set the password; what was signed in before is ended."""
        account = await asyncio.to_thread(self.accounts.invited, code)
        check_password(password, account.name)
        kept = await self._passwords.hash(password)
        account = await asyncio.to_thread(self.accounts.accept, code, kept)
        await asyncio.to_thread(self.sessions.end_all, account.name)
        return account

    async def change_password(self, session: Session, old: str, new: str, address: str) -> None:
        """Replace one's own password; all other sessions end."""
        self._count(session.user, address)
        kept = await asyncio.to_thread(self.accounts.password_hash, session.user)
        if not await self._passwords.matches(kept, old):
            raise Refused("the old password is not this one",
                          hint="An administrator can invite you again", code="password.old",
                          status=403)  # fmt: skip
        self._forgive(session.user, address)
        check_password(new, session.user)
        made = await self._passwords.hash(new)
        await asyncio.to_thread(self.accounts.set_password, session.user, made)
        await asyncio.to_thread(self.sessions.end_all, session.user, session.id)

    async def change(self, name: str, wanted: Mapping[str, Any]) -> Account:
        """Change a person; one who is disabled is out at once."""
        account = await asyncio.to_thread(self.accounts.change, name, wanted)
        if not account.enabled:
            await self._turn_out(name)
        self.sessions.forget()
        return account

    async def remove(self, name: str) -> None:
        """Remove a person with all sessions and tokens."""
        await asyncio.to_thread(self.accounts.remove, name)
        await self._turn_out(name)

    async def _turn_out(self, name: str) -> None:
        await asyncio.to_thread(self.tokens.end_all, name)
        await asyncio.to_thread(self.sessions.end_all, name)

    def _count(self, name: str, address: str) -> None:
        """Count an attempt; raise Throttled where too many failed before it."""
        now, network = self._clock(), network_of(address)
        wait_s = max(self._by_address.wait_s(network, now), self._by_name.wait_s(name, now))
        if wait_s:
            raise Throttled(wait_s)
        self._by_address.count(network, now)
        self._by_name.count(name, now)

    def _forgive(self, name: str, address: str) -> None:
        self._by_address.take_back(network_of(address))
        self._by_name.forget(name)
