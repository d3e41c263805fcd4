"""Compaction that dies at every step, or runs twice, loses no row and doubles none."""

import asyncio
import signal

import pytest

from lineshaft.core.errors import Broken
from lineshaft.rooms.history.compactor import Compactor
from lineshaft.rooms.history.engine.compaction import Job
from lineshaft.rooms.history.files import FileStore
from tests.crash.site import STREAM, Site, until

STEPS = ("compact-written", "compact-renamed", "compact-swapped")


async def _settle(site: Site) -> None:
    before = site.row().lease
    writer = site.writer(commit_rows=50_000)
    await until(lambda: site.row().lease != before)  # it has cleared away what nobody names
    await site.stored()
    await site.check_reader()
    writer.send(signal.SIGTERM)
    assert await writer.ended() == 0
    site.check_files()


async def test_a_compactor_killed_at_every_step_keeps_all_once(site: Site) -> None:
    for at, step in enumerate((*STEPS, *STEPS), 1):
        writer = site.writer(step=step, at=1 + at // 2, compact=True)
        async with site.publishing():
            assert await writer.ended() == -signal.SIGKILL
        await site.check_reader()
    await _settle(site)


async def test_readers_are_right_while_files_are_merged_under_them(site: Site) -> None:
    async with site.following():
        writer = site.writer(compact=True, commit_s=0.05)
        for _ in range(30):
            async with site.publishing():
                await asyncio.sleep(0.05)
            await site.check_reader()
        _, named = site.catalogue.files()
        assert any(file.rollup_size for file in named)
        writer.send(signal.SIGTERM)
        assert await writer.ended() == 0
    await _settle(site)


async def test_of_two_compactors_one_is_refused(site: Site) -> None:
    async with site.writing(commit_rows=100, margin_gb=1):
        await site.publish(12)
        await site.stored()
    lease, store = site.row().lease, FileStore(site.folder / "history", lambda _: None)
    _, named = site.catalogue.files()
    job = Job(named[0].day, tuple(f for f in named if f.day == named[0].day), absorbs=True)
    one, other = (Compactor(site.engine, STREAM, store, lease=lease) for _ in range(2))
    one.compact(job)
    with pytest.raises(Broken, match="replaced meanwhile") as refused:
        other.compact(job)
    assert refused.value.retryable
    site.catalogue.take_lease("another writer")
    _, named = site.catalogue.files()
    with pytest.raises(Broken, match="taken over"):
        one.compact(Job(named[0].day, (named[0],), absorbs=False))
    await _settle(site)


async def test_compaction_leaves_few_files_and_the_same_rows(site: Site) -> None:
    async with site.writing(commit_rows=40, margin_gb=1):
        await site.publish(60)
        await site.stored()
    before = site.read_numbers()
    writer = site.writer(compact=True)

    def merged() -> bool:
        _, named = site.catalogue.files()
        return all(file.rollup_size for file in named) and len(named) <= 4

    await until(merged)
    assert site.read_numbers() == before
    writer.send(signal.SIGTERM)
    assert await writer.ended() == 0
    await _settle(site)
