"""The order of sync calls, traced: what is named is on disk before it is named."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.crash.site import Site, until
from tests.crash.writer_child import Order, as_argument

_CALLS = "fsync,fdatasync,rename,renameat,renameat2,pwrite64,sendto,write,mkdir,unlink"
_FILE = re.compile(r"/history/(\d{4}-\d\d-\d\d)/\.?([^/\"<>]+\.parquet)")


pytestmark = pytest.mark.skipif(
    not shutil.which("strace"), reason="strace is missing: apt-get install -y strace"
)


@asynccontextmanager
async def _traced(order: Order, calls: str, trace: Path) -> AsyncIterator[None]:
    """Run a writer under strace meanwhile."""
    strace = await asyncio.create_subprocess_exec(
        "strace", "-f", "-y", "-s", "120", "-e", f"trace={calls}", "-o", str(trace),
        sys.executable, "-m", "tests.crash.writer_child", as_argument(order),
    )  # fmt: skip
    try:
        yield
    finally:
        for writer in psutil.Process(strace.pid).children():
            writer.kill()
        await asyncio.wait_for(strace.wait(), 30)


async def test_files_folder_catalogue_and_purge_follow_one_another(
    site: Site, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    order = Order(str(site.folder), commit_rows=200, margin_gb=0)
    async with _traced(order, _CALLS, trace):
        await site.publish(40)
        await site.stored(60)
        await until(lambda: "STREAM.PURGE" in trace.read_text("utf-8", "replace"))
    lines = _calls(trace)
    _, named = site.catalogue.files()
    assert len(named) > 4
    for entry in named:
        _check_file(lines, entry.path)
    _check_purges(lines)


def _calls(trace: Path) -> list[str]:
    return _finished(trace.read_text("utf-8", "replace").splitlines())


def _finished(lines: list[str]) -> list[str]:
    """Return the calls where they ended, so that `unfinished … resumed` counts at its end."""
    begun: dict[str, str] = {}
    done = []
    for line in lines:
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
        elif "resumed>" in call:
            done.append(begun.pop(thread, "") + call.partition("resumed>")[2])
        else:
            done.append(call)
    return [call.strip() for call in done if call.rstrip().endswith("= 0") or "= -1" not in call]


def _first(lines: list[str], after: int, *parts: str) -> int:
    """Return the first call after a place that holds all parts."""
    for number in range(after, len(lines)):
        if all(part in lines[number] for part in parts):
            return number
    raise AssertionError(f"no call with {parts} after call {after}")


def _check_file(lines: list[str], path: str) -> None:
    day, name = path.split("/")
    hidden = f".{name}.new"
    synced = _first(lines, 0, "fsync(", f"{hidden}>")
    renamed = _first(lines, 0, "rename", f'{hidden}"', f'/{name}"')
    folder = _first(lines, renamed, "fsync(", f"/history/{day}>")
    logged = _first(lines, folder, "pwrite64(", "records.sqlite-wal>")
    committed = _first(lines, logged, "sync(", "records.sqlite-wal>")
    assert synced < renamed < folder < logged < committed
    # Nothing is written into a file once it was synced.
    assert not any("write" in call and hidden in call for call in lines[synced + 1 :])


def _check_purges(lines: list[str]) -> None:
    """Between a file's rename and the next purge lies the catalogue's sync."""
    purges = [n for n, call in enumerate(lines) if "STREAM.PURGE" in call]
    assert purges
    for purge in purges:
        renames = [n for n in range(purge) if "rename" in lines[n] and _FILE.search(lines[n])]
        syncs = [n for n in range(purge) if "sync(" in lines[n] and "sqlite-wal>" in lines[n]]
        assert renames and syncs


async def test_day_folders_are_synced_even_if_an_earlier_life_made_them(
    site: Site, tmp_path: Path
) -> None:
    writer = site.writer(step="written", at=1)
    await site.publish(6)
    await writer.ended()
    trace = tmp_path / "trace"
    async with _traced(Order(str(site.folder)), "fsync", trace):
        await site.stored(60)
    assert re.search(r"fsync\(\d+<[^>]*/history>\)", trace.read_text("utf-8", "replace"))
