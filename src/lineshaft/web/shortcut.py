"""A shortcut for the reading that machines ask thousands of times a second: the newest values.

Rules: the operation is declared with all others, in its room; here its plainest form is answered
with the same bytes, past routing and validation, after the same check of rights. Whatever is not of
that form takes the long way.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from lineshaft.core.errors import LineshaftError
from lineshaft.web.gate import answer_error
from lineshaft.web.guard import Operation, passage_of

__all__ = ["Read", "Shortcut"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Read = tuple[Operation, Callable[[bytes], Awaitable[bytes | None]]]


class Shortcut:
    """ASGI wrapper that answers GET of some paths by itself; a `Read` gets the query string and
    returns JSON, or None where it is not for it."""

    def __init__(self, app: App, reads: Mapping[str, Read]) -> None:
        self._app, self._reads = app, reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        read = self._reads.get(scope["path"]) if scope["type"] == "http" else None
        if read is None or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        operation, answer = read
        try:
            passage_of(scope).enter(operation, "GET")
            body = await answer(scope["query_string"])
        except LineshaftError as error:
            await answer_error(error, send)
            return
        if body is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = operation
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
