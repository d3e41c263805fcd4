"""Restore: a backup into an empty folder, proven by reading back what was written.

Rules: all of the backup is checked before the first byte is written. While it is written the folder
carries a mark under which no platform starts on it; our own mark comes last. The messages that were
accepted after the cut go into a new stream, and a new epoch is opened on it, so that whatever is
accepted from now on wins over, and is never mistaken for, what was before.
"""

import asyncio
import os
import shutil
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from lineshaft.bus import Bus
from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.instance import MARK, MARK_TEXT, RESTORING, only_instance
from lineshaft.keep.cut import row_counts
from lineshaft.keep.evidence import look
from lineshaft.keep.figures import figures, figures_from
from lineshaft.keep.ground import serve_bus
from lineshaft.keep.manifest import Manifest, StreamCut
from lineshaft.keep.messages import read_messages
from lineshaft.keep.verify import verified
from lineshaft.keep.vessel import Progress, Reader, copy_hashed, counting, hash_file
from lineshaft.private import sync_folder, write_private
from lineshaft.records import open_records
from lineshaft.records.migrate import migrate
from lineshaft.rooms.history.epochs import find_start
from lineshaft.rooms.history.store import Catalogue
from lineshaft.settings import Settings, load

__all__ = ["SETTINGS", "Proof", "restore_backup"]

SETTINGS = "restored-settings.toml"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was read back from the new folder and found equal to the backup."""

    manifest: Manifest
    folder: str
    files: int
    bytes: int
    rows: int
    signals: int
    messages: int
    tables: int
    entries: int
    epochs: dict[str, int]


async def restore_backup(backup: Path, folder: Path, progress: Progress) -> Proof:
    """Restore a backup into a folder that is empty or not there, and prove it.

    Raises Refused where the backup is not whole (then nothing was written) or the folder holds
    something; Broken where what was read back is not what was written.
    """
    _check_empty(folder)
    with verified(backup, progress) as (reader, manifest):
        _begin(folder)
        with only_instance(folder):
            await asyncio.to_thread(_write, reader, manifest, folder, progress)
            (files, size, rows), tables, entries = await asyncio.to_thread(
                _prove, reader, manifest, folder, progress
            )
            settings = _settings(folder)
            async with serve_bus(folder, settings) as bus:
                await bus.ensure_streams(int(settings.bus.max_gb * 1e9))
                messages = [await _replay(bus, reader, cut) for cut in manifest.streams]
                epochs = await _open_epochs(bus, folder, manifest)
            _end(folder)
    return Proof(manifest, str(folder), files, size, rows, manifest.signals, sum(messages), tables,
                 entries, epochs)  # fmt: skip


def _check_empty(folder: Path) -> None:
    if folder.is_dir() and ((folder / RESTORING).exists() or not any(folder.iterdir())):
        return  # one of ours that was cut off may be written anew
    if folder.exists() or folder.is_symlink():
        raise Refused(f"{folder} is not empty", hint="Name an empty folder: nothing is overwritten",
                      code="restore.folder")  # fmt: skip


def _begin(folder: Path) -> None:
    write_private(folder / RESTORING, "A restore is being written here.\n")
    folder.chmod(0o700)
    sync_folder(folder)
    for path in folder.iterdir():
        if path.name != RESTORING:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _end(folder: Path) -> None:
    for inner, _, _ in os.walk(folder):
        sync_folder(Path(inner))
    write_private(folder / MARK, MARK_TEXT)
    sync_folder(folder)
    (folder / RESTORING).unlink()
    sync_folder(folder)


def _write(reader: Reader, manifest: Manifest, folder: Path, progress: Progress) -> None:
    tell = counting(progress, "writing", sum(entry.size for entry in manifest.files))
    for entry in manifest.files:
        if entry.role in {"messages", "figures"}:
            continue
        place = folder / (SETTINGS if entry.role == "settings" else entry.name)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with reader.open(entry.name) as file:
            if copy_hashed(file, place, tell) != (entry.size, entry.sha256):
                raise Broken(f"{entry.name} changed while it was read", code="restore.changed",
                             hint="Check the disk that the backup lies on")  # fmt: skip


def _prove(
    reader: Reader, manifest: Manifest, folder: Path, progress: Progress
) -> tuple[tuple[int, int, int], int, int]:
    """Read back every file; return how many files, bytes, rows, rows of tables and entries of the
    ledger there are."""
    here = [e for e in manifest.files if e.role not in {"messages", "figures", "settings"}]
    total = sum(entry.size for entry in here)
    tell = counting(progress, "reading back", 2 * total)
    for entry in here:
        if hash_file(folder / entry.name, tell) != (entry.size, entry.sha256):
            raise _differs(entry.name)
    with closing(sqlite3.connect(f"file:{folder / 'records.sqlite'}?mode=ro", uri=True)) as made:
        tables = row_counts(made)
    if tables != dict(manifest.tables):
        raise _differs("records.sqlite")
    migrate(folder / "records.sqlite")
    entries = look(folder / "records.sqlite", None).size
    readable = [
        folder / entry.name for entry in here
        if entry.role == "samples" and entry.name.removeprefix("history/") not in manifest.damaged
    ]  # fmt: skip
    with reader.open("signals.json") as file:
        wanted = figures_from(file.read())
    found = figures(readable, tell)
    if found != wanted:
        raise _differs("the rows of history")
    return (len(here), total, sum(found["rows"])), sum(tables.values()), entries


def _settings(folder: Path) -> Settings:
    settings, _ = load(folder / SETTINGS, {"LINESHAFT__PLATFORM__DATA": str(folder)})
    if settings.bus.binary and not Path(settings.bus.binary).exists():  # another machine
        settings = replace(settings, bus=replace(settings.bus, binary=""))
    return settings


async def _replay(bus: Bus, reader: Reader, cut: StreamCut) -> int:
    """Put the messages of a file on a new stream and read each of them back."""
    count = 0
    with reader.open(cut.name) as file:
        for message in read_messages(file):
            number = await bus.store_again(message)
            held = await bus.streams.message(cut.stream, number)
            if held is None or (held.id, held.data) != (message.id, message.data):
                raise _differs(f"message {message.seq} of {cut.stream}")
            count += 1
    for first, last, at in cut.gone:
        lost = Fact("history.lost", at, cut.stream, {"from": first, "to": last})
        await bus.tell(lost)
    return count


async def _open_epochs(bus: Bus, folder: Path, manifest: Manifest) -> dict[str, int]:
    """Open a new epoch on each stream that the catalogue knows; return the epochs by stream."""
    engine, lease, opened = open_records(folder / "records.sqlite"), uuid.uuid4().hex, {}
    now = now_us()
    body = {"made": manifest.at, "rows": manifest.rows, "version": manifest.version}
    await bus.tell(Fact("backup.restored", now, manifest.site, body))
    try:
        for cut in manifest.streams:
            catalogue = Catalogue(engine, cut.stream)
            if catalogue.row() is None:
                continue
            replaced = Fact(
                "stream.replaced", now, cut.stream, {"reason": "restored from a backup"}
            )

            async def tell(_: str, fact: Fact = replaced) -> None:
                await bus.tell(fact)

            row = catalogue.take_lease(lease)
            start = await find_start(bus.streams, catalogue, row, now, tell)
            opened[cut.stream] = start.epoch
    finally:
        engine.dispose()
    return opened


def _differs(what: str) -> Broken:
    return Broken(f"{what}: what was read back is not what was written", code="restore.differs",
                  hint="Check the disk of the new folder; the backup is whole")  # fmt: skip
