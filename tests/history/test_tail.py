"""The tail on a real bus: it follows, falls behind, meets new epochs, and ends when told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lineshaft.bus.streams import end
from lineshaft.core.errors import Broken
from lineshaft.rooms.history.service import HistoryService, keep_history
from lineshaft.rooms.history.tail import Tail
from lineshaft.settings import History
from tests.crash.numbers import ROWS, SIDS
from tests.crash.site import STREAM, Site, open_site, until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


def _newest(site: Site, tail: Tail) -> list[tuple[int, int]]:
    rows = tail.newest_rows(SIDS)
    return list(zip(rows.sid.tolist(), rows.ts.tolist(), strict=True))


async def test_it_drops_what_is_stored_and_keeps_the_newest_values(site: Site) -> None:
    async with site.following(), site.writing(margin_gb=1):
        await site.publish(8)
        await asyncio.wait_for(site.tail.ready.wait(), 20)
        await site.stored()
        await until(lambda: not site.tail.blocks())
        assert site.tail.stored_rows == 8 * ROWS
        await site.check_reader()
        fresh = Tail(site.bus, site.engine, lambda _: None)
        task = asyncio.create_task(fresh.run())
        await asyncio.wait_for(fresh.ready.wait(), 20)
        assert _newest(site, fresh) == _newest(site, site.tail)
        await end(task)


async def test_a_tail_that_fell_behind_the_purge_starts_again_from_the_catalogue(
    site: Site,
) -> None:
    async with site.writing(margin_gb=1):
        await site.publish(4)
        await site.stored()
        task = asyncio.create_task(site.tail.run())
        await asyncio.wait_for(site.tail.ready.wait(), 20)
        await site.restart_bus()  # the tail notices only after a silence
        await site.publish(6)
        await site.stored()
        await site.bus.streams.purge(STREAM, before=10)
        await site.publish(1)
        await until(lambda: len(site.read_numbers()) == 11 * ROWS)
        rows = site.reader.raw(SIDS, 0, 1 << 62)
        newest = [(sid, int(rows.ts[rows.sid == sid].max())) for sid in SIDS]
        await until(lambda: _newest(site, site.tail) == newest)
        await end(task)


async def test_a_tail_waits_for_the_first_writer_and_outlives_the_stream(site: Site) -> None:
    async with site.following():
        await site.publish(2)
        await asyncio.sleep(0.1)
        assert not site.tail.ready.is_set()
        async with site.writing(margin_gb=1):
            await asyncio.wait_for(site.tail.ready.wait(), 20)
            await site.check_reader()
        await site.bus.streams._call(f"STREAM.DELETE.{STREAM}", {})
        await site.bus.ensure_streams(1_000_000_000)
        await site.publish(2)
        async with site.writing(margin_gb=1):
            await site.check_reader()
        assert [held.seq >> 40 for held in site.tail.blocks()] in ([2, 2], [])


async def test_an_answer_waits_until_the_tail_has_what_was_accepted_before_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.writing(margin_gb=1, commit_s=60):
        await site.publish(60)
        fresh = Tail(site.bus, site.engine, lambda _: None)
        service = HistoryService(site.bus, site.engine, site.folder / "history", fresh)
        asked = [
            asyncio.ensure_future(service.raw(SIDS, 0, 1 << 62, 1_000_000)),
            asyncio.ensure_future(service.last(SIDS)),
        ]
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in asked)
        task = asyncio.create_task(fresh.run())
        rows, newest = await asyncio.gather(*asked)
        assert len(rows) == 60 * ROWS
        assert int(newest.ts.max()) == int(rows.ts.max())
        await end(task)
    monkeypatch.setattr("lineshaft.rooms.history.service._CATCH_UP_S", 0.1)
    behind = Tail(site.bus, site.engine, lambda _: None)
    with pytest.raises(Broken, match="still being read"):
        await HistoryService(site.bus, site.engine, site.folder / "history", behind).last(SIDS)


async def test_the_service_keeps_samples_and_facts_until_told_to_stop(site: Site) -> None:
    shown: list[dict[str, object]] = []
    await site.bus.watch("history", lambda _, state: shown.append(dict(state)))
    stop = asyncio.Event()
    settings = History(1000, 0.1)
    task = asyncio.create_task(
        keep_history(site.bus, site.engine, site.folder / "history", settings, dict, stop)
    )
    await site.publish(5)
    await site.stored()
    await until(lambda: any(state["stored_rows"] == 5 * ROWS for state in shown))
    stop.set()
    await asyncio.wait_for(task, 20)
    site.check_files()


async def test_a_service_that_was_replaced_ends_with_the_reason(site: Site) -> None:
    stop = asyncio.Event()
    settings = History(1000, 0.05)
    task = asyncio.create_task(
        keep_history(site.bus, site.engine, site.folder / "history", settings, dict, stop)
    )
    await site.publish(1)
    await site.stored()
    site.catalogue.take_lease("another")
    await site.publish(1)
    async with site.publishing():
        with pytest.raises(Broken, match="taken over"):
            await asyncio.wait_for(task, 20)


async def test_followers_always_end_when_cancelled(site: Site) -> None:
    await site.publish(1)
    async with site.publishing(0):
        for pause in range(60):
            follower = asyncio.create_task(_drain(site))
            await asyncio.sleep(pause / 5000)
            await asyncio.wait_for(end(follower), 5)
    await asyncio.sleep(0.2)
    info = await site.bus.streams._call(f"STREAM.INFO.{STREAM}", {})
    # Only one that was being made at that moment may be left on the server for its minute.
    assert info["state"]["consumer_count"] < 10


async def _drain(site: Site) -> None:
    async for _ in site.bus.streams.follow(STREAM, 0):
        await asyncio.sleep(0)
