"""The disk under the data folder fills up: the platform says so, loses nothing that it accepted and
goes on by itself once there is room again, even where processes died meanwhile."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.platform import lineshaft, running, until
from tests.end_to_end.proof import Proof

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    options = ["-t", "tmpfs", "-o", "size=300m", "none", str(mount)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing fits any more; return the file that takes the room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return ballast


def test_a_full_disk_is_told_and_outlived(small_disk: Path) -> None:
    folder = small_disk / "data"
    often = {"LINESHAFT__HISTORY__COMMIT_S": "1", "LINESHAFT__BUS__MAX_GB": "0.1"}
    with running(folder, "--plant", "williams-otto", environ=often) as platform:
        platform.wait_connected()
        proof = Proof(platform)
        proof.wait_live()
        proof.note("disk full")
        ballast = fill(small_disk)
        notice = until("the trouble is told", lambda: platform.get("system")["notices"])
        assert any("disk space" in one for one in notice), notice
        pids = platform.family()
        for name in ("history", "web"):
            proof.note(f"kill {name}")
            os.kill(pids[name], signal.SIGKILL)
        time.sleep(10)  # long enough for whatever gives up to give up
        ballast.unlink()
        proof.note("room again")
        proof.wait_live()
        until("the trouble is over", lambda: platform.get("system")["notices"] == [])
        proof.check()
        assert platform.facts("link.gap") == [], "the connector had room for all of it"


def test_a_start_without_room_is_refused_in_a_sentence(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb") as file:
        file.write(bytes(150 << 20))
    done = lineshaft("demo", "--data", str(small_disk / "data"))
    assert done.returncode == 2
    assert "MB are free" in done.stderr and "Free at least 200 MB" in done.stderr
