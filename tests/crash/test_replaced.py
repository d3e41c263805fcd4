"""A stream made anew or restored from an older copy: a new epoch, told; nothing kept is lost."""

import shutil
import signal
from pathlib import Path

from tests.crash.numbers import ROWS
from tests.crash.site import STREAM, Site, until


async def _make_anew(site: Site) -> None:
    await site.bus.streams._call(f"STREAM.DELETE.{STREAM}", {})
    await site.bus.ensure_streams(1_000_000_000)


async def _restore(site: Site, copy: Path) -> None:
    """Put an older copy of the server's store in its place."""

    def swap() -> None:
        shutil.rmtree(site.folder / "bus")
        shutil.copytree(copy, site.folder / "bus")

    await site.restart_bus(swap)


async def _copy(site: Site, copy: Path) -> None:
    await site.restart_bus(lambda: shutil.copytree(site.folder / "bus", copy))


async def _told(site: Site) -> list[str]:
    facts = await site.facts("stream.replaced")
    return [fact.body["reason"] for fact in facts if fact.subject == STREAM]


async def _expect_all(site: Site) -> None:
    """Every number ever acknowledged is read once, though a file may hold one twice."""
    await site.stored()
    await site.check_reader()
    assert sorted(set(site.file_numbers())) == list(range(site.published * ROWS))


async def test_a_stream_made_anew_under_a_writer_opens_an_epoch(site: Site) -> None:
    writer = site.writer(margin_gb=1)
    await site.publish(30)
    await site.stored()
    await _make_anew(site)
    await site.publish(30)
    # The writer may end where it met no stream at all; the supervisor then starts it again.
    await until(lambda: writer.exit_code is not None or site.row().last.epoch == 2)
    site.writer(margin_gb=1)
    await _expect_all(site)
    assert site.row().last.epoch == 2
    assert await _told(site) == ["the stream was made anew"]


async def test_a_stream_made_anew_while_the_writer_was_away_opens_an_epoch(site: Site) -> None:
    writer = site.writer()
    await site.publish(30)
    await site.stored()
    writer.kill()
    await _make_anew(site)
    await site.publish(50)  # beyond the old position
    site.writer()
    await _expect_all(site)
    assert site.row().last.epoch == 2
    assert await _told(site) == ["the stream was made anew"]


async def test_a_stream_rolled_back_under_a_writer_opens_an_epoch(
    site: Site, tmp_path: Path
) -> None:
    writer = site.writer(margin_gb=1)
    await site.publish(20)
    await site.stored()
    await _copy(site, tmp_path / "copy")
    await site.publish(20)
    await site.stored()
    await _restore(site, tmp_path / "copy")
    await site.publish(1)
    await until(lambda: site.row().last.epoch == 2)
    await site.publish(9)
    await _expect_all(site)
    assert await _told(site) == ["the stream was rolled back"]
    assert writer.exit_code is None


async def test_a_stream_rolled_back_and_filled_again_is_noticed_by_its_ids(
    site: Site, tmp_path: Path
) -> None:
    writer = site.writer(margin_gb=1)
    await site.publish(20)
    await site.stored()
    await _copy(site, tmp_path / "copy")
    await site.publish(20)
    await site.stored()
    writer.kill()
    await _restore(site, tmp_path / "copy")
    await site.publish(40)  # other blocks under the numbers that were kept, and more
    site.writer(margin_gb=1)
    await _expect_all(site)
    assert site.row().last.epoch == 2
    assert await _told(site) == ["the stream was rolled back"]


async def test_a_writer_that_slept_through_the_roll_back_notices(
    site: Site, tmp_path: Path
) -> None:
    writer = site.writer(margin_gb=1)
    await site.publish(20)
    await site.stored()
    await _copy(site, tmp_path / "copy")
    await site.publish(20)
    await site.stored()
    writer.send(signal.SIGSTOP)
    await writer.stopped()
    await _restore(site, tmp_path / "copy")
    await site.publish(40)
    writer.send(signal.SIGCONT)
    await until(lambda: site.row().last.epoch == 2)
    await _expect_all(site)
    assert await _told(site) == ["the stream was rolled back"]


async def test_the_purge_of_an_old_epoch_leaves_a_new_stream_alone(site: Site) -> None:
    writer = site.writer(step="committed", at=2, signal=signal.SIGSTOP, margin_gb=0)
    await site.publish(1)
    await site.stored()
    await site.publish(10)
    await writer.stopped()
    await _make_anew(site)
    await site.publish(30)
    writer.send(signal.SIGCONT)
    await until(lambda: writer.exit_code is not None or site.row().last.epoch == 2)
    site.writer(margin_gb=1)
    await _expect_all(site)
    assert await site.facts("history.lost") == []
