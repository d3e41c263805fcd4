"""A torn last file or a torn last commit: told, and made whole from the stream."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest

from lineshaft.records import open_records
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.repair import repair_files
from lineshaft.rooms.history.store import Catalogue
from tests.crash.numbers import ROWS
from tests.crash.site import STREAM, Site, open_site, until

_FRAME = 4096 + 24


@pytest.fixture
async def two_commits(site: Site) -> AsyncIterator[Site]:
    """A site whose writer committed twice and ended."""
    for _ in range(2):
        async with site.writing(margin_gb=1):
            await site.publish(3)
            await site.stored()
    yield site


def _last_file(site: Site, *, least: int = 0) -> tuple[FileEntry, Path, bytes]:
    """Return the file with the newest rows, of those with `least` bytes."""
    _, named = site.catalogue.files()
    entry = max((e for e in named if e.size >= least), key=lambda e: e.seq_max)
    path = site.folder / "history" / entry.path
    return entry, path, path.read_bytes()


async def _truncate_and_repair(site: Site, lengths: Iterable[int], *, least: int = 0) -> int:
    """Cut the last file to each length, start a writer each time; return how often it repaired."""
    repairs = 0
    for length in lengths:
        _, path, whole = _last_file(site, least=least)
        if length >= len(whole):
            continue
        path.write_bytes(whole[:length])
        async with site.writing(margin_gb=1):
            await until(lambda path=path: not path.exists())
        repairs += 1
        assert len(site.read_numbers()) == site.published * ROWS
    return repairs


async def test_a_cut_at_any_length_is_noticed(two_commits: Site) -> None:
    entry, path, whole = _last_file(two_commits)
    store = FileStore(two_commits.folder / "history", lambda _: None)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert store.damaged([entry]) == [entry], length
    path.unlink()
    assert store.damaged([entry]) == [entry]
    path.write_bytes(whole)
    assert store.damaged([entry]) == []


async def test_a_cut_file_is_written_again_from_the_stream(two_commits: Site) -> None:
    site = two_commits
    size = len(_last_file(site)[2])
    lengths = [0, 1, 3, 4, 5, size // 3, size // 2, size - 9, size - 8, size - 4, size - 1]
    repairs = await _truncate_and_repair(site, lengths)
    assert repairs == len(lengths)
    assert len(await site.facts("history.repaired")) == repairs
    assert sorted(set(site.file_numbers())) == list(range(site.published * ROWS))
    assert await site.facts("history.damaged") == []


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_file_cut_at_every_length_is_written_again(two_commits: Site) -> None:
    site, store = two_commits, FileStore(two_commits.folder / "history", lambda _: None)
    site.catalogue.take_lease("lease")
    told: list[str] = []

    async def tell(kind: str, _: dict[str, object]) -> None:
        told.append(kind)

    length = 0
    while length < len((last := _last_file(site))[2]):
        _, path, whole = last
        path.write_bytes(whole[:length])
        await repair_files(site.bus.streams, site.catalogue, store, "lease", tell)
        length += 1
        assert store.damaged(site.catalogue.files()[1]) == []
        if length % 100 == 0:
            await site.check_reader()
    assert told == ["history.repaired"] * length
    await site.check_reader()


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_bigger_file_cut_at_some_lengths_is_written_again(site: Site) -> None:
    await site.publish(1000)
    async with site.writing(margin_gb=1, commit_rows=1 << 30, commit_s=10):
        await site.stored()
    size = len(_last_file(site, least=20_000)[2])
    lengths = range(0, size, size // 60)
    assert await _truncate_and_repair(site, lengths, least=20_000) == len(lengths)
    await site.check_reader()


async def test_a_file_that_the_stream_cannot_give_back_is_told_once(two_commits: Site) -> None:
    site = two_commits
    entry, path, whole = _last_file(site)
    await site.bus.streams.purge(STREAM, before=7)
    path.write_bytes(whole[:-1])
    for _ in range(2):
        async with site.writing(margin_gb=1):
            await site.publish(1)
            await site.stored()
    [fact] = await site.facts("history.damaged")
    assert fact.body == {
        "file": entry.path, "rows": entry.rows, "from": entry.ts_min, "to": entry.ts_max
    }  # fmt: skip
    # What is left is still read, and a disk that comes back brings the rest.
    assert len(site.read_numbers()) == site.published * ROWS - entry.rows
    path.write_bytes(whole)
    async with site.writing(margin_gb=1):
        await site.publish(1)
        await site.stored()
    assert len(await site.facts("history.repaired")) == 1
    await site.check_reader()
    site.check_files()


async def test_files_that_no_transaction_names_are_deleted_at_start(two_commits: Site) -> None:
    site = two_commits
    _, path, whole = _last_file(site)
    for name in ("9999-000000000001-000000000001-sequence-x.parquet", ".torn.parquet.new"):
        path.with_name(name).write_bytes(whole)
    (path.parent.parent / "2031-01-01").mkdir()
    (path.parent.parent / "2031-01-01" / "a.parquet").write_bytes(b"")
    await site.check_reader()
    async with site.writing(margin_gb=1):
        await site.publish(1)
        await site.stored()
    site.check_files()


def _cut_wal(site: Site, folder: Path, length: int) -> Path:
    """Copy the database as a power loss leaves it: the log of the last commit cut."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(site.folder / "records.sqlite", folder)
    wal = (site.folder / "records.sqlite-wal").read_bytes()
    (folder / "records.sqlite-wal").write_bytes(wal[:length])
    return folder / "records.sqlite"


async def _commit_into_an_empty_log(site: Site) -> int:
    """Make one commit whose log starts empty; return the log's length."""
    with site.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    writer = site.writer(margin_gb=1, step="committed", at=1)
    await site.publish(3)
    await writer.ended()
    return (site.folder / "records.sqlite-wal").stat().st_size


def _states(path: Path) -> tuple[int, int, int]:
    """Return position, rows and file rows as the database tells them; leave the log as it is."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        [(position, rows)] = connection.execute(
            "SELECT position, rows FROM streams WHERE name = ?", (STREAM,)
        )
        [(in_files,)] = connection.execute("SELECT sum(rows) FROM files")
    connection.close()
    return position, rows, in_files


def _check_wal(site: Site, folder: Path, lengths: Sequence[int]) -> None:
    before, after = 6, 9
    seen = set()
    copy = _cut_wal(site, folder, max(lengths))
    for length in sorted(lengths, reverse=True):
        os.truncate(f"{copy}-wal", length)
        Path(f"{copy}-shm").unlink(missing_ok=True)  # what the reader before made of the log
        position, rows, in_files = _states(copy)
        assert rows == in_files == position * ROWS
        seen.add(position)
    assert seen == {before, after}


async def test_a_cut_commit_is_all_or_nothing(two_commits: Site, tmp_path: Path) -> None:
    size = await _commit_into_an_empty_log(two_commits)
    edges = {32 + frame * _FRAME + off for frame in range(size // _FRAME + 1)
             for off in (-1, 0, 1, 24, 2000)}  # fmt: skip
    lengths = sorted({0, 1, 31, size} | {edge for edge in edges if edge < size})
    _check_wal(two_commits, tmp_path / "cut", lengths)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_commit_cut_at_every_length_is_all_or_nothing(
    two_commits: Site, tmp_path: Path
) -> None:
    size = await _commit_into_an_empty_log(two_commits)
    _check_wal(two_commits, tmp_path / "cut", range(size + 1))


async def test_after_a_cut_commit_the_rest_is_read_again(two_commits: Site) -> None:
    site = two_commits
    size = await _commit_into_an_empty_log(site)
    whole = site.folder / "whole"
    for length in (0, 32, size // 2, size - 1, size):
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        shutil.copytree(site.folder / "history", whole / "history")
        _cut_wal(site, whole / "cut", length)
        engine = open_records(whole / "cut" / "records.sqlite")
        other = Site.__new__(Site)
        other.__dict__.update(site.__dict__, folder=whole, engine=engine)
        other.catalogue = Catalogue(engine, STREAM)
        async with other.writing(margin_gb=1):
            await other.stored()
        other.check_files()
        engine.dispose()


async def test_a_platform_whose_catalogue_was_restored_keeps_all(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.following():
        async with site.writing(margin_gb=1):
            await site.publish(5)
            await site.stored()
        copy = tmp_path / "older.sqlite"
        with sqlite3.connect(site.folder / "records.sqlite") as now, sqlite3.connect(copy) as then:
            now.backup(then)
        async with site.writing(margin_gb=1):
            await site.publish(5)
            await site.stored()
        with sqlite3.connect(copy) as then, sqlite3.connect(site.folder / "records.sqlite") as now:
            then.backup(now)
        async with site.writing(margin_gb=1):
            await site.publish(5)
            await site.stored()
        site.check_files()
        await site.check_reader()
