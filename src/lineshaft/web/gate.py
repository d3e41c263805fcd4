"""The gate in front of every request: right host, right sender, signed in, harmless answer."""

from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import orjson

from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.web.sessions import Session, Sessions

__all__ = ["COOKIE", "Gate", "answer_error"]

COOKIE: Final = "lineshaft_session"
_OPEN: Final = {("POST", "/api/v1/session")}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADERS: Final = [
    (b"content-security-policy",
     b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
     b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]  # fmt: skip


class Gate:
    """ASGI wrapper that lets through what may pass and puts the session into the scope."""

    def __init__(self, app: App, sessions: Sessions, hosts: frozenset[str]) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_safely)
        except LineshaftError as error:
            if started:
                raise
            await answer_error(error, send_safely)

    def _check(self, scope: Scope) -> None:
        headers = {key: value for key, value in scope["headers"]}
        host = headers.get(b"host", b"").decode("latin-1")
        if host.rsplit(":", 1)[0].strip("[]") not in self._hosts:
            raise Refused(f"this platform is not called '{host[:100]}'",
                          hint="Open it under the address printed at its start",
                          code="gate.host", status=421)  # fmt: skip
        path, method = scope["path"], scope["method"]
        if not path.startswith("/api/"):
            return
        session, by_key = self._who(headers)
        scope.setdefault("state", {})["session"] = session
        if session is None and (method, path) not in _OPEN:
            raise Refused("you are not signed in", hint="Run `lineshaft link` and open the link",
                          code="gate.session", status=401)  # fmt: skip
        if method not in {"GET", "HEAD"} and not by_key and b"x-lineshaft" not in headers:
            raise Refused("a changing call without the header X-Lineshaft",
                          hint="Send `X-Lineshaft: 1`", code="gate.header", status=403)  # fmt: skip

    def _who(self, headers: dict[bytes, bytes]) -> tuple[Session | None, bool]:
        bearer = headers.get(b"authorization", b"").decode("latin-1")
        if bearer.startswith("Bearer "):
            known = self._sessions.holds_key(bearer.removeprefix("Bearer "))
            return (Session("administrator", 1 << 62), True) if known else (None, False)
        token = read_cookie(headers)
        return (self._sessions.find(token), False) if token else (None, False)


def read_cookie(headers: dict[bytes, bytes]) -> str:
    """Return the session token in the cookies, or an empty text."""
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


async def answer_error(error: LineshaftError, send: Send) -> None:
    """Send an error in the one form that all doors use."""
    body = orjson.dumps(error.as_dict())
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
