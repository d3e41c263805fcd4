"""The whole way, server to bus: values arrive, and the source comes back whatever happens."""

import time
from typing import Any

from tests.connect.conftest import House, until


async def test_values_reach_the_bus_with_their_stamps(house: House, servers: Any) -> None:
    server = await servers()
    source = await house.add(server.endpoint)
    await until(lambda: house.state(source).link == "connected", 10)
    await server.do("write", name="Temperature", value=42.5, kind="Double")
    rows = await until(lambda: _with(house, "temperature", 42.5), 5, "the written value on the bus")
    assert rows[-1][2] == 0
    assert abs(rows[-1][0] - time.time() * 1e6) < 3e6
    states = [fact.kind for fact in await house.facts()]
    assert {"source.added", "task.started", "link.connected"} <= set(states)
    assert not await house.facts("link.gap"), "a first connection lacks nothing"


async def _with(house: House, suffix: str, value: Any) -> Any:
    rows = await house.samples(suffix)
    return rows if any(row[1] == value for row in rows) else None
