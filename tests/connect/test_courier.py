"""The courier alone: Facts go before blocks, and what the server lost is declared."""

import asyncio
from typing import Any

import pytest

from lineshaft.core.errors import Broken
from lineshaft.core.facts import Fact
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.connect.courier import Courier
from lineshaft.rooms.connect.engine import Gap
from lineshaft.rooms.connect.model import SourceState
from tests.connect.test_engine import T0, rows


class Sinks:
    """Both sinks, which note the order of what comes."""

    def __init__(self) -> None:
        self.came: list[Any] = []
        self.trouble: list[Exception] = []

    async def publish(self, block: SampleBlock) -> int:
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble.pop()
        self.came.append(block)
        return len(self.came)

    async def tell(self, fact: Fact) -> None:
        await asyncio.sleep(0)
        self.came.append(fact)

    async def keep(self, source: str, gap: Gap) -> None:
        self.came.append(gap)


def make(sinks: Sinks) -> Courier:
    return Courier("s", sinks, sinks, sinks.keep, SourceState(), limit=100, margin=100_000)


async def test_a_gap_is_told_before_the_samples_after_it() -> None:
    sinks = Sinks()
    courier = make(sinks)
    courier.begin("process")
    courier.heard(rows([1, 2], [T0, T0], T0), initial=True)
    await courier.drain()
    assert sinks.came == [], "held until it is known what is missing"
    courier.settled(T0, [])
    courier.heard(rows([1], [T0 + 1], T0 + 1), initial=False)
    await courier.drain()
    courier.interrupted("link", "cause")
    courier.heard(rows([1, 2], [T0 + 9_000_000, T0], T0 + 9_000_000), initial=True)
    courier.settled(T0 + 9_000_000, [])
    await courier.drain()
    block, fact, gap, after = sinks.came
    assert len(block) == 3
    assert (fact.kind, fact.cause, gap.cause) == ("link.gap", "cause", "link")
    assert fact.body == {"source": "s", "from": gap.start, "to": gap.end, "cause": "link"}
    assert after.sid.tolist() == [1], "a value sent before is not sent again"


async def test_an_attempt_that_did_not_settle_counts_for_nothing() -> None:
    sinks = Sinks()
    courier = make(sinks)
    courier.heard(rows([1], [T0], T0), initial=True)
    courier.settled(T0, [])
    courier.heard(rows([1], [T0 + 1], T0 + 1), initial=False)
    courier.interrupted("link")
    courier.heard(rows([1], [T0 + 2_000_000], T0 + 2_000_000), initial=True)
    courier.interrupted("refused")
    courier.heard(rows([1], [T0 + 4_000_000], T0 + 4_000_000), initial=True)
    courier.settled(T0 + 4_000_000, [])
    await courier.drain()
    gaps = [one for one in sinks.came if isinstance(one, Gap)]
    assert [(g.start, g.end, g.cause) for g in gaps] == [
        (T0 + 1 - 100_000, T0 + 4_000_000, "refused")
    ]
    assert courier.waiting == 0


async def test_what_the_server_lost_is_declared() -> None:
    sinks = Sinks()
    courier = make(sinks)
    courier.heard(rows([1], [T0], T0), initial=True)
    courier.settled(T0, [])
    late = rows([1], [T0 + 700_000], T0 + 700_000)
    courier.overflowed(late)
    courier.heard(late, initial=False)
    await courier.drain()
    assert [one for one in sinks.came if isinstance(one, Gap)] == [
        Gap(T0, T0 + 700_000, "overflow")
    ]


async def test_trouble_other_than_a_full_stream_is_not_swallowed() -> None:
    sinks = Sinks()
    courier = make(sinks)
    courier.heard(rows([1], [T0], T0), initial=True)
    courier.settled(T0, [])
    sinks.trouble = [Broken("closed", code="bus.closed")]
    with pytest.raises(Broken):
        await courier.drain()
