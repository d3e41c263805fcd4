"""There and back: what was accepted before the backup is there, once, after the restore."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.backup.conftest import counting, numbers
from tests.end_to_end.platform import lineshaft, running, until
from tests.web.conftest import House, made


async def test_a_running_platform_is_backed_up_and_comes_back(
    house: House, sid: int, tmp_path: Path
) -> None:
    backup, folder = tmp_path / "backup", tmp_path / "new"
    async with counting(house, sid) as counter:
        await counter.put(40)
        before = counter.sent
        async with counter.flowing():
            done = await asyncio.to_thread(
                lineshaft, "backup", str(backup), "--data", str(house.folder)
            )
        assert done.returncode == 0, done.stderr
        assert "is a whole backup" in done.stdout
        sent = counter.sent
    done = await asyncio.to_thread(lineshaft, "restore", str(backup), "--data", str(folder))
    assert done.returncode == 0, done.stderr
    assert "every hash is that of the backup" in done.stdout
    assert "DATA_demo: epoch" in done.stdout
    settings = str(folder / "restored-settings.toml")
    with running(folder, "--config", settings, verb="up", kind=House) as again:
        assert isinstance(again, House)
        first = numbers(again, sid)
        # All that was accepted before it began, without hole or double, and nothing foreign.
        assert first == list(range(len(first)))
        assert before <= len(first) <= sent
        async with counting(again, sid) as counter:
            counter.first, counter.sent = await _line(again, sid), len(first)
            await counter.put(5)
        until("what came after is read too",
              lambda: numbers(again, sid) == list(range(len(first) + 250)))  # fmt: skip
        assert [f["kind"] for f in again.facts("backup.restored")] == ["backup.restored"]
        reasons = {f["body"]["reason"] for f in again.facts("stream.replaced")}
        assert reasons == {"restored from a backup"}


def _pull_the_plug(house: House) -> None:
    """End everything at once: nobody commits anything any more."""
    pids = house.family().values()
    os.kill(house.pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    house.kill()


async def _line(house: House, sid: int) -> int:
    found = await asyncio.to_thread(house.get, "raw", sid=str(sid), **{"from": 0}, format="json")
    return int(found["ts"][0])


@pytest.mark.long
async def test_a_stopped_platform_with_samples_in_the_bus_only(tmp_path: Path) -> None:
    folder, backup, new = tmp_path / "data", tmp_path / "b.tar", tmp_path / "new"
    environ = {"LINESHAFT__HISTORY__COMMIT_S": "600"}
    with running(folder, verb="up", environ=environ, kind=House) as house:
        assert isinstance(house, House)
        sid = house.register(made("count"))[0]
        async with counting(house, sid) as counter:
            await counter.put(10)
            done = await asyncio.to_thread(
                lineshaft, "backup", str(tmp_path / "flushed"), "--data", str(folder), "--json"
            )
            assert done.returncode == 0, done.stderr
            flushed = json.loads(done.stdout)
            # Ten minutes from a commit by itself: the writer was asked, and did it at once.
            assert (flushed["backup_rows"], flushed["backup_messages"]) == (500, 0)
            await counter.put(20)
        _pull_the_plug(house)
        until("all its processes are gone", lambda: not house.left())
        done = await asyncio.to_thread(
            lineshaft, "backup", str(backup), "--data", str(folder), "--with-secrets", "--json"
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["backup_messages"] >= 20
        done = await asyncio.to_thread(lineshaft, "backup", "--verify", str(backup))
        assert done.returncode == 0, done.stderr
        done = await asyncio.to_thread(
            lineshaft, "restore", str(backup), "--data", str(new), "--json"
        )
        assert done.returncode == 0, done.stderr
        key = (folder / "keys" / "platform.key").read_text()
    assert (new / "keys" / "platform.key").read_text() == key
    assert (new / "keys" / "platform.key").stat().st_mode & 0o777 == 0o600
    with running(new, verb="up", kind=House) as again:
        assert isinstance(again, House)
        until("all samples are there", lambda: numbers(again, sid) == list(range(1500)))
