"""What is called a backup is whole: a cut, changed or half-made one is refused, nothing written."""

import asyncio
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.keep.backup import make_backup
from lineshaft.keep.manifest import MANIFEST, Manifest
from lineshaft.keep.restore import restore_backup
from lineshaft.keep.verify import verify_backup
from lineshaft.plan import Plan
from tests.backup.conftest import counting, numbers
from tests.end_to_end.platform import lineshaft, running
from tests.web.conftest import House


def silent(what: str, done: int, total: int) -> None:
    """Nobody looks."""


async def _make(house: House, target: Path, **options: object) -> Path:
    settings = Plan.read(house.folder).settings
    wanted = {"with_secrets": True, "onto": None, "progress": silent} | options
    await make_backup(settings, target, **wanted)  # type: ignore[arg-type]
    return target


@pytest.fixture
async def folder(house: House, sid: int, tmp_path: Path) -> Path:
    async with counting(house, sid) as counter:
        counter.sent = len(numbers(house, sid))
        await counter.put(5)
        await house.stored()
        await counter.put(3)
    return await _make(house, tmp_path / "backup")


def _flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 0x10
    file.chmod(0o600)
    file.write_bytes(content)


def _one_of_each(backup: Path) -> list[str]:
    manifest = Manifest.from_bytes((backup / MANIFEST).read_bytes())
    by_role = {(e.role, e.secret): e.name for e in manifest.files if e.size}
    assert {role for role, _ in by_role} >= {"database", "samples", "messages", "figures", "kept"}
    return [MANIFEST, *by_role.values()]


async def test_a_changed_or_cut_file_of_any_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    assert verify_backup(folder, silent).rows > 0
    dice, new = random.Random(7), tmp_path / "new"
    for name in _one_of_each(folder):
        file, kept = folder / name, (folder / name).read_bytes()
        size = len(kept)
        damages: list[Callable[[], object]] = [
            lambda file=file, size=size: _flip(file, dice.randrange(size)),
            lambda file=file, size=size: os.truncate(file, dice.randrange(size)),
            lambda file=file: file.write_bytes(file.read_bytes() + b"\0"),
            lambda file=file: file.unlink(),
        ]
        for damage in damages:
            damage()
            with pytest.raises(Refused, match="no whole backup") as caught:
                await restore_backup(folder, new, silent)
            assert not new.exists(), caught.value
            file.write_bytes(kept)
    assert verify_backup(folder, silent).rows > 0


async def test_a_tar_cut_anywhere_or_changed_is_refused(
    house: House, sid: int, tmp_path: Path
) -> None:
    tar, dice = await _make(house, tmp_path / "b.tar"), random.Random(3)
    whole = tar.read_bytes()
    verify_backup(tar, silent)
    with tarfile.open(tar) as archive:
        members = archive.getmembers()
    end = members[-1].offset_data + members[-1].size
    cuts = [dice.randrange(end) for _ in range(25)]
    cuts += [0, members[0].offset_data, members[-1].offset_data]
    for cut in cuts:
        tar.write_bytes(whole[:cut])
        with pytest.raises(Refused):
            verify_backup(tar, silent)
    for member in members:
        if member.size:
            at = member.offset_data + dice.randrange(member.size)
            tar.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(Refused, match="no whole backup"):
                verify_backup(tar, silent)


def _rewritten(backup: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    import hashlib

    content = json.loads((backup / MANIFEST).read_bytes())
    del content["sha256"]
    change(content)
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["sha256"] = hashlib.sha256(plain.encode()).hexdigest()
    (backup / MANIFEST).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["files"][0].update(name="../../etc/passwd"),
        lambda m: m["files"][0].update(name="/tmp/x"),
        lambda m: m["files"][0].update(name="keys/../../x", role="kept"),
        lambda m: m["files"][0].update(role="kept"),
        lambda m: m["files"].append(m["files"][0]),
        lambda m: m["files"].pop(0),
        lambda m: m.update(files=[e for e in m["files"] if e["role"] != "samples"]),
        lambda m: m.update(rows=m["rows"] + 1),
        lambda m: m.update(tables={}),
        lambda m: m.update(streams=None),
        lambda m: m.update(site="../x"),
        lambda m: m.update(strange=1),
        lambda m: m.update(schema=2),
    ],
)
async def test_a_forged_manifest_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[dict], object]  # type: ignore[type-arg]
) -> None:  # fmt: skip
    _rewritten(folder, change)
    with pytest.raises(Refused):
        await restore_backup(folder, tmp_path / "new", silent)
    assert not (tmp_path / "new").exists()


async def test_a_link_in_a_backup_is_not_followed(folder: Path, tmp_path: Path) -> None:
    file = folder / "settings.toml"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused):
        verify_backup(folder, silent)
    tar = tmp_path / "odd.tar"
    with tarfile.open(tar, "w") as archive:
        link = tarfile.TarInfo(MANIFEST)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link, io.BytesIO())
    with pytest.raises(Refused):
        verify_backup(tar, silent)


async def test_only_an_empty_folder_is_restored_into(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("dear to me")
    with pytest.raises(Refused, match="not empty"):
        await restore_backup(folder, tmp_path / "used", silent)
    assert (tmp_path / "used" / "mine").read_text() == "dear to me"


async def test_onto_an_earlier_backup_shares_what_did_not_change(
    house: House, folder: Path, tmp_path: Path
) -> None:
    second = await _make(house, tmp_path / "second", onto=folder, with_secrets=False)
    manifest = verify_backup(second, silent)
    samples = [e.name for e in manifest.files if e.role == "samples"]
    shared = [n for n in samples if (folder / n).exists() and (folder / n).samefile(second / n)]
    assert shared
    assert not any(entry.secret for entry in manifest.files)
    assert not (second / "keys").exists()
    shutil.rmtree(folder)
    verify_backup(second, silent)


def _killed_after(seconds: float, *arguments: str) -> int:
    command = [sys.executable, "-c", "from lineshaft.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.long
async def test_backups_and_restores_killed_anywhere_leave_nothing_that_looks_whole(
    house: House, sid: int, folder: Path, tmp_path: Path
) -> None:
    dice, target, new = random.Random(11), tmp_path / "killed", tmp_path / "new"
    began, whole = time.monotonic(), 0
    done = await asyncio.to_thread(
        lineshaft, "backup", str(tmp_path / "timed"), "--data", str(house.folder)
    )
    assert done.returncode == 0, done.stderr
    took = time.monotonic() - began
    for turn in range(8):
        seconds = took * (0.4 + 0.6 * dice.random())  # what comes before is Python's start
        if turn % 2:
            arguments = ("backup", str(target), "--data", str(house.folder))
        else:
            arguments = ("restore", str(folder), "--data", str(new))
        await asyncio.to_thread(_killed_after, seconds, *arguments)
        if target.exists():  # it was through
            whole += verify_backup(target, silent).rows > 0
            shutil.rmtree(target)
        if new.exists() and not (new / "lineshaft.restoring").exists() and any(new.iterdir()):
            assert (new / "lineshaft.folder").exists()
            shutil.rmtree(new)
        elif new.exists() and any(new.iterdir()):
            with pytest.raises(Refused, match="was not completed"):
                from lineshaft.boot import _make_folder

                _make_folder(new)
    await _make(house, target)
    assert not list(tmp_path.glob(".*unfinished"))
    assert not list((house.folder / "run").glob("hold-*"))
    verify_backup(target, silent)
    done = await asyncio.to_thread(lineshaft, "restore", str(target), "--data", str(new))
    assert done.returncode == 0, done.stderr
    with running(new, verb="up", kind=House) as again:
        assert isinstance(again, House)
        found = numbers(again, sid)
        assert found == list(range(len(found)))
        assert len(found) >= 400


async def test_what_only_its_roll_ups_are_left_of_comes_back_as_such(
    folder: Path, tmp_path: Path
) -> None:
    data, second, again = tmp_path / "data", tmp_path / "second", tmp_path / "again"
    await restore_backup(folder, data, silent)
    victim = next((data / "history").glob("*/*.parquet"))
    beside = victim.with_suffix(".rollup")
    with sqlite3.connect(data / "records.sqlite") as connection:
        connection.execute(
            "UPDATE files SET kind = 'rolled', size = 0, rollup_size = 4 WHERE path LIKE ?",
            (f"%{victim.name}",),
        )
    connection.close()
    beside.write_bytes(b"1234")
    arguments = ("backup", str(second), "--data", str(data), "--onto", str(folder))
    done = await asyncio.to_thread(lineshaft, *arguments)
    assert done.returncode == 0, done.stderr
    before, after = verify_backup(folder, silent), verify_backup(second, silent)
    assert after.rows < before.rows
    await restore_backup(second, again, silent)
    relative = beside.relative_to(data)
    assert (again / relative).read_bytes() == b"1234"
    assert not (again / victim.relative_to(data)).exists()
    beside.unlink()
    done = await asyncio.to_thread(lineshaft, "backup", str(tmp_path / "no"), "--data", str(data))
    assert (done.returncode, beside.name in done.stderr) == (1, True)


async def test_a_damaged_history_file_stops_a_backup(folder: Path, tmp_path: Path) -> None:
    """A platform whose disk ate a file is not copied as if it were well."""
    data = tmp_path / "data"
    await restore_backup(folder, data, silent)
    victim = next((data / "history").glob("*/*.parquet"))
    os.truncate(victim, victim.stat().st_size // 2)
    done = await asyncio.to_thread(lineshaft, "backup", str(tmp_path / "no"), "--data", str(data))
    assert done.returncode == 1
    assert victim.name in done.stderr
    assert not (tmp_path / "no").exists()
    assert not list(tmp_path.glob(".no*"))
    with pytest.raises(LineshaftError):
        verify_backup(tmp_path / "no", silent)
