"""The doctor finds what is wrong, says what to do, and works running or stopped."""

import asyncio
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from lineshaft.keep.backup import LAST
from lineshaft.web import certificates
from tests.backup.conftest import counting
from tests.end_to_end.platform import lineshaft
from tests.web.conftest import House, made


def _examined(folder: Path, *more: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    done = lineshaft("doctor", "--data", str(folder), "--json", *more)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)["findings"]
    by_name = {one["name"]: (one["state"], one["text"], one["advice"]) for one in found}
    return done.returncode, by_name


async def test_a_running_platform_is_found_well(house: House) -> None:
    sid = house.register(made("examined"))[0]
    async with counting(house, sid) as counter:
        await counter.put(4)
    await house.stored()
    code, found = await asyncio.to_thread(_examined, house.folder)
    wrong = {name: one for name, one in found.items() if one[0] == "fail"}
    assert (code, wrong) == (0, {})
    assert found["platform"][1] == "it is running"
    expected = "version folder disk sync memory limits port database files orphans clock bus stream"
    assert {*expected.split(), "processes", "certificates", "backup"} <= found.keys()
    assert "all there" in found["files"][1]
    text = (await asyncio.to_thread(lineshaft, "doctor", "--data", str(house.folder))).stdout
    assert "→ lineshaft backup TARGET" in text


@pytest.fixture(scope="module")
def well(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped platform's folder with something in it."""
    place = tmp_path_factory.mktemp("well")
    sid = house.register(made("stopped"))[0]

    async def feed() -> None:
        async with counting(house, sid) as counter:
            await counter.put(4)
        await house.stored()

    asyncio.run(feed())
    for arguments in (
        ("backup", str(place / "b"), "--data", str(house.folder), "--with-secrets"),
        ("restore", str(place / "b"), "--data", str(place / "data")),
    ):
        done = lineshaft(*arguments)
        assert done.returncode == 0, done.stderr
    return place / "data"


def _cut_file(folder: Path) -> None:
    victim = next((folder / "history").glob("*/*.parquet"))
    os.truncate(victim, 100)


def _stray(folder: Path) -> None:
    stray = next((folder / "history").glob("*")) / "stray.parquet"
    stray.write_bytes(b"x" * 1000)
    os.utime(stray, (time.time() - 9000,) * 2)


def _open_key(folder: Path) -> None:
    (folder / "keys" / "platform.key").chmod(0o644)


def _future(folder: Path) -> None:
    with sqlite3.connect(folder / "records.sqlite") as connection:
        connection.execute("UPDATE checkpoints SET at = at + 86400000000")
    connection.close()


def _tear(folder: Path) -> None:
    with (folder / "records.sqlite").open("r+b") as file:
        file.seek(0)
        file.write(b"\0" * 4096)


def _old_backup(folder: Path) -> None:
    (folder / LAST).write_text(json.dumps({"at": 1, "target": "/b", "rows": 1}))


def _run_out(folder: Path) -> None:
    """Have the doors' certificate end in twenty days."""
    with mock.patch.multiple(certificates, _DAYS=20, _RENEW_DAYS=0):
        certificates.ensure_pair(folder / "keys", ["127.0.0.1"], "vm")


def _restoring(folder: Path) -> None:
    (folder / "lineshaft.restoring").write_text("")


@pytest.mark.parametrize(
    ("harm", "name", "state", "advice"),
    [
        (_cut_file, "files", "fail", "Restart the platform"),
        (_stray, "orphans", "warn", "next start deletes"),
        (_open_key, "folder", "fail", "chmod -R go="),
        (_future, "clock", "fail", "NTP"),
        (_tear, "database", "fail", "Restore the last backup"),
        (_old_backup, "backup", "warn", "once a day"),
        (_run_out, "certificates", "warn", "Renew it"),
        (_restoring, "folder", "fail", "lineshaft restore"),
    ],
)
def test_each_harm_is_found_and_has_an_advice(
    well: Path, tmp_path: Path, harm: Callable[[Path], None], name: str, state: str, advice: str
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(well, folder)
    (folder / LAST).write_text(json.dumps({"at": time.time_ns() // 1000, "target": "/b"}))
    harm(folder)
    code, found = _examined(folder)
    assert found[name][0] == state, found[name]
    assert advice in found[name][2]
    assert code == (1 if state == "fail" else 0), found
    others = {n: one for n, one in found.items() if one[0] == "fail" and n != name}
    assert others == {}


def test_a_port_that_another_program_holds_is_found(well: Path, house: House) -> None:
    code, found = _examined(well, "--port", str(house.port))
    assert (code, found["port"][0]) == (1, "fail")
    assert "--port" in found["port"][2]


def test_what_is_no_data_folder_is_said_to_be_none(tmp_path: Path) -> None:
    code, found = _examined(tmp_path)
    assert (code, found["folder"][0]) == (1, "fail")
