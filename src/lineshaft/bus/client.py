"""One process's connection to the bus: publish, tell, ask, follow.

A publish returns when the message is on disk, and not before; it is sent again with the same id
until then, so the server keeps it once however often it arrives.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from lineshaft.bus.server import FACT_BYTES, BusAccess
from lineshaft.bus.streams import Message, Streams
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.samples import SampleBlock

__all__ = ["Bus", "data_stream", "decode_block", "fact_stream"]

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
_ACK_S = 2.0
_HEADER_BYTES = 4096


def data_stream(site: str) -> str:
    """Return the name of the stream that carries a site's samples."""
    return f"DATA_{site}"


def fact_stream(site: str) -> str:
    """Return the name of the stream that carries a site's Facts."""
    return f"FACT_{site}"


class Bus:
    """A connection that comes back by itself and is closed with `close()`."""

    def __init__(self, client: Client, site: str) -> None:
        self._client = client
        self._answers: set[asyncio.Task[None]] = set()
        self.site = site
        self.streams = Streams(client)

    @classmethod
    async def connect(cls, access: BusAccess, site: str, name: str) -> Self:
        """Connect, however long the server takes to come up."""
        client = Client()
        await client.connect(
            access.url,
            user=access.user,
            password=access.password,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,  # type: ignore[arg-type] # seconds, for all its annotation
            connect_timeout=5,
            ping_interval=5,
            pending_size=64 * 1024 * 1024,
            error_cb=_ignore,
            allow_reconnect=True,
        )
        return cls(client, site)

    async def close(self) -> None:
        """Close the connection; what was not acknowledged stays with the publisher."""
        await self._client.close()

    async def ensure_streams(self, max_bytes: int) -> None:
        """Make the site's streams where they are not there yet."""
        site = self.site
        await self.streams.ensure(data_stream(site), [f"ls.{site}.data.>"], max_bytes)
        await self.streams.ensure(fact_stream(site), [f"ls.{site}.fact.>"], FACT_BYTES)
        await self.streams.ensure(f"QUARANTINE_{site}", [f"ls.{site}.quarantine"], max_bytes // 10)

    async def publish(self, block: SampleBlock) -> int:
        """Put a block on disk and return its number in the stream.

        Repeats until acknowledged. Raises Broken `bus.full` where the stream refuses more, Refused
        `bus.size` where the block is larger than one message may be.
        """
        body = block.encode()
        headers = {
            "Nats-Msg-Id": block.message_id(body),
            "Ls-Origin": block.origin,
            "Ls-Arrival": str(block.arrival),
            "Ls-Count": str(len(block)),
            "Ls-T1": str(int(block.ts.max())),
        }
        return await self._store(f"ls.{self.site}.data.{block.origin}", body, headers)

    async def tell(self, fact: Fact) -> None:
        """Put a Fact on disk."""
        subject = f"ls.{self.site}.fact.{fact.kind}"
        await self._store(subject, fact.to_json(), {"Nats-Msg-Id": fact.id})

    async def quarantine(self, origin: str, data: bytes, headers: Mapping[str, str]) -> None:
        """Put a message that nobody can read aside, byte for byte."""
        await self._store(f"ls.{self.site}.quarantine", data, {**headers, "Nats-Msg-Id": origin})

    async def store_again(self, message: Message) -> int:
        """Put a message that an earlier stream held on disk, under its own id; return its number
        in the present stream."""
        return await self._store(message.subject, message.data, dict(message.headers))

    async def _store(self, subject: str, body: bytes, headers: dict[str, str]) -> int:
        most = self._client.max_payload
        if len(body) + _HEADER_BYTES > most:
            raise Refused(f"a message of {len(body)} bytes for {subject}",
                          hint=f"The bus takes {most} at most", code="bus.size")  # fmt: skip
        while True:
            try:
                reply = await self._client.request(subject, body, timeout=_ACK_S, headers=headers)
            except (nats.errors.BadSubjectError, nats.errors.BadHeaderError) as error:
                raise Refused(f"no message can go to '{subject}': {error}",
                              code="bus.subject") from error  # fmt: skip
            except (nats.errors.Error, TimeoutError, ConnectionError):
                if self._client.is_closed:
                    raise Broken("the bus connection is closed", code="bus.closed") from None
                await asyncio.sleep(0.02)
                continue
            answer = json.loads(reply.data)
            if "error" not in answer:
                return int(answer["seq"])
            trouble = answer["error"]
            if trouble.get("err_code") in _FULL:
                raise Broken(
                    f"the stream is full: {trouble.get('description')}",
                    hint="Free disk space or raise bus.max_gb",
                    code="bus.full",
                )
            await asyncio.sleep(0.1)  # the store is starting up or the disk is in trouble

    async def ask(
        self, process: str, verb: str, body: Mapping[str, Any], timeout_s: float = 10
    ) -> Any:
        """Ask another process; raise what it refused, or Broken where nobody answered."""
        subject = f"ls.{self.site}.rpc.{process}.{verb}"
        try:
            reply = await self._client.request(subject, json.dumps(body).encode(), timeout_s)
        except (nats.errors.Error, TimeoutError) as error:
            raise Broken(f"the process '{process}' does not answer",
                         hint="It may be starting; try again in some seconds",
                         code="process.silent") from error  # fmt: skip
        answer = json.loads(reply.data)
        if "refused" in answer:
            refused = answer["refused"]
            raise Refused(refused["message"], hint=refused["hint"], code=refused["code"])
        return answer["ok"]

    async def serve(self, process: str, verb: str, handler: Handler) -> None:
        """Answer the questions that others `ask`, from the moment this returns."""

        async def answer(message: Msg) -> None:
            try:
                reply = json.dumps({"ok": await handler(json.loads(message.data))})
            except LineshaftError as error:
                reply = json.dumps({"refused": error.as_dict()})
            except Exception as error:
                failed = Broken(f"{process}.{verb} failed: {error!r}"[:400])
                reply = json.dumps({"refused": failed.as_dict()})
            await message.respond(reply.encode())

        async def dispatch(message: Msg) -> None:
            task = asyncio.get_running_loop().create_task(answer(message))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

        await self._client.subscribe(f"ls.{self.site}.rpc.{process}.{verb}", cb=dispatch)
        await self._settle()

    async def show(self, topic: str, state: Mapping[str, Any]) -> None:
        """Publish a passing state; nobody keeps it."""
        await self._client.publish(f"ls.{self.site}.state.{topic}", json.dumps(state).encode())

    async def watch(self, topics: str, heard: Callable[[str, Mapping[str, Any]], None]) -> None:
        """Call `heard(topic, state)` for every state shown under `topics` (`>` for all)."""

        async def receive(message: Msg) -> None:
            heard(message.subject.split(".state.", 1)[1], json.loads(message.data))

        await self._client.subscribe(f"ls.{self.site}.state.{topics}", cb=receive)
        await self._settle()

    async def _settle(self) -> None:
        """Return once the server knows our subscriptions; a server that is away learns them when
        it comes back."""
        with suppress(nats.errors.Error):
            await self._client.flush(2)


_FULL = {10077, 10047, 10023}  # bytes, memory/storage resources, insufficient resources


async def _ignore(_: Exception) -> None:
    """Connection errors show in the calls that meet them."""


def decode_block(data: bytes, headers: Mapping[str, str]) -> SampleBlock:
    """Read a block message; raise Refused where headers or body are not in form."""
    try:
        origin, arrival = headers["Ls-Origin"], int(headers["Ls-Arrival"])
    except (KeyError, ValueError) as error:
        raise Refused(f"a block message without header {error}", code="block.header") from error
    return SampleBlock.decode(data, origin=origin, arrival=arrival)
