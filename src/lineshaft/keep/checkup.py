"""The check-up: all looks one after the other, with the bus where the platform runs."""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream, fact_stream
from lineshaft.bus.server import prepare_server
from lineshaft.core.errors import LineshaftError
from lineshaft.instance import MARK, is_taken
from lineshaft.keep.checks import (
    Finding,
    guarded,
    look_at_backup,
    look_at_certificates,
    look_at_clock,
    look_at_database,
    look_at_disk,
    look_at_files,
    look_at_folder,
    look_at_limits,
    look_at_memory,
    look_at_orphans,
    look_at_port,
    look_at_sync,
    look_at_version,
)  # fmt: skip
from lineshaft.keep.cut import Cut, copy_database, read_cut
from lineshaft.keep.ground import running_bus
from lineshaft.settings import Settings

__all__ = ["check_up"]

_LAG_MESSAGES: Final = 200_000
_NEARLY: Final = 0.8


async def check_up(settings: Settings) -> list[Finding]:
    """Look at everything; a look that fails is a finding too."""
    folder, found = settings.folder, [look_at_version()]
    first = _take("folder", look_at_folder, folder)
    found.append(first)
    if not (folder / MARK).exists():
        return found
    running = is_taken(folder)
    state = "running" if running else "stopped"
    found.append(Finding("platform", "ok", f"it is {state}"))
    found += [
        _take("disk", look_at_disk, folder), _take("sync", look_at_sync, folder),
        _take("memory", look_at_memory),
        _take("limits", look_at_limits, _supervisor(folder) if running else None),
        _take("port", look_at_port, settings, running),
    ]  # fmt: skip
    database = _take("database", look_at_database, folder / "records.sqlite")
    found.append(database)
    cut = None
    if "cannot be read" not in database.text and "damaged" not in database.text:
        cut, looks = await asyncio.to_thread(_look_at_catalogue, folder)
        found += looks
    found += await _look_at_bus(settings, cut) if running else [_look_at_server(settings)]
    if running:
        found.append(_take("processes", _look_at_processes, folder))
    found += [_take("certificates", look_at_certificates, folder),
              _take("backup", look_at_backup, folder)]  # fmt: skip
    return found


def _take(name: str, look: Callable[..., Finding], *arguments: Any) -> Finding:
    try:
        return look(*arguments)
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error, LineshaftError) as error:
        return guarded(name, error)


def _supervisor(folder: Path) -> int | None:
    text = (folder / "run" / "lock").read_text().strip()
    return int(text) if text.isdecimal() else None


def _look_at_catalogue(folder: Path) -> tuple[Cut | None, list[Finding]]:
    """Compare one moment of the catalogue with the files; one that a commit or compaction replaced
    meanwhile is looked for again in a later moment."""
    history = folder / "history"
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "records.sqlite"
        try:
            for _ in range(3):
                copy_database(folder / "records.sqlite", copy)
                cut = read_cut(copy)
                files = _take("files", look_at_files, history, cut)
                if files.state != "fail":
                    break
            with closing(sqlite3.connect(copy)) as records:
                last = records.execute("SELECT max(at) FROM checkpoints").fetchone()[0]
        except (OSError, sqlite3.Error, LineshaftError) as error:
            return None, [guarded("files", error)]
    return cut, [files, _take("orphans", look_at_orphans, history, cut),
                 _take("clock", look_at_clock, folder, last)]  # fmt: skip


def _look_at_server(settings: Settings) -> Finding:
    """Is there a bus server to start?"""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            command, _ = prepare_server(Path(scratch), binary=settings.bus.binary)
        except LineshaftError as error:
            return guarded("bus", error)
    return Finding("bus", "ok", f"stopped; its server is {command[0]}")


async def _look_at_bus(settings: Settings, cut: Cut | None) -> list[Finding]:
    try:
        async with running_bus(settings.folder, settings) as bus:
            looks = [await _look_at_stream(bus, name, settings, cut) for name in
                     (data_stream(bus.site), fact_stream(bus.site))]  # fmt: skip
            return [Finding("bus", "ok", "it answers"), *looks]
    except (LineshaftError, OSError, ValueError) as error:
        return [guarded("bus", error)]


async def _look_at_stream(
    bus: Bus, name: str, settings: Settings, cut: Cut | None
) -> Finding:  # fmt: skip
    state = await bus.streams.state(name)
    row = cut.stream(name) if cut else None
    text = f"{name}: messages {state.first:,} to {state.last:,}, {state.bytes / 1e6:,.1f} MB"
    most = settings.bus.max_gb * 1e9
    if state.bytes > most * _NEARLY and name.startswith("DATA"):
        return Finding("stream", "warn" if state.bytes < most else "fail",
                       f"{text}; it holds {most / 1e9:,.1f} GB at most",
                       "See whether history writes (its log); raise bus.max_gb")  # fmt: skip
    if row is None or row.token != state.token:
        return Finding("stream", "warn", f"{text}; the catalogue does not know it yet",
                       "Wait some seconds; if this stays, see logs/history.log")  # fmt: skip
    if row.last.position > state.last:
        return Finding("stream", "fail", f"{text}; {row.last.position:,} was stored already",
                       "It was rolled back: restart, and history begins an epoch")  # fmt: skip
    behind = state.last - row.last.position
    if behind > _LAG_MESSAGES:
        return Finding("stream", "warn", f"{text}; history is {behind:,} messages behind",
                       "See logs/history.log, and whether the disk keeps up")  # fmt: skip
    return Finding("stream", "ok", f"{text}; {behind:,} not in files yet")


def _look_at_processes(folder: Path) -> Finding:
    listed = json.loads((folder / "run" / "processes.json").read_text())
    bad = [one["name"] for one in listed if one["state"] != "running"]
    restarts = {one["name"]: one["restarts"] for one in listed if one["restarts"]}
    if bad:
        return Finding("processes", "fail", f"{', '.join(bad)} does not run",
                       f"See logs/{bad[0]}.log in the data folder")  # fmt: skip
    if restarts:
        worst = max(restarts, key=lambda name: restarts[name])
        return Finding("processes", "warn", f"{worst} was started again {restarts[worst]} times",
                       f"See logs/{worst}.log in the data folder")  # fmt: skip
    return Finding("processes", "ok", f"all {len(listed)} run, none was started again")
