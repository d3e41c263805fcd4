"""The one door through which the client speaks: HTTP with a token, patient with reads.

Rules: only reads are tried again, where time may heal it, after pauses that double; a token goes
over plain HTTP to this machine only, stands in no text, and follows no redirect; a proxy of the
environment is not used.
"""

import http.client
import json
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from lineshaft.core.errors import Broken, LineshaftError, Refused

__all__ = ["Answer", "Door", "Request"]

_HERE: Final = {"127.0.0.1", "localhost", "::1"}
_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_MOST: Final = 4 << 30


@dataclass(frozen=True, slots=True)
class Request:
    """One question; `body` makes it a POST that still only reads."""

    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in small letters."""

    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """Return the content as JSON."""
        return json.loads(self.content)


class Door:
    """Sends requests to one platform; may be used from several threads."""

    def __init__(
        self, url: str, token: str, *, verify: str | Path | None = None, timeout_s: float = 60.0,
        tries: int = 4, pause: Callable[[float], object] = sleep,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise Refused("this is no address of a platform", code="client.url",
                          hint="Write http://127.0.0.1:8400 or https://…")  # fmt: skip
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Refused("this is no token", hint="Give one, or set LINESHAFT_TOKEN",
                          code="client.token")  # fmt: skip
        if parts.scheme == "http" and parts.hostname not in _HERE:
            raise Refused(f"the token would travel to {parts.hostname} for everybody to read",
                          hint="Use https://; `verify=` names the platform's own CA",
                          code="client.plain")  # fmt: skip
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._context = _trust(verify) if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "*/*"}
        self._timeout_s, self._tries, self._pause = timeout_s, max(1, tries), pause
        self._idle: deque[http.client.HTTPConnection] = deque(maxlen=4)

    def send(self, request: Request) -> Answer:
        """Return the answer; raises Refused or Broken with what the platform said."""
        for attempt in range(self._tries):
            try:
                return self._send_once(request)
            except Broken as error:
                if not error.retryable or attempt + 1 == self._tries:
                    raise
                self._pause(self.pause_s(attempt))
        raise AssertionError("a loop over at least one try")

    @staticmethod
    def pause_s(attempt: int) -> float:
        """Return how long to wait after failure number `attempt` (from 0), in seconds."""
        return min(_LONGEST_PAUSE_S, _PAUSE_S * (1 << min(attempt, 10)))

    def _send_once(self, request: Request) -> Answer:
        try:
            kept: http.client.HTTPConnection | None = self._idle.pop()
        except IndexError:
            kept = None
        if kept is not None:
            try:  # the other side may have closed it while it was idle
                return self._through(kept, request)
            except (http.client.HTTPException, OSError):
                kept.close()
        connection = self._connection(self._timeout_s)
        try:
            return self._through(connection, request)
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            raise self._silent(error) from error
        except BaseException:
            connection.close()
            raise

    def _through(self, connection: http.client.HTTPConnection, request: Request) -> Answer:
        response = self._ask(connection, request)
        content = response.read(_MOST)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        if response.status >= 400:
            raise _told(response.status, content)
        return Answer(headers, content)

    def stream(
        self, request: Request, headers: Mapping[str, str], timeout_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Return an open answer to be read by lines, and its connection, which the caller ends.

        A silence of `timeout_s` raises TimeoutError where it is read.
        """
        connection = self._connection(timeout_s)
        try:
            response = self._ask(connection, request, headers)
            if response.status >= 400:
                raise _told(response.status, response.read(1 << 20))
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            raise self._silent(error) from error
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _ask(
        self, connection: http.client.HTTPConnection, request: Request,
        more: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:  # fmt: skip
        query = {name: value for name, value in request.query.items() if value is not None}
        target = f"{self._base}/api/v1/{quote(request.path)}"
        target += f"?{urlencode(query, safe=',')}" if query else ""
        headers = {**self._headers, **(more or {})}
        body = None
        if request.body is not None:
            body, headers["Content-Type"] = json.dumps(request.body), "application/json"
        connection.request("GET" if body is None else "POST", target, body, headers)
        return connection.getresponse()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host or "", self._port, timeout=timeout_s)
        return http.client.HTTPSConnection(
            self._host or "", self._port, timeout=timeout_s, context=self._context
        )

    def _silent(self, error: Exception) -> Broken:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Broken(f"the certificate of {self.url} is not trusted: {error.verify_message}",
                          hint="Give the platform's own CA: verify='ca.pem'",
                          code="client.trust", retryable=False)  # fmt: skip
        said = str(error) or type(error).__name__
        return Broken(f"no platform answers at {self.url} ({said})",
                      hint="Is it running, is the address right?",
                      code="platform.silent")  # fmt: skip

    def close(self) -> None:
        """Close the connections held for the next call."""
        while self._idle:
            self._idle.pop().close()


def _trust(verify: str | Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if verify is None else str(verify))
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"'{verify}' holds no certificates: {error}",
                      hint="verify= names a PEM file", code="client.verify") from None  # fmt: skip


def _told(status: int, content: bytes) -> LineshaftError:
    """Return the platform's own words as an error; those of a proxy in between as they are."""
    try:
        said = json.loads(content)
        message, hint, code = str(said["message"]), str(said["hint"]), str(said["code"])
    except (ValueError, KeyError, TypeError):
        text = content[:200].decode("utf-8", "replace").strip()
        message, hint, code = f"the answer was {status}: {text}", "", f"http.{status}"
    if status < 500:
        return Refused(message, hint=hint, code=code, status=status)
    return Broken(message, hint=hint, code=code, retryable=status in {502, 503, 504})
