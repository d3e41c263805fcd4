"""kill -9 at every step and at any moment: every acknowledged sample is kept exactly once."""

import asyncio
import random
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.crash.publisher_child import acknowledged
from tests.crash.publisher_child import run as run_publisher
from tests.crash.site import Site, until

STEPS = ("written", "renamed", "committed", "purged")


async def _die(site: Site, step: str, at: int, pause_s: float = 0.005, **order: int) -> None:
    """Let a writer live until its `at`-th `step` while blocks come in."""
    writer = site.writer(step=step, at=at, **order)
    async with site.publishing(pause_s):
        assert await writer.ended() == -signal.SIGKILL
    await site.check_reader()


async def _settle(site: Site) -> None:
    """Start a writer that stays, and hold everything against what was acknowledged."""
    writer = site.writer(commit_rows=50_000)
    await site.publish(1)  # what only this writer can store, so it is up before it is told to end
    await site.stored()
    await site.check_reader()
    writer.send(signal.SIGTERM)
    assert await writer.ended() == 0
    site.check_files()


async def test_a_writer_killed_at_every_step_keeps_all_once(site: Site) -> None:
    for at, step in enumerate(STEPS, 1):
        await _die(site, step, at)
    await _settle(site)


async def test_a_writer_and_a_bus_killed_at_any_moment_keep_all_once(site: Site) -> None:
    await _kill_at_random(site, random.Random(1), writers=3, buses=1)
    await _settle(site)


async def test_a_killed_publisher_goes_on_where_it_was_acknowledged(
    site: Site, tmp_path: Path
) -> None:
    await _kill_publishers(site, tmp_path / "note", random.Random(2), 3)


async def _kill_at_random(site: Site, dice: random.Random, writers: int, buses: int) -> None:
    order = ["writer"] * writers + ["bus"] * buses
    dice.shuffle(order)
    async with site.publishing():
        writer = site.writer()
        for victim in order:
            await asyncio.sleep(dice.uniform(0.05, 0.6))
            if victim == "bus":
                site.nats.kill()
                site.nats.start()
            else:
                writer.kill()
                writer = site.writer()
        writer.kill()


async def _kill_publishers(site: Site, note: Path, dice: random.Random, lives: int) -> None:
    writer = site.writer()
    for _ in range(lives):
        before = acknowledged(note)
        publisher = site.child(run_publisher, str(site.folder), str(note))
        await until(partial(_came_further, note, before))
        await asyncio.sleep(dice.uniform(0, 0.3))
        publisher.kill()
    site.published = acknowledged(note)
    await site.publish(3)  # the first may have reached the stream before: it is the same message
    await site.stored()
    await site.check_reader()
    writer.send(signal.SIGTERM)
    assert await writer.ended() == 0
    site.check_files()


def _came_further(note: Path, before: int) -> bool:
    return acknowledged(note) > before


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_many_kills_at_every_step(site: Site) -> None:
    for round_, step in enumerate(STEPS * 8):
        await _die(site, step, 1 + round_ % 5, 0.03, commit_rows=20_000)
    await _settle(site)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_many_kills_at_any_moment(site: Site, tmp_path: Path) -> None:
    dice = random.Random(3)
    for _ in range(4):
        await _kill_at_random(site, dice, writers=7, buses=2)
        await _settle(site)
