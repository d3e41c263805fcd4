"""What a check-up looks at on this machine and in the data folder: each look returns a `Finding`.

A look only reads (that of the disk's sync writes and deletes a small file of its own), and works
whether the platform runs or not.
"""

import json
import os
import platform
import resource
import shutil
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil
from cryptography import x509

from lineshaft import __version__
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import LineshaftError
from lineshaft.instance import MARK, RESTORING
from lineshaft.keep.backup import LAST
from lineshaft.keep.cut import Cut, check_file, parts_of
from lineshaft.records.migrate import HEAD
from lineshaft.settings import Settings

__all__ = [
    "Finding", "guarded", "look_at_backup", "look_at_certificates", "look_at_clock",
    "look_at_database", "look_at_disk", "look_at_files", "look_at_folder", "look_at_limits",
    "look_at_memory", "look_at_orphans", "look_at_port", "look_at_sync", "look_at_version",
]  # fmt: skip

_DAY: Final = 86_400_000_000
_LITTLE, _NOTHING = 5_000_000_000, 200_000_000
_SETTLED_S: Final = 900
_SYNCS: Final = 9

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: `advice` says what to do, where something is to be done."""

    name: str
    state: State
    text: str
    advice: str = ""


def look_at_version() -> Finding:
    """Which program, on what."""
    text = f"Lineshaft {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return Finding("version", "ok", text)


def look_at_folder(folder: Path) -> Finding:
    """Is the data folder ours, and nobody else's?"""
    name = "folder"
    if (folder / RESTORING).exists():
        return Finding(name, "fail", f"a restore into {folder} was not completed",
                       "Run `lineshaft restore` into it again")  # fmt: skip
    if not (folder / MARK).exists():
        return Finding(name, "fail", f"{folder} is no data folder",
                       "Give it with --data, or start the platform once")  # fmt: skip
    if folder.stat().st_uid != os.getuid():
        return Finding(name, "fail", f"{folder} belongs to another user",
                       "Run this as the user that runs the platform")  # fmt: skip
    open_ones = [path for path in _guarded(folder) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_ones:
        return Finding(name, "fail", f"others may read {open_ones[0]}"
                       f"{f' and {len(open_ones) - 1} more' if len(open_ones) > 1 else ''}",
                       f"chmod -R go= {folder}")  # fmt: skip
    return Finding(name, "ok", f"{folder}, readable by its owner only")


def _guarded(folder: Path) -> Iterator[Path]:
    yield folder
    for top in ("keys", "secrets", "run"):
        yield from (path for path in (folder / top).rglob("*") if path.is_file()
                    and (top != "run" or path.suffix in {".json", ".conf"}))  # fmt: skip
    yield from (p for top in ("pki", "tls") for p in (folder / top).rglob("*key*") if p.is_file())


def look_at_disk(folder: Path) -> Finding:
    """Is there room?"""
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB are free"
    if usage.free < _NOTHING:
        return Finding("disk", "fail", text, "Free space now: samples wait in the bus, then stop")
    if usage.free < _LITTLE or usage.free < usage.total * 0.05:
        return Finding("disk", "warn", text, "Free space, or let history keep less")
    return Finding("disk", "ok", text)


def look_at_sync(folder: Path) -> Finding:
    """How long does the disk take to keep something?"""
    place, took = folder / "run" / f"doctor-{os.getpid()}", []
    place.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        with place.open("wb") as file:
            for _ in range(_SYNCS):
                file.write(b"\0" * 4096)
                file.flush()
                began = monotonic_s()
                os.fsync(file.fileno())
                took.append(monotonic_s() - began)
    finally:
        place.unlink(missing_ok=True)
    middle, worst = sorted(took)[_SYNCS // 2] * 1e3, max(took) * 1e3
    text = f"the disk syncs 4 kB in {middle:.1f} ms (median of {_SYNCS}, worst {worst:.1f} ms)"
    if middle > 200:
        return Finding("sync", "fail", text, "Every block waits for it: use another disk")
    if middle > 30:
        return Finding("sync", "warn", text, "Expect few thousand blocks a minute; a disk with a "
                       "protected cache is faster")  # fmt: skip
    return Finding("sync", "ok", text)


def look_at_memory() -> Finding:
    """Is there memory?"""
    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:,.1f} GB of {memory.total / 1e9:,.1f} GB are available"
    if memory.available < 300e6:
        return Finding("memory", "fail", text, "End other programs, or give the machine more")
    little = memory.available < memory.total * 0.1
    return Finding("memory", "warn" if little else "ok", text,
                   "Look which program takes it" if little else "")  # fmt: skip


def look_at_limits(supervisor: int | None) -> Finding:
    """May the platform (or we, where it does not run) open enough files?"""
    try:
        soft, _ = (psutil.Process(supervisor).rlimit(psutil.RLIMIT_NOFILE) if supervisor
                   else resource.getrlimit(resource.RLIMIT_NOFILE))  # fmt: skip
    except (psutil.Error, OSError):
        return Finding("limits", "warn", "the limit of open files cannot be read",
                       "Run this as the user that runs the platform")  # fmt: skip
    text = f"{soft:,} files may be open at once"
    if soft < 1024:
        return Finding("limits", "fail", text, "Raise it: `ulimit -n 65536`, LimitNOFILE=65536")
    few = soft < 4096
    return Finding("limits", "warn" if few else "ok", text,
                   "Raise it for many sources: LimitNOFILE=65536" if few else "")  # fmt: skip


def look_at_port(settings: Settings, running: bool) -> Finding:
    """Do the doors answer, or could they be opened?"""
    host, port, url = settings.http.host, settings.http.port, settings.http.local_url
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(3)
        answers = probe.connect_ex((host, port)) == 0
    if running and not answers:
        return Finding("port", "fail", f"nobody answers at {url}",
                       "Give --port or --config as at its start; see logs/web.log")  # fmt: skip
    if answers and not running:
        return Finding("port", "fail", f"another program listens at {url}",
                       f"End it, or set another port: --port {port + 1}")  # fmt: skip
    return Finding("port", "ok", f"{url} {'answers' if running else 'is free'}")


def look_at_database(file: Path) -> Finding:
    """Is the database whole, and of this program?"""
    name = "database"
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as records:
            wrong = records.execute("PRAGMA integrity_check(3)").fetchall()
            [(version,)] = records.execute("SELECT version_num FROM alembic_version")
    except (sqlite3.Error, ValueError) as error:
        return Finding(name, "fail", f"{file} cannot be read: {error}", "Restore the last backup")
    if wrong != [("ok",)]:
        return Finding(name, "fail", f"it is damaged: {wrong[0][0]}", "Restore the last backup")
    if version != HEAD:
        later = version > HEAD
        return Finding(name, "fail" if later else "warn", f"version {version}, this program {HEAD}",
                       "Use the later program" if later else "The next start upgrades it, after a "
                       "rehearsal on a copy")  # fmt: skip
    return Finding(name, "ok", f"whole, version {version}, {file.stat().st_size / 1e6:,.1f} MB")


def look_at_files(history: Path, cut: Cut) -> Finding:
    """Are the files that the catalogue names there, and whole?"""
    wrong = [(entry, why) for entry in cut.files if (why := check_file(history, entry))]
    declared = sum(entry.kind == "damaged" for entry in cut.files)
    if wrong:
        entry, why = wrong[0]
        return Finding(
            "files",
            "fail",
            f"{len(wrong)} of {len(cut.files)} are not as the catalogue "
            f"names them; {entry.path}: {why}",
            "Restart the platform: it repairs what the bus holds, and declares the rest",
        )
    if declared:
        return Finding("files", "warn", f"{declared} of {len(cut.files)} were declared damaged",
                       "Their samples are lost here; a backup may have them")  # fmt: skip
    rows = sum(entry.rows for entry in cut.files)
    return Finding("files", "ok", f"{len(cut.files):,} files, {rows:,} rows, all there")


def look_at_orphans(history: Path, cut: Cut) -> Finding:
    """Does a file lie there that nobody names? Young ones belong to work that goes on."""
    named = {part for entry in cut.files for part in (*parts_of(entry), entry.path)}
    young = now_us() / 1e6 - _SETTLED_S
    strays, size = [], 0
    for path in history.glob("*/*"):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if str(path.relative_to(history)) not in named and found.st_mtime < young:
            strays.append(path)
            size += found.st_size
    if strays:
        return Finding("orphans", "warn", f"{len(strays)} files ({size / 1e6:,.1f} MB) have no "
                       f"name, e.g. {strays[0].name}", "The next start deletes them")  # fmt: skip
    return Finding("orphans", "ok", "every file is named")


def look_at_clock(folder: Path, last_commit: int | None) -> Finding:
    """Does the clock agree with what was kept?"""
    now = now_us()
    newest = max((int(p.stat().st_mtime * 1e6) for p in folder.glob("*") if p.is_file()), default=0)
    ahead = max(newest, last_commit or 0) - now
    if ahead > 60_000_000:
        return Finding("clock", "fail", f"it is {ahead / 1e6:,.0f} s behind what was kept last",
                       "Set it right (NTP) before the platform goes on")  # fmt: skip
    return Finding("clock", "ok", "it is not behind what was kept last")


def look_at_certificates(folder: Path) -> Finding:
    """Does a certificate run out?"""
    name, now = "certificates", now_us()
    files = [path for top in ("pki", "tls") for path in (folder / top).rglob("*")
             if path.suffix in {".der", ".crt", ".pem"} and "key" not in path.name
             and "quarantined" not in path.parts]  # fmt: skip
    left: list[tuple[float, str]] = []
    for path in files:
        content = path.read_bytes()
        try:
            one = (x509.load_pem_x509_certificate(content) if b"BEGIN CERT" in content
                   else x509.load_der_x509_certificate(content))  # fmt: skip
        except ValueError:
            continue
        days = (one.not_valid_after_utc.timestamp() * 1e6 - now) / _DAY
        left.append((days, str(path.relative_to(folder))))
    if not left:
        return Finding(name, "ok", "none yet")
    days, which = min(left)
    if days < 30:
        when = f"runs out in {days:,.0f} days" if days > 0 else f"ran out {-days:,.0f} days ago"
        return Finding(name, "warn" if days > 0 else "fail", f"{which} {when}",
                       "Renew it; a machine's own: trust its new one under Sources")  # fmt: skip
    return Finding(name, "ok", f"{len(left)} certificates; the first runs out in {days:,.0f} days")


def look_at_backup(folder: Path) -> Finding:
    """Is there a backup, and of when?"""
    try:
        last = json.loads((folder / LAST).read_text())
        age, target = (now_us() - int(last["at"])) / _DAY, str(last["target"])
    except (OSError, ValueError, KeyError, TypeError):
        return Finding("backup", "warn", "none was made yet", "lineshaft backup TARGET")
    text = f"the last one is {age:,.1f} days old: {target}"
    if age > 7:
        return Finding("backup", "warn", text, "lineshaft backup TARGET, best once a day")
    return Finding("backup", "ok", text)


def guarded(name: str, error: Exception) -> Finding:
    """Return the finding of a look that could not be taken."""
    advice = error.hint if isinstance(error, LineshaftError) else "Its log says more; report it"
    text = (
        error.message if isinstance(error, LineshaftError) else f"{type(error).__name__}: {error}"
    )
    return Finding(name, "fail", text[:300], advice)
