"""The guard in front of every operation: its declared right, checked in one place.

Rules: an operation without a declared right is not built; what is not granted is refused before
the operation reads its body, and a body that is held in memory has a bound; an operation that
changes something needs its place in the audit.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from lineshaft.core.errors import Refused
from lineshaft.web.audit import Audit
from lineshaft.web.rights import ALL, SPECIAL, may, roles_with
from lineshaft.web.sessions import Session

__all__ = ["SAFE", "Operation", "Passage", "guard", "not_signed_in", "passage_of"]

SAFE: Final = frozenset({"GET", "HEAD"})
_MOST_BYTES: Final = 8_000_000  # of a body in memory; uploads are streams with limits of their own


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation's name and the right it declares."""

    name: str
    right: str

    def changes(self, method: str) -> bool:
        """Return whether a call is one that the audit tells of: a query sent by POST is none."""
        return method not in SAFE and not self.right.endswith(".read")


@dataclass(slots=True)
class Passage:
    """One request on its way: who sends it from where, and what it turned out to be."""

    audit: Audit
    address: str
    host: str = ""
    code: str = ""
    session: Session | None = None
    operation: Operation | None = None
    has_place: bool = False

    def enter(self, operation: Operation, method: str) -> None:
        """Let the caller through to an operation, or refuse with what they lack."""
        self.operation = operation
        self.check(self.session, method)
        if operation.changes(method):
            self.audit.take_place()
            self.has_place = True

    def check(self, session: Session | None, method: str) -> None:
        """Refuse a caller who may not run this passage's operation."""
        assert self.operation is not None
        right = self.operation.right
        if session is None:
            if right != "public":
                raise not_signed_in()
            return
        reads = method in SAFE
        if not may(right, session.rights, by=session.by, reads=reads):
            raise _lacks(right, session)


def passage_of(scope: MutableMapping[str, Any]) -> Passage:
    """Return the passage that the gate opened for a request."""
    found: Passage = scope["state"]["passage"]
    return found


def not_signed_in() -> Refused:
    """Return the error for somebody who is nobody."""
    return Refused("you are not signed in",
                   hint="Sign in, or run `lineshaft link` on the platform's machine and open the "
                   "link", code="gate.session", status=401)  # fmt: skip


def _lacks(right: str, session: Session) -> Refused:
    if right == "key":
        return Refused("only the data folder's key may do this",
                       hint="Run `lineshaft link` on the platform's machine",
                       code="session.right", status=403)  # fmt: skip
    if right == "self":
        return Refused("a token may not change its owner's own things",
                       hint="Sign in and do it yourself", code="session.right",
                       status=403)  # fmt: skip
    roles = ", ".join(roles_with(right))
    if session.by == "token" and session.role in roles_with(right):
        hint = "The token was not given it; make one that has it"
    else:
        hint = f"Roles with it: {roles}; yours: {session.role}. Ask an administrator"
    return Refused(f"this needs the right '{right}'", hint=hint, code="session.right", status=403)


def guard(router: APIRouter) -> None:
    """Put the guard in front of all operations of a router; raise ValueError where one declares no
    right that there is."""
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise ValueError(f"'{route}' is no operation, so nothing guards it")
        right = (route.openapi_extra or {}).get("x-right")
        if right not in ALL | SPECIAL:
            raise ValueError(f"the operation '{route.name}' declares the right {right!r}")
        operation = Operation(route.operation_id or route.name, right)
        _guard_one(route, operation, route.get_route_handler)


Handler = Callable[[Request], Awaitable[Response]]


def _guard_one(route: APIRoute, operation: Operation, make: Callable[[], Any]) -> None:
    def make_guarded() -> Handler:
        handle: Handler = make()

        async def guarded(request: Request) -> Response:
            passage_of(request.scope).enter(operation, request.method)
            if route.body_field is not None:
                request = Request(request.scope, _bounded(request.receive))
            return await handle(request)

        return guarded

    # The hook by which FastAPI lets one wrap an operation before it reads the request.
    route.get_route_handler = make_guarded  # type: ignore[assignment,method-assign]


def _bounded(receive: Receive) -> Receive:
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > _MOST_BYTES:  # FastAPI would make any other error "There was an error parsing"
            raise HTTPException(413, f"a body of more than {_MOST_BYTES} bytes")
        return message

    return bounded
