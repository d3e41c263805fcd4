"""Looking round servers: many nodes, circles, units; and the same tree the same way every time."""

import time
from typing import Any

from tests.connect.conftest import House
from tests.connect.test_link import Servers, connected


async def test_two_thousand_nodes_and_a_circle(house: House, servers: Servers) -> None:
    server = servers(many=2000, cycle=True)
    plain: dict[str, Any] = {"endpoint": server.endpoint, "policy": "None", "mode": "None"}
    began = time.monotonic()
    found = await house.ask("browse", **plain)
    took = time.monotonic() - began
    print(f"2,005 variables browsed in {took:.2f} s")
    assert took < 10
    assert len(found["nodes"]) == 2005 and not found["truncated"]
    paths = [node["path"] for node in found["nodes"]]
    assert len(set(paths)) == 2005 and "area-7/v700" in paths
    assert found["nodes"] and all(n["node_id"].startswith("nsu=urn:test:plant;s=") for n in
                                  found["nodes"])  # fmt: skip
    again = await house.ask("browse", **plain)
    assert [n["path"] for n in again["nodes"]] == paths
    source = await house.add(server.endpoint)
    await connected(house, source)
    assert house.state(source).samples >= 2005
    assert house.state(source).last_error is None
