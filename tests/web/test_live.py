"""The live stream: conflated, resumable, honest about what is stored."""

import asyncio
import itertools

import httpx
import pytest

from lineshaft.clock import now_us
from lineshaft.core.facts import Fact
from tests.web.conftest import Feed, House, made
from tests.web.page import open_page

SIGNALS = [made(f"live-{number}") for number in range(5)]


@pytest.fixture
def sids(house: House) -> list[int]:
    return house.register(*SIGNALS)


async def put(feed: Feed, sid: int, value: float) -> int:
    ts = now_us()
    await feed.put(sid, [(ts, value, 0)])
    return ts


async def test_the_first_event_holds_the_last_value_of_all_that_was_asked(
    house: House, feed: Feed, sids: list[int]
) -> None:
    stamps = {sid: await put(feed, sid, sid + 0.5) for sid in sids}
    await feed.wait()
    async with open_page(house, *sids[:3], 2_000_000_000) as page:
        first = await page.wait("values")
        assert first.rows() == {sid: (stamps[sid], sid + 0.5, 0) for sid in sids[:3]}
        assert first.number == first.data["seq"] >= feed.number
        await page.wait("beat")
        assert page.named("values")[0] is first


async def test_afterwards_only_changes_come(house: House, feed: Feed, sids: list[int]) -> None:
    for sid in sids:
        await put(feed, sid, 1)
    await feed.wait()
    async with open_page(house, *sids[:3]) as page:
        await page.wait("values", lambda event: len(event.rows()) == 3)
        ts = await put(feed, sids[1], 7)
        await put(feed, sids[4], 8)  # nobody asked
        event = await page.wait("values", lambda event: 0 < len(event.rows()) < 3)
        assert event.rows() == {sids[1]: (ts, 7, 0)}
        await put(feed, sids[2], 9)
        await page.wait("values", lambda event: sids[2] in event.rows() and len(event.rows()) == 1)
        shown = {sid for event in page.named("values") for sid in event.rows()}
        assert shown == set(sids[:3])


async def test_fast_changes_are_conflated_and_the_newest_is_shown(
    house: House, feed: Feed, sids: list[int]
) -> None:
    async with open_page(house, sids[0]) as page:
        await page.wait("values")
        loop = asyncio.get_running_loop()
        began, value = loop.time(), 0
        while loop.time() < began + 2:
            value += 1
            await put(feed, sids[0], value)
        last = await page.wait("values", lambda e: e.rows().get(sids[0], (0, 0, 0))[1] == value)
        events = [e for e in page.named("values") if e.rows()][1:]
        assert value > 3 * len(events), "it was too slow to prove anything"
        assert 5 <= len(events) <= 10 * (last.at - began) + 2
        numbers = [event.number for event in events]
        assert all(a is not None and b is not None and a < b
                   for a, b in itertools.pairwise(numbers))  # fmt: skip


async def test_a_page_that_comes_back_gets_what_changed_since(
    house: House, feed: Feed, sids: list[int]
) -> None:
    for sid in sids:
        await put(feed, sid, 1)
    await feed.wait()
    async with open_page(house, *sids) as page:
        seen = (await page.wait("values")).number
    ts = await put(feed, sids[3], 33)
    await feed.wait()
    async with open_page(house, *sids, last_event_id=seen) as page:
        first = await page.wait("values")
        assert first.rows() == {sids[3]: (ts, 33, 0)}
        seen = first.number
    async with open_page(house, *sids, last_event_id=seen) as page:
        assert (await page.wait("values")).rows() == {}


@pytest.mark.parametrize("number", ["99999999999999999999", "x", "-1", "²", "0"])
async def test_a_number_of_another_stream_brings_everything(
    house: House, feed: Feed, sids: list[int], number: str
) -> None:
    for sid in sids:
        await put(feed, sid, 1)
    await feed.wait()
    headers = {"Authorization": f"Bearer {house.key}", "Last-Event-ID": number.encode("latin-1")}
    url = f"{house.url}/api/v1/live?sid={sids[0]},{sids[1]}"
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", url, headers=headers) as got,
    ):
        assert got.status_code == 200
        async for line in got.aiter_lines():
            if line.startswith("data: ") and '"seq"' in line:
                assert f'"sid":[{sids[0]},{sids[1]}]' in line
                break


async def test_a_beat_comes_each_second_and_facts_as_they_happen(
    house: House, feed: Feed, sids: list[int]
) -> None:
    async with open_page(house) as page:
        await page.wait("beat")
        fact = Fact("test.happened", now_us(), "subject", {"n": 1}, "cause")
        await feed.bus.tell(fact)
        got = await page.wait("fact", lambda event: event.data["id"] == fact.id)
        assert got.data == {"id": fact.id, "kind": "test.happened", "at": fact.at,
                            "subject": "subject", "body": {"n": 1}, "cause": "cause"}  # fmt: skip
        assert got.number is None
        await asyncio.sleep(3.2)  # what is measured is time itself
        beats = [event.at for event in page.named("beat")]
        pauses = [b - a for a, b in itertools.pairwise(beats)]
        assert len(pauses) >= 2 and 0.8 < sum(pauses) / len(pauses) < 1.8


async def test_the_sources_come_at_the_start_and_when_they_change(
    house: House, feed: Feed, sids: list[int]
) -> None:
    async with open_page(house, *sids) as page:
        first = await page.wait("sources")
        assert first.data == {"sources": house.get("sources")["sources"]}
        await page.wait("beat", lambda event: event.at > first.at + 2)
        assert len(page.named("sources")) == 1, "nothing changed"


async def test_the_page_learns_when_what_it_shows_is_stored(
    house: House, feed: Feed, sids: list[int]
) -> None:
    async with open_page(house, *sids) as page:
        await page.wait("values")
        await put(feed, sids[0], 4711)
        shown = await page.wait("values", lambda e: e.rows().get(sids[0], (0, 0, 0))[1] == 4711)
        number = shown.data["seq"]
        kept = await page.wait("values", lambda event: event.data["stored"] >= number)
        assert kept.at >= shown.at


async def test_two_pages_do_not_disturb_each_other(
    house: House, feed: Feed, sids: list[int]
) -> None:
    async with open_page(house, sids[0]) as one, open_page(house, sids[1]) as two:
        await one.wait("values")
        await two.wait("values")
        await put(feed, sids[0], 100)
        await put(feed, sids[1], 200)
        await one.wait("values", lambda e: e.rows().get(sids[0], (0, 0, 0))[1] == 100)
        await two.wait("values", lambda e: e.rows().get(sids[1], (0, 0, 0))[1] == 200)
        assert all(sids[1] not in event.rows() for event in one.named("values"))
        assert all(sids[0] not in event.rows() for event in two.named("values"))


def test_ids_that_are_none_are_refused_in_words(house: House) -> None:
    for sid in ("x", "0", "-1", "2147483648", "1," * 10_001):
        answer = house.ask("GET", "live", sid=sid)
        assert (answer.status_code, answer.json()["code"]) == (400, "query.sid")
