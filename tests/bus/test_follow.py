"""Following a stream: every number once and in order, or the word that it is gone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from tests.support.nats import NatsServer, eventually

from lineshaft.bus import Bus, Gone, Message
from lineshaft.core.errors import Broken

NAME = "S"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as running:
        yield running


async def _fill(bus: Bus, *numbers: int) -> None:
    """Store messages whose body is their number in the stream."""
    for number in numbers:
        assert await bus._store("s.x", str(number).encode(), {"Nats-Msg-Id": f"m{number}"}) > 0


class Reader:
    """Follows in a task and keeps what it hears."""

    def __init__(self, bus: Bus, after: int) -> None:
        self.heard: list[Message | Gone] = []
        self.task = asyncio.create_task(self._run(bus, after))

    async def _run(self, bus: Bus, after: int) -> None:
        async with aclosing(bus.streams.follow(NAME, after)) as items:
            async for item in items:
                self.heard.append(item)

    def numbers(self) -> list[int | tuple[int, int]]:
        """Messages as their number, what is gone as a pair; bodies must fit the numbers."""
        for item in self.heard:
            assert isinstance(item, Gone) or item.data == str(item.seq).encode()
        return [item.seq if isinstance(item, Message) else (item.first, item.last)
                for item in self.heard]  # fmt: skip

    async def until(self, count: int) -> list[int | tuple[int, int]]:
        await eventually(lambda: len(self.heard) >= count or self.task.done())
        return self.numbers()


@asynccontextmanager
async def follow(bus: Bus, after: int) -> AsyncIterator[Reader]:
    reader = Reader(bus, after)
    try:
        yield reader
    finally:
        reader.task.cancel()
        await asyncio.gather(reader.task, return_exceptions=True)


async def _stream(bus: Bus) -> None:
    await bus.streams.ensure(NAME, ["s.>"], 100_000_000)


async def test_all_come_in_order_those_stored_and_those_to_come(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, *range(1, 1001))
        async with follow(bus, 0) as whole, follow(bus, 700) as part, follow(bus, 1000) as end:
            await whole.until(1000)
            await part.until(300)
            await _fill(bus, 1001, 1002)
            assert await whole.until(1002) == list(range(1, 1003))
            assert await part.until(302) == list(range(701, 1003))
            assert await end.until(2) == [1001, 1002]
        message = whole.heard[6]
        assert isinstance(message, Message)
        assert (message.subject, message.id) == ("s.x", "m7")
        found = await bus.streams.message(NAME, 7)
        assert found is not None
        assert abs(found.at - message.at) <= 1
        assert (found.seq, found.data, found.id) == (7, b"7", "m7")


async def test_a_message_larger_than_most_comes_too(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        for n in range(4):
            await bus._store("s.x", bytes(8_000_000), {"Nats-Msg-Id": str(n)})
        async with follow(bus, 0) as reader:
            await eventually(lambda: len(reader.heard) == 4)
        assert [len(m.data) for m in reader.heard if isinstance(m, Message)] == [8_000_000] * 4


async def test_it_outlives_restarts_of_the_server(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineshaft.bus.client._ACK_S", 0.5)
    async with server.bus() as bus, server.bus() as writer:
        await _stream(bus)
        await _fill(writer, 1, 2, 3)
        async with follow(bus, 0) as reader:
            await reader.until(3)
            for n, end in enumerate((server.kill, server.stop)):
                end()
                await asyncio.sleep(0)
                server.start()
                await _fill(writer, 4 + n)
                await reader.until(4 + n)
            assert reader.numbers() == [1, 2, 3, 4, 5]


async def test_it_waits_for_a_server_that_is_away_at_the_start(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, 1, 2)
        server.kill()
        await eventually(lambda: not bus._client.is_connected)
        async with follow(bus, 0) as reader:
            await asyncio.sleep(0.2)
            assert reader.heard == []
            server.start()
            assert await reader.until(2) == [1, 2]


async def test_purged_messages_are_reported_gone(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, *range(1, 8))
        await bus.streams.purge(NAME, before=5)
        async with follow(bus, 2) as reader:
            assert await reader.until(4) == [(3, 4), 5, 6, 7]
        await bus.streams.purge(NAME, before=8)
        async with follow(bus, 2) as reader:
            await reader.until(1)
            await _fill(bus, 8)
            assert await reader.until(2) == [(3, 7), 8]


async def test_a_purge_under_a_reader_is_reported_too(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, *range(1, 2001))
        async with aclosing(bus.streams.follow(NAME, 0)) as items:
            first = await anext(items)
            await bus.streams.purge(NAME, before=1990)
            heard = [first]
            async for item in items:
                heard.append(item)
                if isinstance(item, Message) and item.seq == 2000:
                    break
        covered: list[int] = []
        for item in heard:
            covered += [item.seq] if isinstance(item, Message) else range(item.first, item.last + 1)
        assert covered == list(range(1, 2001))
        assert any(isinstance(item, Gone) for item in heard)


async def test_a_message_deleted_in_the_middle_is_reported_gone(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, *range(1, 8))
        for seq in (3, 5, 6):
            await bus.streams._call(f"STREAM.MSG.DELETE.{NAME}", {"seq": seq})
        async with follow(bus, 0) as reader:
            assert await reader.until(6) == [1, 2, (3, 3), 4, (5, 6), 7]
        assert await bus.streams.message(NAME, 3) is None


async def test_a_stream_that_ends_before_the_reader_is_no_continuation(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, 1, 2)
        with pytest.raises(Broken) as broken:
            async with aclosing(bus.streams.follow(NAME, 5)) as items:
                await asyncio.wait_for(anext(items), 20)
        assert broken.value.code == "bus.rolled_back"


@pytest.mark.parametrize("refilled", [0, 2, 9])
async def test_a_stream_made_anew_is_not_taken_for_the_old_one(
    server: NatsServer, refilled: int
) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        token = (await bus.streams.state(NAME)).token
        await _fill(bus, 1, 2, 3)
        async with follow(bus, 0) as reader:
            await reader.until(3)
            await bus.streams._call(f"STREAM.DELETE.{NAME}", {})
            await _stream(bus)
            await _fill(bus, *range(1, refilled + 1))
            await eventually(reader.task.done)
            error = reader.task.exception()
            assert isinstance(error, Broken)
            assert error.code in {"bus.rolled_back", "bus.10059"}  # seen before it was there again
            assert reader.numbers() == [1, 2, 3]
        assert (await bus.streams.state(NAME)).token != token


async def test_a_stream_that_is_not_there_is_said_at_once(server: NatsServer) -> None:
    async with server.bus() as bus:
        with pytest.raises(Broken, match="not found"):
            async with aclosing(bus.streams.follow("NONE", 0)) as items:
                await asyncio.wait_for(anext(items), 20)


async def test_a_stream_is_the_same_after_a_restart_and_made_only_once(server: NatsServer) -> None:
    async with server.bus() as bus, server.bus() as other:
        states = await asyncio.gather(
            *(b.streams.ensure(NAME, ["s.>"], 10_000_000) for b in (bus, other) * 3)
        )
        assert len({state.token for state in states}) == 1
        await _fill(bus, 1, 2)
        before = await bus.streams.state(NAME)
        server.kill()
        await eventually(lambda: not bus._client.is_connected)
        server.start()
        await eventually(lambda: bus._client.is_connected)
        assert await bus.streams.state(NAME) == before
        last = await bus.streams.last_of(NAME, "s.x")
        assert last is not None
        assert last.seq == 2
        assert await bus.streams.last_of(NAME, "s.y") is None


async def test_a_reader_that_stops_leaves_nothing_behind(server: NatsServer) -> None:
    async with server.bus() as bus:
        await _stream(bus)
        await _fill(bus, 1)
        before = len(bus._client._subs)
        for _ in range(3):
            async with follow(bus, 0) as reader:
                await reader.until(1)
        assert len(bus._client._subs) == before
