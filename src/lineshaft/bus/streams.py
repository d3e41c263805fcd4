"""JetStream as this platform uses it: streams made, looked at, read in order, purged.

Rules of reading: a follower starts after a sequence number that *it* remembers, never from an
acknowledgement; numbers are consecutive; a skipped number is read again by number, and what is
really gone is handed on as `Gone`, never left out in silence. Every attempt uses a new consumer
without acknowledgements, so nothing of an earlier attempt can come back, and begins with a look
whether the stream still holds the message that was handed out last.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from lineshaft.core.errors import Broken

__all__ = ["DUPLICATE_WINDOW_S", "Away", "Gone", "Message", "StreamState", "Streams", "end"]

DUPLICATE_WINDOW_S: Final = 600
_BATCH: Final = 256
_BYTES: Final = 16 * 1024 * 1024
_IDLE_S: Final = 2.0
_RETRY_S: Final = 0.05
_Answer = TypeVar("_Answer")
_SIZE: Final = "MaxBytes"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_SUCH_MESSAGE, _NO_SUCH_STREAM, _NAME_IN_USE = 10037, 10059, 10058


class Away(Broken):
    """The bus does not answer at this moment; it is repeated until it does, or told."""

    def __init__(self, verb: str) -> None:
        super().__init__(f"the bus does not answer {verb}", hint="It may be starting again; wait",
                         code="bus.away")  # fmt: skip


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
    """Messages `first … last` (inclusive) that the stream does not hold any more; `at` (µs UTC) is
    when the message after them was stored, which is the same for everybody who finds the hole."""

    first: int
    last: int
    at: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """`token` names this very stream: a recreated stream of the same name has another. `at` is when
    its first message was stored (the last ever, where it holds none), µs UTC."""

    token: str
    first: int
    last: int
    bytes: int
    at: int = 0


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
        """Return what the stream holds; Broken where there is none, Away where nobody answers."""
        info = await self._call(f"STREAM.INFO.{name}", {})
        state = info["state"]
        at = max(_microseconds(state["first_ts"]), 0) or max(_microseconds(state["last_ts"]), 0)
        return StreamState(
            info["created"], state["first_seq"], state["last_seq"], state["bytes"], at
        )

    async def message(self, name: str, seq: int) -> Message | None:
        """Return one message by number, or None where it is not held."""
        return await self._get(name, {"seq": seq})

    async def last_of(self, name: str, subject: str) -> Message | None:
        """Return the newest message of a subject, or None."""
        return await self._get(name, {"last_by_subj": subject})

    async def purge(self, name: str, *, before: int) -> None:
        """Forget all messages numbered below `before`."""
        await self._call(f"STREAM.PURGE.{name}", {"seq": before})

    async def patiently(self, call: Callable[..., Awaitable[_Answer]], *arguments: Any) -> _Answer:
        """Return the answer of one of the calls above, repeated while the server is away."""
        while True:
            try:
                return await call(*arguments)
            except Away:
                await asyncio.sleep(_RETRY_S)

    async def follow(
        self, name: str, after: int, known: str = ""
    ) -> AsyncGenerator[Message | Gone, None]:
        """Hand out every message with a number above `after`, in order, for ever.

        `known` is the id of message `after`, where the caller has it. Outlives restarts of the
        server; ends only by cancellation. Raises Broken `bus.rolled_back` where the stream was
        replaced by another of this name or rolled back: its reader must then look again.
        """
        expected = after + 1
        token = ""
        while True:
            state = await self.patiently(self.state, name)
            if token and state.token != token:
                raise Broken(f"the stream {name} is another one now", code="bus.rolled_back")
            token = state.token
            if not await self.patiently(self.holds, name, state, expected - 1, known):
                raise Broken(f"the stream {name} was rolled back before {expected}",
                             code="bus.rolled_back")  # fmt: skip
            if state.first > expected:
                yield Gone(expected, state.first - 1, state.at)
                expected, known = state.first, ""
            try:
                async with aclosing(self._consume(name, expected)) as messages:
                    async for message in messages:
                        if message.seq > expected:
                            async for item in self._reread(name, expected, message):
                                yield item
                        yield message
                        expected, known = message.seq + 1, message.id
            except _LOST:
                await asyncio.sleep(_RETRY_S)

    async def holds(self, name: str, state: StreamState, seq: int, known: str) -> bool:
        """Return whether message `seq` of the stream is the one that was called `known` (any where
        that is empty). A message that was purged cannot speak against it."""
        if seq == 0 or state.last < seq:
            return seq == 0
        message = await self.message(name, seq) if known else None
        return message is None or message.id == known

    async def _reread(
        self, name: str, first: int, after: Message
    ) -> AsyncGenerator[Message | Gone, None]:
        """Hand out what lies between `first` and the message `after` the skip."""
        gone = first
        for seq in range(first, after.seq):
            message = await self.patiently(self.message, name, seq)
            if message is None:
                continue
            if seq > gone:
                yield Gone(gone, seq - 1, message.at)
            yield message
            gone = seq + 1
        if gone < after.seq:
            yield Gone(gone, after.seq - 1, after.at)

    async def _consume(self, name: str, first: int) -> AsyncGenerator[Message, None]:
        inbox, arrived = self._client.new_inbox(), asyncio.Queue[Msg]()

        async def put(message: Msg) -> None:
            arrived.put_nowait(message)

        subscription = await self._client.subscribe(
            inbox, cb=put, pending_msgs_limit=0, pending_bytes_limit=0
        )
        consumer = inbox.rpartition(".")[2]
        try:
            await self._make_consumer(name, consumer, first)
            ask = f"$JS.API.CONSUMER.MSG.NEXT.{name}.{consumer}"
            async with aclosing(self._pull(arrived, ask, inbox)) as messages:
                async for message in messages:
                    yield message
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
                # The server holds only so many of them.
                await self._client.publish(f"$JS.API.CONSUMER.DELETE.{name}.{consumer}")

    async def _make_consumer(self, name: str, consumer: str, first: int) -> None:
        config = {
            "name": consumer, "deliver_policy": "by_start_sequence", "opt_start_seq": first,
            "ack_policy": "none", "replay_policy": "instant",
            "inactive_threshold": 60_000_000_000, "mem_storage": True, "num_replicas": 1,
        }  # fmt: skip
        asked = {"stream_name": name, "config": config}
        await self._call(f"CONSUMER.CREATE.{name}.{consumer}", asked)

    async def _pull(
        self, arrived: "asyncio.Queue[Msg]", ask: str, inbox: str
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
            if arrived.empty():
                async with asyncio.timeout(_IDLE_S):
                    message = await arrived.get()
            else:
                message = arrived.get_nowait()
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                left -= 1
                yield _stored(message)
            elif status in {"404", "408"} or _SIZE in headers.get("Description", ""):
                left = 0  # the request ended: by time or by bytes
            elif status != "100":  # the consumer is no more: 409 deleted, 503 nobody listens
                return

    async def _get(self, name: str, request: dict[str, Any]) -> Message | None:
        try:
            found = (await self._call(f"STREAM.MSG.GET.{name}", request))["message"]
        except Broken as error:
            if error.code == f"bus.{_NO_SUCH_MESSAGE}":
                return None
            raise
        headers = _parse_headers(base64.b64decode(found.get("hdrs", "")))
        data = base64.b64decode(found.get("data", ""))
        at = _microseconds(found["time"])
        return Message(found["seq"], at, found["subject"], headers, data)

    async def _call(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        asked = json.dumps(body).encode()
        try:
            reply = await self._client.request(f"$JS.API.{verb}", asked, timeout=5)
        except _LOST as lost:
            raise Away(verb) from lost
        answer: dict[str, Any] = json.loads(reply.data)
        if "error" in answer:
            error = answer["error"]
            raise Broken(
                f"the bus refused {verb}: {error.get('description')}",
                code=f"bus.{error.get('err_code')}",
            )
        return answer


_LOST = (Away, nats.errors.Error, TimeoutError, ConnectionError)


async def end(*tasks: "asyncio.Future[Any]") -> list[Any]:
    """Cancel tasks that use the bus and return their outcomes once they are over.

    A cancellation that meets the answer of a request is swallowed by `asyncio.wait_for` (before
    Python 3.12), so it is repeated.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=0.5)
    return await asyncio.gather(*tasks, return_exceptions=True)


def _stored(message: Msg) -> Message:
    """Read the number and time of storing from the reply subject (NATS ADR-15, both forms)."""
    tokens = message.reply.split(".")
    first = 5 if len(tokens) == 9 else 7
    seq, at = int(tokens[first]), int(tokens[first + 2]) // 1000
    return Message(seq, at, message.subject, message.headers or {}, message.data)


def _microseconds(time: str) -> int:
    """Return an RFC 3339 time as µs since 1970, cut as `_stored` cuts; exact, without floats."""
    whole = datetime.fromisoformat(time) - _EPOCH
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def _parse_headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: value.strip() for key, value in pairs}
