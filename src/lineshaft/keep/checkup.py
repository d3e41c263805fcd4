"""The check-up: all looks one after the other, with the bus where the platform runs."""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream, fact_stream
from lineshaft.bus.server import prepare_server
from lineshaft.core.errors import LineshaftError
from lineshaft.instance import MARK, is_taken
from lineshaft.keep import checks, evidence
from lineshaft.keep.checks import Verdict
from lineshaft.keep.cut import Cut, copy_database, read_cut
from lineshaft.keep.ground import running_bus
from lineshaft.settings import Settings

__all__ = ["Finding", "check_up"]

_LAG_MESSAGES: Final = 200_000
_NEARLY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: `advice` says what to do, where something is to be done."""

    name: str
    state: Literal["ok", "warn", "fail"]
    text: str
    advice: str = ""


async def check_up(settings: Settings) -> list[Finding]:
    """Look at everything; a look that fails is a finding too."""
    folder, found = settings.folder, [_take("version", checks.version)]
    found.append(_take("folder", checks.folder, folder))
    if not (folder / MARK).exists():
        return found
    running = is_taken(folder)
    found.append(Finding("platform", "ok", f"it is {'running' if running else 'stopped'}"))
    found += [
        _take("disk", checks.disk, folder), _take("sync", checks.sync, folder),
        _take("memory", checks.memory),
        _take("limits", checks.limits, _supervisor(folder) if running else None),
        _take("port", checks.port, settings, running),
        database := _take("database", checks.database, folder / "records.sqlite"),
    ]  # fmt: skip
    cut = None
    if "cannot be read" not in database.text and "damaged" not in database.text:
        cut, looks = await asyncio.to_thread(_look_at_catalogue, folder)
        found += looks
        found.append(await asyncio.to_thread(
            _take, "ledger", evidence.ledger, folder / "records.sqlite"
        ))  # fmt: skip
    found += await _look_at_bus(settings, cut) if running else [_take("bus", _server, settings)]
    if running:
        found.append(_take("processes", _processes, folder))
    found += [_take("certificates", checks.certificates, folder),
              _take("backup", checks.backup, folder)]  # fmt: skip
    return found


def _take(name: str, look: Callable[..., Verdict], *arguments: Any) -> Finding:
    try:
        return Finding(name, *look(*arguments))
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error, LineshaftError) as error:
        return _failed(name, error)


def _failed(name: str, error: Exception) -> Finding:
    """Return the finding of a look that could not be taken."""
    if isinstance(error, LineshaftError):
        return Finding(name, "fail", error.message[:300], error.hint)
    text = f"{type(error).__name__}: {error}"
    return Finding(name, "fail", text[:300], "Its log says more; report it")


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
                files = _take("files", checks.files, history, cut)
                if files.state != "fail":
                    break
            with closing(sqlite3.connect(copy)) as records:
                last = records.execute("SELECT max(at) FROM checkpoints").fetchone()[0]
        except (OSError, sqlite3.Error, LineshaftError) as error:
            return None, [_failed("files", error)]
    return cut, [files, _take("orphans", checks.orphans, history, cut),
                 _take("clock", checks.clock, folder, last)]  # fmt: skip


def _server(settings: Settings) -> Verdict:
    """Is there a bus server to start?"""
    with tempfile.TemporaryDirectory() as scratch:
        command, _ = prepare_server(Path(scratch), binary=settings.bus.binary)
    return "ok", f"stopped; its server is {command[0]}", ""


async def _look_at_bus(settings: Settings, cut: Cut | None) -> list[Finding]:
    try:
        async with running_bus(settings.folder, settings) as bus:
            looks = [Finding("stream", *await _stream(bus, name, settings, cut))
                     for name in (data_stream(bus.site), fact_stream(bus.site))]  # fmt: skip
            return [Finding("bus", "ok", "it answers"), *looks, await _load(bus)]
    except (LineshaftError, OSError, ValueError) as error:
        return [_failed("bus", error)]


async def _load(bus: Bus) -> Finding:
    try:
        return _take("load", checks.load, await bus.ask("web", "limits", {}))
    except LineshaftError as error:
        return _failed("load", error)


async def _stream(bus: Bus, name: str, settings: Settings, cut: Cut | None) -> Verdict:
    state = await bus.streams.state(name)
    row = cut.stream(name) if cut else None
    text = f"{name}: messages {state.first:,} to {state.last:,}, {state.bytes / 1e6:,.1f} MB"
    most = settings.bus.max_gb * 1e9
    if state.bytes > most * _NEARLY and name.startswith("DATA"):
        advice = "See whether history writes (its log); raise bus.max_gb"
        text = f"{text}; it holds {most / 1e9:,.1f} GB at most"
        return "warn" if state.bytes < most else "fail", text, advice
    if row is None or row.token != state.token:
        advice = "Wait some seconds; if this stays, see logs/history.log"
        return "warn", f"{text}; the catalogue does not know it yet", advice
    if row.last.position > state.last:
        advice = "It was rolled back: restart, and history begins an epoch"
        return "fail", f"{text}; {row.last.position:,} was stored already", advice
    behind = state.last - row.last.position
    if behind > _LAG_MESSAGES:
        advice = "See logs/history.log, and whether the disk keeps up"
        return "warn", f"{text}; history is {behind:,} messages behind", advice
    return "ok", f"{text}; {behind:,} not in files yet", ""


def _processes(folder: Path) -> Verdict:
    listed = json.loads((folder / "run" / "processes.json").read_text())
    bad = [one["name"] for one in listed if one["state"] != "running"]
    restarts = {one["name"]: one["restarts"] for one in listed if one["restarts"]}
    worst = bad[0] if bad else max(restarts, key=lambda name: restarts[name], default="")
    advice = f"See logs/{worst}.log in the data folder"
    if bad:
        return "fail", f"{', '.join(bad)} does not run", advice
    if restarts:
        return "warn", f"{worst} was started again {restarts[worst]} times", advice
    return "ok", f"all {len(listed)} run, none was started again", ""
