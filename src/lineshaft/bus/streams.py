"""JetStream as this platform uses it: streams made, looked at, read in order, purged.

Rules of reading: a follower starts after a sequence number that *it* remembers, never from an
acknowledgement; numbers are consecutive; a skipped number is read again by number, and what is
really gone is handed on as `Gone`, never left out in silence. Every attempt uses a new consumer
without acknowledgements, so nothing of an earlier attempt can come back.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from lineshaft.core.errors import Broken

__all__ = ["DUPLICATE_WINDOW_S", "Gone", "Message", "StreamState", "Streams"]

DUPLICATE_WINDOW_S: Final = 600
_BATCH: Final = 256
_BYTES: Final = 16 * 1024 * 1024
_IDLE_S: Final = 5.0
_NO_SUCH_MESSAGE, _NO_SUCH_STREAM, _NAME_IN_USE = 10037, 10059, 10058


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message: `seq` its number in the stream, `at` µs UTC when it was stored."""

    seq: int
    at: int
    subject: str
    headers: Mapping[str, str]
    data: bytes

    @property
    def id(self) -> str:
        """Return the publisher's id of this message, empty where it gave none."""
        return self.headers.get("Nats-Msg-Id", "")


@dataclass(frozen=True, slots=True)
class Gone:
    """Messages `first … last` (inclusive) that the stream does not hold any more."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """`token` names this very stream: a recreated stream of the same name has another."""

    token: str
    first: int
    last: int
    bytes: int


class Streams:
    """The streams of one JetStream account, seen through one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ensure(self, name: str, subjects: list[str], max_bytes: int) -> StreamState:
        """Make the stream if it is not there and return its state."""
        config = {
            "name": name, "subjects": subjects, "storage": "file", "retention": "limits",
            "discard": "new", "max_bytes": max_bytes, "num_replicas": 1, "allow_direct": True,
            "duplicate_window": DUPLICATE_WINDOW_S * 1_000_000_000,
        }  # fmt: skip
        try:
            return await self.state(name)
        except Broken as error:
            if error.code != f"bus.{_NO_SUCH_STREAM}":
                raise
        try:
            await self._call(f"STREAM.CREATE.{name}", config)
        except Broken as error:
            if error.code != f"bus.{_NAME_IN_USE}":  # another process made it this moment
                raise
        return await self.state(name)

    async def state(self, name: str) -> StreamState:
        """Return what the stream holds; Broken where there is none."""
        info = await self._call(f"STREAM.INFO.{name}", {})
        state = info["state"]
        return StreamState(info["created"], state["first_seq"], state["last_seq"], state["bytes"])

    async def message(self, name: str, seq: int) -> Message | None:
        """Return one message by number, or None where it is not held."""
        return await self._get(name, {"seq": seq})

    async def last_of(self, name: str, subject: str) -> Message | None:
        """Return the newest message of a subject, or None."""
        return await self._get(name, {"last_by_subj": subject})

    async def purge(self, name: str, *, before: int) -> None:
        """Forget all messages numbered below `before`."""
        await self._call(f"STREAM.PURGE.{name}", {"seq": before})

    async def follow(self, name: str, after: int) -> AsyncGenerator[Message | Gone, None]:
        """Hand out every message with a number above `after`, in order, for ever.

        Outlives restarts of the server; ends only by cancellation. Raises Broken where the stream
        was replaced by another of this name or rolled back: its reader must then look again.
        """
        expected = after + 1
        token = ""
        while True:
            state = await self._patiently(self.state, name)
            if token and state.token != token:
                raise Broken(f"the stream {name} is another one now", code="bus.rolled_back")
            token = state.token
            if state.last < expected - 1:
                raise Broken(
                    f"the stream {name} ends at {state.last}, before {expected - 1}",
                    code="bus.rolled_back",
                )
            if state.first > expected and state.last >= expected:
                yield Gone(expected, state.first - 1)
                expected = state.first
            try:
                async for message in self._consume(name, expected):
                    if message.seq > expected:
                        async for item in self._reread(name, expected, message.seq):
                            yield item
                    yield message
                    expected = message.seq + 1
            except _LOST:
                await asyncio.sleep(0.05)

    async def _reread(
        self, name: str, first: int, end: int
    ) -> AsyncGenerator[Message | Gone, None]:
        for seq in range(first, end):
            message = await self._patiently(self.message, name, seq)
            yield message or Gone(seq, seq)

    async def _patiently(self, call: Any, *arguments: Any) -> Any:
        """Repeat a call while the server is away."""
        while True:
            try:
                return await call(*arguments)
            except _LOST:
                await asyncio.sleep(0.05)

    async def _consume(self, name: str, first: int) -> AsyncGenerator[Message, None]:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(
            inbox, pending_msgs_limit=0, pending_bytes_limit=0
        )
        try:
            consumer = await self._make_consumer(name, first)
            ask = f"$JS.API.CONSUMER.MSG.NEXT.{name}.{consumer}"
            async for message in self._pull(subscription, ask, inbox):
                yield message
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _make_consumer(self, name: str, first: int) -> str:
        config = {
            "deliver_policy": "by_start_sequence", "opt_start_seq": first, "ack_policy": "none",
            "replay_policy": "instant", "inactive_threshold": 60_000_000_000,
            "mem_storage": True, "num_replicas": 1,
        }  # fmt: skip
        made = await self._call(f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": config})
        return str(made["name"])

    async def _pull(
        self, subscription: Subscription, ask: str, inbox: str
    ) -> AsyncGenerator[Message, None]:
        """Keep a pull request open and hand out what comes; end where the consumer fell silent."""
        request = {
            "batch": _BATCH, "max_bytes": _BYTES, "expires": int(_IDLE_S * 2e9),
            "idle_heartbeat": int(_IDLE_S * 0.4e9),
        }  # fmt: skip
        body = json.dumps(request).encode()
        left = 0
        while True:
            if left <= 0:
                await self._client.publish(ask, body, reply=inbox)
                left = _BATCH
            message = await subscription.next_msg(_IDLE_S)
            status = (message.headers or {}).get("Status")
            if status is None:
                left -= 1
                yield _stored(message)
            elif status == "409" and "Deleted" in (message.headers or {}).get("Description", ""):
                return
            elif status != "100":  # the request ended: by count, by bytes or by time
                left = 0

    async def _get(self, name: str, request: dict[str, Any]) -> Message | None:
        try:
            found = (await self._call(f"STREAM.MSG.GET.{name}", request))["message"]
        except Broken as error:
            if error.code == f"bus.{_NO_SUCH_MESSAGE}":
                return None
            raise
        headers = _parse_headers(base64.b64decode(found.get("hdrs", "")))
        data = base64.b64decode(found.get("data", ""))
        at = int(datetime.fromisoformat(found["time"]).timestamp() * 1e6)
        return Message(found["seq"], at, found["subject"], headers, data)

    async def _call(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        reply = await self._client.request(f"$JS.API.{verb}", json.dumps(body).encode(), timeout=5)
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            error = answer["error"]
            raise Broken(
                f"the bus refused {verb}: {error.get('description')}",
                code=f"bus.{error.get('err_code')}",
            )
        return answer


_LOST = (nats.errors.Error, TimeoutError, asyncio.TimeoutError, ConnectionError)


def _stored(message: Msg) -> Message:
    """Read the number and time of storing from the reply subject (NATS ADR-15, both forms)."""
    tokens = message.reply.split(".")
    first = 5 if len(tokens) == 9 else 7
    seq, at = int(tokens[first]), int(tokens[first + 2]) // 1000
    return Message(seq, at, message.subject, message.headers or {}, message.data)


def _parse_headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: value.strip() for key, value in pairs}
