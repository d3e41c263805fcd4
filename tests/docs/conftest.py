"""What the pages tell is tried on the doors' platform, with a reactor like the demo's."""

from collections.abc import AsyncIterator

import pytest

from lineshaft.clock import now_us
from lineshaft.core.signals import Kind, Signal
from tests.web.conftest import Feed, House, feed, house

__all__ = ["feed", "house"]

REACTOR = "lineshaft/demo/chem/tep/reactor"


@pytest.fixture
async def reactor(house: House, feed: Feed) -> AsyncIterator[dict[str, int]]:
    """A reactor with ten minutes of samples: sids by name."""
    made = [Signal(0, f"{REACTOR}/{name}", name, Kind.FLOAT, unit, source="demo")
            for name, unit in (("pressure", "kPa"), ("temperature", "Cel"))]  # fmt: skip
    sids = {"pressure": 0, "temperature": 0} | dict(
        zip(("pressure", "temperature"), house.register(*made), strict=True)
    )
    start = now_us() - 600_000_000
    for name, sid in sids.items():
        level = 2700.0 if name == "pressure" else 120.0
        await feed.put(sid, [(start + at * 1_000_000, level + at % 7, 0) for at in range(600)])
    await feed.wait()
    yield sids
