"""A full disk: the writer says so, keeps running, and loses nothing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineshaft.rooms.history import writer as writer_module
from tests.crash.site import open_site, until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root, and outside a locked container, may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


@pytest.mark.long
@pytest.mark.parametrize("what", ["history", "records"])
async def test_a_full_disk_stops_nothing_for_ever(
    what: str, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_RETRY_S", 0.1)
    folder = tmp_path / "site"
    folder.mkdir()
    if what == "history":
        (folder / "history").symlink_to(small_disk)
    else:
        (folder / "records.sqlite").symlink_to(small_disk / "records.sqlite")
    async with open_site(folder) as site, site.following():
        async with site.writing(margin_gb=1, commit_s=0.05) as writer:
            await site.publish(3)
            await site.stored()
            filler = _fill(small_disk)
            before = site.row().last
            await site.publish(10)
            await until(lambda: "cannot" in writer.error)
            assert "Free disk space" in writer.error
            await site.publish(10)
            assert site.row().last == before
            await site.check_reader()  # readers go on: files and tail hold everything
            filler.unlink()
            await site.stored()
            assert writer.error == ""
            await site.publish(3)
            await site.stored()
        await site.check_reader()
        site.check_files()
