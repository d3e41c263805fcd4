"""A paused writer beside a new one: what it does after its sleep is refused and leaves no trace."""

import signal

import pytest

from tests.crash.site import Site
from tests.crash.writer_child import LEASE_LOST


@pytest.mark.parametrize("step", ["written", "renamed"])
async def test_a_writer_that_slept_through_its_replacement_is_refused(
    site: Site, step: str
) -> None:
    zombie = site.writer(step=step, at=3, signal=signal.SIGSTOP)
    async with site.publishing():
        await zombie.stopped()
    heir = site.writer()
    await site.publish(20)
    await site.stored()
    before = site.row().last
    zombie.send(signal.SIGCONT)
    async with site.publishing():  # the zombie may have to look up from its queue
        assert await zombie.ended() == LEASE_LOST
    await site.stored()
    assert site.row().last.position > before.position
    heir.send(signal.SIGTERM)
    assert await heir.ended() == 0
    await site.check_reader()
    site.check_files()


async def test_a_writer_that_slept_between_commit_and_purge_does_no_harm(site: Site) -> None:
    zombie = site.writer(step="committed", at=2, signal=signal.SIGSTOP)
    async with site.publishing():
        await zombie.stopped()
    heir = site.writer()
    await site.publish(20)
    await site.stored()
    zombie.send(signal.SIGCONT)
    async with site.publishing():
        assert await zombie.ended() == LEASE_LOST
    heir.send(signal.SIGTERM)
    assert await heir.ended() == 0
    await site.check_reader()
    site.check_files()
