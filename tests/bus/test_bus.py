"""The bus against a real nats-server: who gets in, what an acknowledgement means, questions."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import numpy as np
import pytest
from tests.support.nats import NatsServer, eventually

from lineshaft.bus import Bus, BusAccess
from lineshaft.bus.client import data_stream, decode_block
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.samples import SampleBlock

ARRIVAL = 1_700_000_000_000_000
DATA = data_stream("t")


def block(number: int, rows: int = 10, text: str | None = None) -> SampleBlock:
    n = np.arange(rows)
    return SampleBlock.from_columns(
        n + 1, np.full(rows, ARRIVAL + number), n + number / 8, np.zeros(rows, np.int32),
        s=None if text is None else [text] * rows, origin="o", arrival=ARRIVAL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as running:
        yield running


# --- who gets in ---------------------------------------------------------------------------------


async def _try_to_connect(server: NatsServer, **credentials: str) -> None:
    client = await nats.connect(
        server.access.url, allow_reconnect=False, connect_timeout=5, **credentials
    )
    await client.flush()
    await client.close()


async def test_nobody_gets_in_without_the_password(server: NatsServer) -> None:
    await _try_to_connect(server, user="platform", password=server.access.password)
    for credentials in ({}, {"user": "platform", "password": "x"}, {"user": "platform"},
                        {"user": "plant", "password": server.access.password},
                        {"user": "other", "password": server.access.password}):  # fmt: skip
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            await _try_to_connect(server, **credentials)


def test_passwords_are_long_new_at_each_start_and_private(tmp_path: Path) -> None:
    one, two = NatsServer(tmp_path / "1"), NatsServer(tmp_path / "1")
    words = [user.password for s in (one, two) for user in s.users.values()]
    assert len(set(words)) == 4
    assert min(map(len, words)) >= 32
    for user in one.users.values():
        assert user.password not in repr(user) + str(user)
    for file in (tmp_path / "1" / "run").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    assert BusAccess.read(tmp_path / "1" / "run" / "bus-plant.json") == two.users["plant"]


def test_it_listens_on_loopback_only(server: NatsServer) -> None:
    conf = json.loads((server.folder / "run" / "nats.conf").read_text("utf-8"))
    assert conf["host"] == "127.0.0.1"
    assert conf["jetstream"]["sync_interval"] == "always"
    wanted = f":{server.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    lines += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    listening = {x[1].split(":")[0] for x in lines if x[3] == "0A" and x[1].endswith(wanted)}
    assert listening == {"0100007F"}


async def test_a_data_folder_of_any_name_will_do(tmp_path: Path) -> None:
    with NatsServer(tmp_path / '工厂 "1" $HOME') as server:
        async with server.bus() as bus:
            await bus.ensure_streams(10_000_000)
            assert await bus.publish(block(1)) == 1
    assert list((tmp_path / '工厂 "1" $HOME' / "bus").rglob("*.blk"))


async def test_the_plant_may_answer_and_nothing_else(server: NatsServer) -> None:
    heard: list[str] = []
    refused: list[str] = []

    async def note(message: Any) -> None:
        heard.append(message.subject)

    async def complain(error: Exception) -> None:
        refused.append(str(error))

    async with server.bus() as platform, server.bus("plant") as plant:
        await platform.ensure_streams(10_000_000)
        await plant.serve("plant", "panel", _echo)
        assert await platform.ask("plant", "panel", {"speed": 60}) == {"speed": 60}

        user = server.users["plant"]
        raw = await nats.connect(
            user.url, user=user.user, password=user.password, error_cb=complain
        )
        for subject in (">", "ls.t.data.>", "_INBOX.>", "ls.t.state.>", "ls.t.rpc.connect.x"):
            await raw.subscribe(subject, cb=note)
        jetstream = (f"$JS.API.STREAM.DELETE.{DATA}", f"$JS.API.STREAM.MSG.GET.{DATA}")
        own = ("ls.t.data.o", "ls.t.fact.link.lost", "_INBOX.x", "ls.t.rpc.plant.panel")
        for subject in jetstream + own:
            await raw.publish(subject, b"{}", reply="_INBOX.x")
        await raw.flush()
        await eventually(lambda: len(refused) == 11)
        await platform.publish(block(1))
        await platform.tell(Fact("link.lost", 1, "o"))
        await platform.ask("plant", "panel", {})
        await raw.flush()
        await raw.close()
        assert heard == []
        assert (await platform.streams.state(DATA)).last == 1
        assert (await platform.streams.state("FACT_t")).last == 1


# --- what an acknowledgement means --------------------------------------------------------------


async def test_publish_returns_the_number_of_what_is_stored(fresh: NatsServer) -> None:
    async with fresh.bus() as bus:
        await bus.ensure_streams(100_000_000)
        sent = [block(n, text="on" if n % 2 else None) for n in range(5)]
        assert [await bus.publish(b) for b in sent] == [1, 2, 3, 4, 5]
        for seq, b in enumerate(sent, 1):
            message = await bus.streams.message(DATA, seq)
            assert message is not None
            assert message.id == b.message_id(b.encode())
            back = decode_block(message.data, message.headers)
            assert (back.batch, back.origin, back.arrival) == (b.batch, "o", ARRIVAL)
            assert message.headers["Ls-Count"] == "10"
            assert message.headers["Ls-T1"] == str(ARRIVAL + seq - 1)


async def test_a_resend_is_recognised_even_after_a_kill(
    fresh: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lineshaft.bus.client._ACK_S", 0.5)
    async with fresh.bus() as bus:
        await bus.ensure_streams(100_000_000)
        first = await bus.publish(block(1))
        assert await bus.publish(block(1)) == first
        fresh.kill()
        fresh.start()
        assert await bus.publish(block(1)) == first
        assert await bus.publish(block(2)) == first + 1
        fact = Fact("link.lost", 5, "o", {"a": 1})
        await bus.tell(fact)
        await bus.tell(fact)
        assert (await bus.streams.state("FACT_t")).last == 1
        assert (await bus.streams.state(DATA)).last == first + 1


async def test_a_full_stream_refuses_and_keeps_what_it_has(fresh: NatsServer) -> None:
    async with fresh.bus() as bus:
        await bus.ensure_streams(300_000)
        last = 0
        with pytest.raises(Broken) as broken:
            for n in range(100):
                last = await bus.publish(block(n, rows=1000))
        assert broken.value.code == "bus.full"
        assert "bus.max_gb" in str(broken.value)
        state = await bus.streams.state(DATA)
        assert (state.first, state.last) == (1, last)
        assert last > 5
        await bus.streams.purge(DATA, before=last)
        assert await bus.publish(block(200, rows=1000)) == last + 1


async def test_a_block_too_big_for_the_bus_is_refused_not_repeated(server: NatsServer) -> None:
    async with server.bus() as bus:
        await bus.ensure_streams(100_000_000)
        with pytest.raises(Refused) as refused:
            async with asyncio.timeout(20):
                await bus.publish(block(0, rows=1, text="x" * 9_000_000))
        assert refused.value.code == "bus.size"
        assert "8388608" in str(refused.value)


async def test_a_closed_connection_says_so(server: NatsServer) -> None:
    async with server.bus() as bus:
        await bus.ensure_streams(100_000_000)
        await bus.close()
        with pytest.raises(Broken) as broken:
            await bus.publish(block(1))
        assert broken.value.code == "bus.closed"


async def test_what_nobody_can_read_is_kept_byte_for_byte(fresh: NatsServer) -> None:
    async with fresh.bus() as bus:
        await bus.ensure_streams(100_000_000)
        await bus.quarantine("DATA_t:7", b"\x00junk", {"Ls-Origin": "o"})
        message = await bus.streams.message("QUARANTINE_t", 1)
        assert message is not None
        assert (message.data, message.id, message.headers["Ls-Origin"]) == (
            b"\x00junk", "DATA_t:7", "o",
        )  # fmt: skip


@pytest.mark.parametrize(
    "headers", [{}, {"Ls-Origin": "o"}, {"Ls-Origin": "o", "Ls-Arrival": "soon"}]
)
def test_a_block_message_without_its_headers_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        decode_block(block(1).encode(), headers)
    assert refused.value.code == "block.header"


# --- questions and passing states ---------------------------------------------------------------


async def _echo(body: Any) -> Any:
    return dict(body)


async def test_a_question_is_answered_or_refused(server: NatsServer) -> None:
    async def strict(body: Any) -> Any:
        raise Refused("no such speed", hint="Use 1", code="plant.speed")

    async def broken(body: Any) -> Any:
        raise KeyError("x")

    async def odd(body: Any) -> Any:
        return {"bytes": b"not JSON"}

    async with server.bus() as one, server.bus() as other:
        for handler in (strict, broken, odd):
            await one.serve("p", handler.__name__, handler)
        await one.serve("p", "echo", _echo)
        assert await other.ask("p", "echo", {"a": [1, None]}) == {"a": [1, None]}
        with pytest.raises(Refused) as refused:
            await other.ask("p", "strict", {})
        assert refused.value.as_dict() == {
            "code": "plant.speed", "message": "no such speed", "hint": "Use 1",
        }  # fmt: skip
        for verb in ("broken", "odd"):
            with pytest.raises(Refused, match=verb):
                await other.ask("p", verb, {}, timeout_s=5)
        with pytest.raises(Broken) as silent:
            await other.ask("nobody", "echo", {}, timeout_s=2)
        assert silent.value.code == "process.silent"
        assert await asyncio.gather(*(other.ask("p", "echo", {"n": n}) for n in range(20))) == [
            {"n": n} for n in range(20)
        ]


async def test_states_reach_who_watches(server: NatsServer) -> None:
    heard: list[tuple[str, Any]] = []
    async with server.bus() as one, server.bus() as other:
        await other.watch(">", lambda topic, state: heard.append((topic, dict(state))))
        await one._client.publish("ls.t.state.broken", b"{")
        await one.show("source.a", {"rate": 1})
        await eventually(lambda: len(heard) == 1)
        assert heard == [("source.a", {"rate": 1})]


async def test_a_connection_waits_for_a_server_that_comes_late(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    task = asyncio.create_task(Bus.connect(server.access, "t", "test"))
    await asyncio.sleep(0.2)
    assert not task.done()
    server.start()
    try:
        bus = await asyncio.wait_for(task, 20)
        await bus.ensure_streams(10_000_000)
        await bus.close()
    finally:
        server.kill()


async def test_waiting_for_the_server_costs_little(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    task = asyncio.create_task(Bus.connect(server.access, "t", "test"))
    spent = time.process_time()
    await asyncio.sleep(1)
    spent = time.process_time() - spent
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert spent < 0.25
