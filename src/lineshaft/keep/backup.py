"""Backup: bus, history and records at one moment, while the platform runs or while it does not.

The order makes it one moment: the writer commits what it has; the database is copied (the cut); the
files that the copy names are held; what the streams carry after the cut's position is written down
by number. So every sample accepted before this began is in exactly one of the files or messages. Of
the two that read the stream of Facts the one behind counts: what the other knows, it knows again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import orjson

from lineshaft import __version__
from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream, fact_stream
from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, LineshaftError
from lineshaft.core.facts import Fact
from lineshaft.keep.cut import Cut, check_file, copy_database, hold_files, parts_of, read_cut
from lineshaft.keep.figures import figures, figures_json
from lineshaft.keep.ground import bus_of, running_bus
from lineshaft.keep.hold import holding
from lineshaft.keep.manifest import KEPT, Entry, Manifest, StreamCut
from lineshaft.keep.messages import save_messages
from lineshaft.keep.vessel import Progress, Vessel, counting, open_backup
from lineshaft.private import write_private
from lineshaft.rooms.history.store import Catalogue
from lineshaft.settings import Settings

__all__ = ["LAST", "Made", "make_backup", "settings_toml"]

LAST: Final = "last-backup.json"
_TRIES: Final = 8
_FLUSH_S: Final = 70.0
_PUBLIC: Final = (".der", ".crt", ".cer")
_DATA: Final = ("platform", "data")


@dataclass(frozen=True, slots=True)
class Made:
    """A backup as it was made; `linked` files are shared with the earlier one."""

    manifest: Manifest
    bytes: int
    linked: int
    was_running: bool


async def make_backup(
    settings: Settings, target: Path, *, with_secrets: bool, onto: Path | None, progress: Progress
) -> Made:
    """Make a backup of a data folder at `target`, a new folder or `.tar`.

    Raises Refused where the target cannot be one, Broken where the data are damaged or unreadable;
    then nothing of it stays.
    """
    data = settings.folder
    if onto is not None:
        with open_backup(onto):
            pass  # refuse now what is no backup
    vessel = Vessel(target, onto)
    try:
        with holding(data) as hold:
            async with bus_of(data, settings) as (bus, running):
                moment = await _cut(bus, data, hold, vessel.work)
            made = await asyncio.to_thread(
                _fill, vessel, hold, data, settings, moment, with_secrets, progress
            )
    except BaseException:
        vessel.abandon()
        raise
    _remember(data, target, made)
    with suppress(LineshaftError, OSError):  # where it runs, its people hear of it
        async with running_bus(data, settings) as bus:
            body = {"files": len(made.files), "rows": made.rows}
            await bus.tell(Fact("backup.made", made.at, settings.platform.site, body))
    return Made(made, sum(entry.size for entry in made.files), vessel.linked, running)


async def _cut(bus: Bus, data: Path, hold: Path, work: Path) -> tuple[Cut, tuple[StreamCut, ...]]:
    """Return one moment: the copy of the database lies in `work`, its files in `hold`."""
    with suppress(LineshaftError):  # nobody writes, or not now: the messages are saved instead
        await bus.ask("history", "flush", {}, _FLUSH_S)
    site, copy = bus.site, work / "records.sqlite"
    missing: set[str] = set()
    for _ in range(_TRIES):
        copy_database(data / "records.sqlite", copy)
        cut = read_cut(copy)
        if gone := hold_files(data / "history", hold, cut.files):
            missing.add(gone)
            continue
        names = (data_stream(site), fact_stream(site), f"QUARANTINE_{site}")
        known = [cut.read_by_all(name) if name == names[1] else cut.stream(name) for name in names]
        streams = [await save_messages(bus, name, row, work)
                   for name, row in zip(names, known, strict=True)]  # fmt: skip
        if not any(_was_purged(data, cut) for stream in streams if stream.gone):
            return cut, tuple(streams)
    if len(missing) == 1:
        raise Broken(f"the history file {missing.pop()} is named, and is not there",
                     hint="Restart the platform: it repairs or declares it",
                     code="backup.damaged", retryable=False)  # fmt: skip
    raise Broken("the data change faster than a moment of them can be held",
                 hint="Try again when less is being compacted or retired",
                 code="backup.moving")  # fmt: skip


def _was_purged(data: Path, cut: Cut) -> bool:
    """Return whether the catalogue has moved on: what went from the stream is in files then."""
    from lineshaft.records import open_records

    engine = open_records(data / "records.sqlite")
    try:
        rows = [(row, Catalogue(engine, row.name).row()) for row in cut.streams]
    finally:
        engine.dispose()
    return any(now is not None and now.last != before.last for before, now in rows)


def _fill(
    vessel: Vessel, hold: Path, data: Path, settings: Settings,
    moment: tuple[Cut, tuple[StreamCut, ...]], with_secrets: bool, progress: Progress,
) -> Manifest:  # fmt: skip
    cut, streams = moment
    readable = [entry for entry in cut.files if entry.kind not in {"damaged", "rolled"}]
    for entry in cut.files:
        if wrong := check_file(hold, entry):
            hint = "Restart the platform: it repairs or declares it"
            raise Broken(f"the history file {entry.path} is damaged: {wrong}", hint=hint,
                         code="backup.damaged", retryable=False)  # fmt: skip
    total = sum(entry.size for entry in readable)
    tell = counting(progress, "reading", total)
    found = figures([hold / entry.path for entry in readable], tell)
    write_private(vessel.work / "signals.json", figures_json(found))
    write_private(vessel.work / "settings.toml", settings_toml(settings))
    listed = list(_listed(cut, streams, hold, data, vessel.work, with_secrets))
    total = sum(place.stat().st_size for _, place in listed)
    tell = counting(progress, "copying", total)
    entries = tuple(vessel.add(entry, place, tell) for entry, place in listed)
    manifest = Manifest(
        __version__, now_us(), settings.platform.site, cut.records, with_secrets,
        sum(entry.rows for entry in readable), len(found["sid"]), cut.tables, streams, entries,
        tuple(entry.path for entry in cut.files if entry.kind == "damaged"),
    )  # fmt: skip
    vessel.finish(manifest)
    return manifest


def _listed(
    cut: Cut, streams: tuple[StreamCut, ...], hold: Path, data: Path, work: Path,
    with_secrets: bool,
) -> Iterator[tuple[Entry, Path]]:  # fmt: skip
    """Hand out what belongs into the backup and where it lies now."""
    yield Entry("records.sqlite", "database", 0, ""), work / "records.sqlite"
    yield Entry("signals.json", "figures", 0, ""), work / "signals.json"
    yield Entry("settings.toml", "settings", 0, ""), work / "settings.toml"
    for stream in streams:
        yield Entry(stream.name, "messages", 0, "", stream.messages), work / stream.name
    for file in cut.files:
        for part in filter(lambda name: (hold / name).exists(), parts_of(file) or [file.path]):
            is_rows, name = part == file.path, f"history/{part}"
            yield (Entry(name, "samples", 0, "", file.rows) if is_rows
                   else Entry(name, "rollups", 0, "")), hold / part  # fmt: skip
    for top in KEPT:
        for path in sorted((data / top).rglob("*")):
            is_public = path.suffix in _PUBLIC and "key" not in path.name
            if path.is_file() and not path.name.startswith(".") and (is_public or with_secrets):
                name = str(path.relative_to(data))
                yield Entry(name, "kept", 0, "", secret=not is_public), path


def _remember(data: Path, target: Path, made: Manifest) -> None:
    content = {"at": made.at, "target": str(target.absolute()), "rows": made.rows}
    write_private(data / LAST, orjson.dumps(content))


def settings_toml(settings: Settings) -> str:
    """Return the settings that differ from their defaults, as a settings file; the place of the
    data folder is not among them."""
    lines: list[str] = []
    for section in fields(Settings):
        held = getattr(settings, section.name)
        changed: dict[str, Any] = {
            key.name: getattr(held, key.name) for key in fields(held)
            if getattr(held, key.name) != key.default and (section.name, key.name) != _DATA
        }  # fmt: skip
        if changed:
            lines.append(f"[{section.name}]")
            lines += [f"{name} = {orjson.dumps(value).decode()}" for name, value in changed.items()]
    return "\n".join(lines) + "\n"
