"""Values as they come: server-sent events, resumed by number after any break.

Rules: after a break the stream goes on where it stopped: every signal that changed meanwhile is
told once, with its newest value. Silence counts as a break (the platform beats once a second).
"""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lineshaft.client.scripts import Target
from lineshaft.client.web import Door, Request
from lineshaft.core.errors import Broken

__all__ = ["Feed", "Parser", "Value"]

_SILENT_S: Final = 15.0
_LINE: Final = 64 * 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Value:
    """A value that changed: `ts` in µs UTC, `value` null where bad or a text, quality 0 is good."""

    path: str
    ts: int
    value: float | None
    text: str | None
    quality: int

    @property
    def time(self) -> datetime:
        """The stamp as a datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.ts)


class Parser:
    """Puts the lines of an event stream together (WHATWG HTML, 9.2.6); no I/O."""

    def __init__(self) -> None:
        self.last_id = ""
        self._name, self._data = "", ""

    def take(self, line: bytes) -> tuple[str, Any] | None:
        """Return the event (name, content) that this line completes, if it does."""
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            name, data, self._name, self._data = self._name, self._data, "", ""
            return (name, json.loads(data)) if data else None
        key, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            self._name = value
        elif key == "data":
            self._data += value
        elif key == "id":
            self.last_id = value
        return None


class Feed:
    """Iterates over changed values until it is closed, over any number of breaks.

    `tries` bounds the attempts in a row to come back; the error of the last is raised then.
    """

    def __init__(self, door: Door, target: Target, tries: int) -> None:
        self._door, self._target, self._tries = door, target, tries
        self._ended = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None

    def __iter__(self) -> Iterator[Value]:
        for values in self.batches():
            yield from values

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, also from another thread while it waits."""
        self._ended.set()
        if self._socket is not None:
            with suppress(OSError):  # wakes whoever reads from it
                self._socket.shutdown(socket.SHUT_RDWR)

    def batches(self) -> Iterator[list[Value]]:
        """Return the values that came together, again and again."""
        parser, failed = Parser(), 0
        try:
            while not self._ended.is_set():
                try:
                    for name, content in self._events(parser):
                        failed = 0
                        if name == "values" and (values := self._values(content)):
                            yield values
                except Broken as error:
                    failed += 1
                    if self._ended.is_set():
                        return
                    if not error.retryable or failed >= self._tries:
                        raise
                    self._ended.wait(self._door.pause_s(failed - 1))
        finally:
            self._drop()

    def _events(self, parser: Parser) -> Iterator[tuple[str, Any]]:
        """Return events until the stream breaks; raises Broken then."""
        self._drop()
        resume = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
        request = Request("live", {"sid": self._target.sid})
        connection, response = self._door.stream(request, resume, _SILENT_S)
        self._connection, self._socket = connection, _socket_of(connection, response)
        try:
            while not self._ended.is_set():
                line = response.readline(_LINE)
                if not line:
                    raise Broken("the stream ended", code="live.ended")
                event = parser.take(line)
                if event is not None:
                    yield event
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise Broken(f"the stream broke: {error}", code="live.broken") from error

    def _values(self, content: dict[str, Any]) -> list[Value]:
        columns = (content[name] for name in ("sid", "ts", "v", "s", "q"))
        return [Value(self._target.paths[sid], ts, v, s, q)
                for sid, ts, v, s, q in zip(*columns, strict=True)]  # fmt: skip

    def _drop(self) -> None:
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()


def _socket_of(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse
) -> socket.socket | None:
    """Return the socket, also where the answer closes its connection and has taken it over."""
    if connection.sock is not None:
        return connection.sock
    return getattr(getattr(response.fp, "raw", None), "_sock", None)
