"""The gate in front of every request: right host, right sender, signed in, harmless answer.

It opens a passage for each request, closes it when the sender's session ends in the middle of a
long answer, and has the audit take down what was changed or refused.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import orjson

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.web.audit import Audit, Call
from lineshaft.web.guard import SAFE, Passage, not_signed_in
from lineshaft.web.sessions import Session, Sessions, is_loopback
from lineshaft.web.throttle import Throttled

__all__ = ["COOKIE", "OPEN", "Gate", "answer_error"]

COOKIE: Final = "lineshaft_session"
OPEN: Final = {
    ("POST", "/api/v1/session"), ("POST", "/api/v1/invitation"),
    ("POST", "/api/v1/invitation/look"),
}  # fmt: skip
_OPEN_BYTES: Final = 16_384
_DROPPED_BYTES: Final = 1 << 20
_DROP_S: Final = 2.0
_LOOK_AGAIN_S: Final = 2.0
_REFUSALS: Final = frozenset({401, 403, 429})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]*)(:\d{1,5})?")

_WHO_AM_I: Final = ("GET", "/api/v1/session")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = dict[bytes, bytes]

_HARMLESS: Final = [
    (b"content-security-policy",
     b"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
     b"img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
     b"form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy",
     b"camera=(), geolocation=(), microphone=(), payment=(), usb=(), serial=()"),
]  # fmt: skip
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE: Final = (b"cache-control", b"no-store")


class _Over(BaseException):
    """The sender's session ended while the answer was on its way; no handler may catch this."""


class Gate:
    """ASGI wrapper that lets through what may pass and puts the session into the scope."""

    def __init__(
        self, app: App, sessions: Sessions, audit: Audit, hosts: frozenset[str],
        *, is_tls: bool = False,
    ) -> None:  # fmt: skip
        self._app = app
        self._sessions = sessions
        self._audit = audit
        self._hosts = hosts
        self._is_tls = is_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client") or ("",)
        passage = Passage(self._audit, str(client[0]))
        body = _Body(receive)
        answer = _Answer(send, self, scope, passage, body)
        try:
            await self._check(scope, passage)
            await self._app(scope, body.receive, answer.send)
        except LineshaftError as error:
            if answer.status:
                raise
            passage.code = error.code
            await answer_error(error, answer.send)
        except BaseException:
            if not answer.is_over:
                raise
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._take_down(scope, passage, answer.status)

    async def _check(self, scope: Scope, passage: Passage) -> None:
        headers = _read_headers(scope)
        host = _HOST.fullmatch(headers.get(b"host", b"").decode("latin-1").lower())
        if host is None or host[1].strip("[]") not in self._hosts:
            named = headers.get(b"host", b"")[:100].decode("latin-1")
            raise Refused(f"this platform is not called '{named}'",
                          hint="Open it under the address printed at its start",
                          code="gate.host", status=421)  # fmt: skip
        passage.host = host[1].strip("[]")
        path, method = scope["path"], scope["method"]
        if not path.startswith("/api/"):
            return
        passage.session = await self.who(headers, passage.address)
        scope.setdefault("state", {}).update(session=passage.session, passage=passage)
        if (method, path) in OPEN:
            _check_size(headers)
        elif passage.session is None:
            raise not_signed_in()
        is_browser = passage.session is None or passage.session.by == "session"
        if method not in SAFE and is_browser and b"x-lineshaft" not in headers:
            raise Refused("a changing call without the header X-Lineshaft",
                          hint="Send `X-Lineshaft: 1`", code="gate.header", status=403)  # fmt: skip

    async def who(self, headers: Headers, address: str) -> Session | None:
        """Return who sends these headers, or None."""
        sessions = self._sessions
        bearer = headers.get(b"authorization", b"").decode("latin-1")
        if bearer.startswith("Bearer "):
            text = bearer.removeprefix("Bearer ")
            if sessions.holds_key(text):
                return sessions.by_key() if is_loopback(address) else None
            return sessions.believed(text) or await asyncio.to_thread(sessions.find_bearer, text)
        token = _read_cookie(headers)
        if not token:
            return None
        return sessions.believed(token) or await asyncio.to_thread(sessions.find, token)

    def headers_for(self, path: str, host: str, present: set[bytes]) -> list[tuple[bytes, bytes]]:
        """Return what is added to an answer that has these headers already."""
        added = list(_HARMLESS)
        if path.startswith("/api/") and b"cache-control" not in present:
            added.append(_NO_STORE)
        # A browser that heard it from localhost would ask every other program there for TLS.
        if self._is_tls and host != "localhost":
            added.append(_HSTS)
        return added

    def _take_down(self, scope: Scope, passage: Passage, status: int) -> None:
        is_refusal = status in _REFUSALS
        if not is_refusal and not passage.has_place:
            return
        session, operation, state = passage.session, passage.operation, scope.get("state", {})
        call = Call(
            who=state.get("acted_as") or (session.user if session else "nobody"),
            by=f"{session.by}:{session.id}".rstrip(":") if session else "",
            operation=operation.name if operation else "",
            method=scope["method"][:10], path=scope["path"], status=status or 499,
            code=passage.code, address=passage.address,
        )  # fmt: skip
        if is_refusal:
            if passage.has_place:
                self._audit.give_back()
            self._audit.refused(call)
        else:
            self._audit.called(call)


class _Body:
    """What comes in. Of a refused call, what nobody reads is dropped: were it left lying, closing
    the connection would reset it, and its sender would see that in place of the answer."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_open = True

    async def receive(self) -> MutableMapping[str, Any]:
        """Hand on the next message."""
        message = await self._receive()
        self._is_open = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def drop(self) -> None:
        """Read what is still on its way and keep none of it; a large or slow rest is left."""
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_DROP_S):
                while self._is_open and size < _DROPPED_BYTES:
                    size += len((await self.receive()).get("body", b""))


class _Answer:
    """What goes back: made harmless, and ended where its receiver may have it no longer."""

    def __init__(self, send: Send, gate: Gate, scope: Scope, passage: Passage, body: _Body) -> None:
        self._send, self._gate, self._scope, self._passage = send, gate, scope, passage
        self._body = body
        self._looked = monotonic_s()
        self.status = 0
        self.is_over = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status >= 400 and self._scope["method"] not in SAFE:
                await self._body.drop()
            given = message.get("headers", [])
            present = {bytes(name).lower() for name, _ in given}
            host = self._passage.host
            added = self._gate.headers_for(self._scope["path"], host, present)
            message["headers"] = [*given, *added]
        elif self._passage.session is not None and monotonic_s() - self._looked > _LOOK_AGAIN_S:
            await self._look_again()
        await self._send(message)

    async def _look_again(self) -> None:
        self._looked = monotonic_s()
        session = await self._gate.who(_read_headers(self._scope), self._passage.address)
        try:
            if session is None:
                raise not_signed_in()
            if self._passage.operation is not None:
                self._passage.check(session, self._scope["method"])
        except Refused:
            self.is_over = True
            raise _Over from None


def _check_size(headers: Headers) -> None:
    """Refuse a large body before anybody is signed in."""
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or int(length[:9]) > _OPEN_BYTES:
        raise Refused(f"a body of more than {_OPEN_BYTES} bytes, or of unknown length",
                      hint="Send a Content-Length", code="gate.size", status=413)  # fmt: skip


def _read_headers(scope: Scope) -> Headers:
    """Return the headers of a request; HTTP/2 may send cookies in pieces (RFC 9113, 8.2.3)."""
    headers: Headers = dict(scope["headers"])
    pieces = [value for name, value in scope["headers"] if name == b"cookie"]
    if len(pieces) > 1:
        headers[b"cookie"] = b"; ".join(pieces)
    return headers


def _read_cookie(headers: Headers) -> str:
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
    if isinstance(error, Throttled):
        headers.append((b"retry-after", b"%d" % error.retry_s))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
