"""Facts survive their keeper: each is kept once, in order, however often it dies."""

import asyncio
import random

from lineshaft.core.facts import Fact
from lineshaft.rooms.history.store import FactStore
from tests.crash.site import Site, until


def _fact(number: int) -> Fact:
    return Fact("link.gap", number, f"source{number % 3}", {"from": number, "to": number + 5})


async def test_facts_are_kept_once_across_kills(site: Site) -> None:
    dice, told = random.Random(5), 0
    store = FactStore(site.engine)
    for _ in range(4):
        keeper = site.writer(keeper=True)
        kept = len(store.find(limit=5000))
        for _ in range(40):
            await site.bus.tell(_fact(told))
            told += 1
        await until(lambda at_least=kept: len(store.find(limit=5000)) > at_least)
        await asyncio.sleep(dice.uniform(0, 0.05))
        keeper.kill()
    await site.bus.tell(_fact(0))  # said again: the bus knows it
    facts = await site.facts("link.gap")
    assert [fact.at for fact in facts] == list(range(told))


async def test_a_fact_said_again_later_is_known(site: Site) -> None:
    fact = _fact(1)
    for again in ("a", "b"):  # another message id: the bus takes it for another message
        await site.bus._store("ls.t.fact.link.gap", fact.to_json(), {"Nats-Msg-Id": again})
    await site.bus.tell(_fact(2))
    assert await site.facts("link.gap") == [fact, _fact(2)]


async def test_facts_are_found_by_kind_subject_and_time(site: Site) -> None:
    for number in range(0, 30, 3):
        await site.bus.tell(_fact(number))
    await site.bus.tell(Fact("task.started", 12, "source1"))
    await site.facts("link.gap")
    store = FactStore(site.engine)
    found = store.find(kinds=["link.gap"], start=10, end=16)
    assert [fact.at for fact in found] == [15, 12, 9, 6]  # each lasts five
    assert [fact.kind for fact in store.find(subject="source1")] == ["task.started"]
    assert [fact.at for fact in store.find(kinds=["link.gap"], limit=2)] == [27, 24]


async def test_a_second_keeper_ends_the_first(site: Site) -> None:
    first = site.writer(keeper=True)
    await site.bus.tell(_fact(1))
    store = FactStore(site.engine)
    await until(lambda: len(store.find()) == 1)
    await site.facts("link.gap")  # runs another keeper for a moment
    await site.bus.tell(_fact(2))
    assert await first.ended() == 3
    assert len(await site.facts("link.gap")) == 2
