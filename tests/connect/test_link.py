"""The whole way, server to bus: values arrive, and the source comes back whatever happens."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineshaft.core.quality import bad, describe
from tests.connect.conftest import House, ServerProcess, open_house, prove_counts, until
from tests.connect.proxy import FaultProxy
from tests.support.nats import NatsServer

Servers = Callable[..., ServerProcess]


async def connected(house: House, source: str, seconds: float = 15) -> None:
    await until(lambda: house.state(source).link == "connected", seconds, f"{house.state(source)}")


async def lost(house: House, source: str, seconds: float = 10) -> None:
    await until(lambda: house.state(source).link != "connected", seconds, "the link is lost")


async def value(house: House, suffix: str, wanted: Callable[[Any, int], bool]) -> Any:
    async def look() -> Any:
        found = [row for row in await house.samples(suffix) if wanted(row[1], row[2])]
        return found[-1] if found else None

    return await until(look, 8, f"{suffix} as wanted")


async def test_values_reach_the_bus_with_their_stamps(house: House, plain: ServerProcess) -> None:
    source = await house.add(plain.endpoint)
    await connected(house, source)
    plain.do("write", name="Temperature", value=42.5, kind="Double")
    row = await value(house, "temperature", lambda v, q: v == 42.5)
    assert row[2] == 0
    assert abs(row[0] - time.time() * 1e6) < 3e6
    kinds = {fact.kind for fact in await house.facts()}
    assert {"source.added", "task.started", "link.connected"} <= kinds
    assert not await house.facts("link.gap"), "a first connection lacks nothing"
    listed = {s.signal.path: s.signal for s in house.directory.list()}
    temperature = listed["lineshaft/demo/a/b/mixer-1/temperature"]
    assert (temperature.unit, temperature.low, temperature.high) == ("Cel", -10, 150)
    assert (temperature.limit_low, temperature.limit_high) == (15, 95)
    assert temperature.writable and not listed["lineshaft/demo/a/b/mixer-1/slow"].writable
    assert listed["lineshaft/demo/a/b/mixer-1/state"].kind == "string"
    assert not [path for path in listed if "array" in path]


async def test_a_plants_speed_is_known_by_its_node_however_its_signal_is_called(
    house: House, plain: ServerProcess
) -> None:
    source, sid = await house.add(plain.endpoint), house.sid("slow")
    house.directory.change(sid, 1, {"path": "lineshaft/demo/a/b/c/renamed"})
    house.store.save(replace(house.store.get(source), speed="nsu=urn:test:plant;s=Slow"))
    house.service.apply()
    plain.do("write", name="Slow", value=60, kind="Float")
    await until(lambda: house.state(source).plant_speed == 60, 10, "the source declares it")


async def test_one_bad_value_never_drops_its_batch(house: House, plain: ServerProcess) -> None:
    source = await house.add(plain.endpoint)
    await connected(house, source)
    plain.do("write", name="Temperature", value="NaN", kind="Double")
    await value(house, "temperature", lambda v, q: describe(q) == "bad/not_a_number")
    plain.do("write", name="Slow", value=3.0, kind="Float", status=0x808C0000)
    assert (await value(house, "slow", lambda v, q: describe(q) == "bad/sensor"))[1] is None
    plain.do("write", name="Slow", value=4.0, kind="Float", status=0x40940000)
    await value(house, "slow", lambda v, q: (v, describe(q)) == (4, "uncertain/engineering_limits"))
    plain.do("write", name="Temperature", value="hot", kind="String")
    await value(house, "temperature", lambda v, q: describe(q) == "bad/type")
    plain.do("array", name="Temperature")
    plain.do("write", name="State", value="x", times=3_000_000, kind="String")
    row = await value(house, "state", lambda v, q: isinstance(v, str) and len(v) == 1000)
    assert describe(row[2]) == "uncertain/type"
    plain.do("write", name="State", value="läuft 运行", kind="String")
    await value(house, "state", lambda v, q: v == "läuft 运行")
    plain.do("write", name="Temperature", value=7, kind="Double", ahead_s=86400)
    row = await value(house, "temperature", lambda v, q: v == 7)
    assert describe(row[2]) == "uncertain/clock" and row[0] < (time.time() + 5) * 1e6
    plain.do("write", name="Temperature", value=20, kind="Double")
    await value(house, "temperature", lambda v, q: (v, q) == (20, 0))
    assert not await house.facts("link.lost")


@pytest.mark.parametrize(
    "fault",
    ["cut", "hole", *(pytest.param(f, marks=pytest.mark.long) for f in ("half_close", "refuse"))],
)
async def test_it_comes_back_and_declares_what_is_missing(
    house: House, counting: ServerProcess, fault: str
) -> None:
    async with FaultProxy(counting.port) as proxy:
        source = await house.add(f"opc.tcp://127.0.0.1:{proxy.port}")
        await connected(house, source)
        await until(lambda: house.state(source).samples > 10)
        began = time.time()
        if fault == "refuse":
            proxy.refuse(True)
        elif fault == "hole":
            proxy.hole(True)
        else:
            getattr(proxy, fault)()
        await lost(house, source)
        if fault == "refuse":
            await asyncio.sleep(1)
            proxy.refuse(False)
        if fault == "hole":
            proxy.hole(False)
            proxy.cut()
        await connected(house, source)
        outage = time.time() - began
        more = house.state(source).samples + 10
        await until(lambda: house.state(source).samples > more)
        await until(lambda: house.service._running[source].runner.waiting == 0)
    counts = await prove_counts(house, counting.log)
    assert counts.declared_s <= outage + 1
    assert [cause for _, _, cause in counts.gaps] == ["link"]
    gap = (await house.facts("link.gap"))[0]
    assert gap.cause == (await house.facts("link.lost"))[0].id


async def test_a_restarted_server_with_other_namespaces(
    house: House, servers: Servers, tmp_path: Path
) -> None:
    log = tmp_path / "counts"
    server = servers(count_log=str(log))
    source = await house.add(server.endpoint)
    await connected(house, source)
    await until(lambda: house.state(source).samples > 10)
    server.stop()
    await lost(house, source)
    server.options["namespaces_before"] = ["urn:new:one", "urn:new:two"]
    await asyncio.to_thread(server.start)
    await connected(house, source)
    server.do("write", name="Temperature", value=61.5, kind="Double")
    await value(house, "temperature", lambda v, q: v == 61.5)
    counts = await prove_counts(house, log)
    assert max(counts.stored) > 5 and counts.gaps
    assert len(house.directory.list()) == 5, "no signal was listed twice"


async def test_a_clock_that_jumps(house: House, servers: Servers, tmp_path: Path) -> None:
    log = tmp_path / "counts"
    server = servers(count_log=str(log))
    async with FaultProxy(server.port) as proxy:
        source = await house.add(f"opc.tcp://127.0.0.1:{proxy.port}")
        await connected(house, source)
        await until(lambda: house.state(source).samples > 10)
        server.do("clock", seconds=-3600)
        before = house.state(source).samples
        await until(lambda: house.state(source).samples > before + 5)
        began = time.time()
        server.do("clock", seconds=-7200)
        proxy.refuse(True)
        await lost(house, source)
        await asyncio.sleep(0.5)
        proxy.refuse(False)
        await connected(house, source)
        outage = time.time() - began
        before = house.state(source).samples
        await until(lambda: house.state(source).samples > before + 5)
        await until(lambda: house.service._running[source].runner.waiting == 0)
    counts = await prove_counts(house, log)
    # The outage is declared in both times of the clock that went back.
    assert counts.gaps and all((to - at) / 1e6 <= outage + 1 for at, to, _ in counts.gaps)
    assert counts.declared_s <= 2 * (outage + 1)


async def test_a_stop_takes_less_than_a_second_and_leaves_nothing(
    nats: NatsServer, plain: ServerProcess, tmp_path: Path
) -> None:
    before = set(asyncio.all_tasks())
    async with open_house(nats, tmp_path) as house:
        async with FaultProxy(plain.port) as proxy:
            source = await house.add(f"opc.tcp://127.0.0.1:{proxy.port}")
            await connected(house, source)
            proxy.hole(True)  # nobody answers the good-bye
            began = time.monotonic()
            await house.ask("change", id=source, enabled=False)
            await until(lambda: house.state(source).task == "stopped")
            assert time.monotonic() - began < 1.0
            await house.ask("change", id=source, enabled=True)
            await until(lambda: house.state(source).link == "connecting")
        began = time.monotonic()
        await house.stop()
        assert time.monotonic() - began < 1.5
        house._task = None
    await asyncio.sleep(0)
    assert set(asyncio.all_tasks()) - before == set()


async def test_switched_off_and_on_again(
    house: House, counting: ServerProcess, tmp_path: Path
) -> None:
    source = await house.add(counting.endpoint)
    await connected(house, source)
    await until(lambda: house.state(source).samples > 10)
    began = time.time()
    await house.ask("change", id=source, enabled=False)
    await until(lambda: house.state(source).task == "stopped")
    await asyncio.sleep(0.7)
    await house.ask("change", id=source, enabled=True)
    await connected(house, source)
    outage = time.time() - began
    before = house.state(source).samples
    await until(lambda: house.state(source).samples > before + 5)
    counts = await prove_counts(house, counting.log)
    assert [cause for _, _, cause in counts.gaps] == ["source_off"]
    assert counts.declared_s <= outage + 1
    assert counts.missing


async def test_items_that_are_gone_look_dead(house: House, servers: Servers) -> None:
    server = servers(many=3)
    source = await house.add(server.endpoint)
    await connected(house, source)
    server.stop()
    server.options["many"] = 2
    await asyncio.to_thread(server.start)
    row = await value(house, "v2", lambda v, q: q == bad(7))
    assert row[1] is None
    await connected(house, source)
    assert "1 of 8 nodes" in house.state(source).last_error["message"]
