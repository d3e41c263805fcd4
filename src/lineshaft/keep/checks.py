"""What a check-up looks at on this machine and in the data folder: each look returns a `Verdict`.

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
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

import psutil
from cryptography import x509

from lineshaft import __version__
from lineshaft.clock import now_us
from lineshaft.instance import MARK, RESTORING
from lineshaft.keep.backup import LAST
from lineshaft.keep.cut import Cut, check_file, parts_of
from lineshaft.keep.probe import syncs
from lineshaft.records.migrate import HEAD
from lineshaft.settings import Settings

__all__ = [
    "Verdict", "backup", "certificates", "clock", "database", "disk", "files", "folder", "limits",
    "memory", "orphans", "port", "sync", "version",
]  # fmt: skip

_DAY: Final = 86_400_000_000
_LITTLE, _NOTHING = 5_000_000_000, 200_000_000
_SETTLED_S: Final = 900
_NEARLY: Final = 0.7

Verdict = tuple[Literal["ok", "warn", "fail"], str, str]
"""State, what was seen, and what to do where something is to be done."""


def version() -> Verdict:
    """Which program, on what."""
    text = f"Lineshaft {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return "ok", text, ""


def folder(data: Path) -> Verdict:
    """Is the data folder ours, and nobody else's?"""
    if (data / RESTORING).exists():
        again = "Run `lineshaft restore` into it again"
        return "fail", f"a restore into {data} was not completed", again
    if not (data / MARK).exists():
        advice = "Give it with --data, or start the platform once"
        return "fail", f"{data} is no data folder", advice
    if data.stat().st_uid != os.getuid():
        return "fail", f"{data} belongs to another user", "Run this as the user that runs it"
    open_ones = [path for path in _guarded(data) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_ones:
        more = f" and {len(open_ones) - 1} more" if len(open_ones) > 1 else ""
        return "fail", f"others may read {open_ones[0]}{more}", f"chmod -R go= {data}"
    return "ok", f"{data}, readable by its owner only", ""


def _guarded(data: Path) -> Iterator[Path]:
    yield data
    for top in ("keys", "secrets", "run"):
        yield from (path for path in (data / top).rglob("*") if path.is_file()
                    and (top != "run" or path.suffix in {".json", ".conf"}))  # fmt: skip
    yield from (path for path in (data / "pki").rglob("*key*") if path.is_file())


def disk(data: Path) -> Verdict:
    """Is there room?"""
    usage = shutil.disk_usage(data)
    text = f"{usage.free / 1e9:,.1f} GB of {usage.total / 1e9:,.1f} GB are free"
    if usage.free < _NOTHING:
        return "fail", text, "Free space now: samples wait in the bus, then stop"
    if usage.free < _LITTLE or usage.free < usage.total * 0.05:
        return "warn", text, "Free space, or let history keep less"
    return "ok", text, ""


def sync(data: Path) -> Verdict:
    """How long does the disk take to keep something?"""
    place = data / "run" / f"doctor-{os.getpid()}"
    place.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        took = sorted(syncs(place))
    finally:
        place.unlink(missing_ok=True)
    middle, worst = took[len(took) // 2] * 1e3, took[-1] * 1e3
    text = f"the disk syncs 4 kB in {middle:.1f} ms (median of {len(took)}, worst {worst:.1f} ms)"
    if middle > 200:
        return "fail", text, "Every block waits for it: use another disk"
    slow = "Expect few thousand blocks a minute; a disk with a protected cache is faster"
    return ("warn", text, slow) if middle > 30 else ("ok", text, "")


def memory() -> Verdict:
    """Is there memory?"""
    found = psutil.virtual_memory()
    text = f"{found.available / 1e9:,.1f} GB of {found.total / 1e9:,.1f} GB are available"
    if found.available < 300e6:
        return "fail", text, "End other programs, or give the machine more"
    little = found.available < found.total * 0.1
    return ("warn", text, "Look which program takes it") if little else ("ok", text, "")


def limits(supervisor: int | None) -> Verdict:
    """May the platform (or we, where it does not run) open enough files?"""
    try:
        soft, _ = (psutil.Process(supervisor).rlimit(psutil.RLIMIT_NOFILE) if supervisor
                   else resource.getrlimit(resource.RLIMIT_NOFILE))  # fmt: skip
    except (psutil.Error, OSError):
        advice = "Run this as the user that runs the platform"
        return "warn", "the limit of open files cannot be read", advice
    text = f"{soft:,} files may be open at once"
    if soft < 1024:
        return "fail", text, "Raise it: `ulimit -n 65536`, LimitNOFILE=65536"
    few = "Raise it for many sources: LimitNOFILE=65536"
    return ("warn", text, few) if soft < 4096 else ("ok", text, "")


def load(found: Mapping[str, Any]) -> Verdict:
    """Does the machine take more than it has to? `found` is what the doors say of its limits."""
    shares = [(one["share"] or 0.0, one["name"]) for one in found["limits"]]
    full = [f"{name} {share:.0%}" for share, name in shares if share > _NEARLY]
    if not full:
        return "ok", found["sentence"], ""
    text = f"{found['sentence']}; nearly used up: {', '.join(full)}"
    return "warn", text, "See the limits on the console's page System; relieve the first of them"


def port(settings: Settings, running: bool) -> Verdict:
    """Do the doors answer, or could they be opened?"""
    http = settings.http
    with socket.socket(socket.AF_INET6 if ":" in http.host else socket.AF_INET) as probe:
        probe.settimeout(3)
        answers = probe.connect_ex((http.host, http.port)) == 0
    if running and not answers:
        advice = "Give --port or --config as at its start; see logs/web.log"
        return "fail", f"nobody answers at {http.local_url}", advice
    if answers and not running:
        advice = f"End it, or set another port: --port {http.port + 1}"
        return "fail", f"another program listens at {http.local_url}", advice
    return "ok", f"{http.local_url} {'answers' if running else 'is free'}", ""


def database(file: Path) -> Verdict:
    """Is the database whole, and of this program?"""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as records:
            wrong = records.execute("PRAGMA integrity_check(3)").fetchall()
            [(number,)] = records.execute("SELECT version_num FROM alembic_version")
    except (sqlite3.Error, ValueError) as error:
        return "fail", f"{file} cannot be read: {error}", "Restore the last backup"
    if wrong != [("ok",)]:
        return "fail", f"it is damaged: {wrong[0][0]}", "Restore the last backup"
    if number > HEAD:
        return "fail", f"version {number}, this program {HEAD}", "Use the later program"
    if number < HEAD:
        upgrade = "The next start upgrades it, after a rehearsal on a copy"
        return "warn", f"version {number}, this program {HEAD}", upgrade
    return "ok", f"whole, version {number}, {file.stat().st_size / 1e6:,.1f} MB", ""


def files(history: Path, cut: Cut) -> Verdict:
    """Are the files that the catalogue names there, and whole?"""
    wrong = [(entry, why) for entry in cut.files if (why := check_file(history, entry))]
    declared = sum(entry.kind == "damaged" for entry in cut.files)
    count = len(cut.files)
    if wrong:
        entry, why = wrong[0]
        text = f"{len(wrong)} of {count} are not as the catalogue names them; {entry.path}: {why}"
        return (
            "fail",
            text,
            "Restart the platform: it repairs what the bus holds, and declares the rest",
        )
    if declared:
        lost = "Their samples are lost here; a backup may have them"
        return "warn", f"{declared} of {count} were declared damaged", lost
    rows = sum(entry.rows for entry in cut.files)
    return "ok", f"{count:,} files, {rows:,} rows, all there", ""


def orphans(history: Path, cut: Cut) -> Verdict:
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
    if not strays:
        return "ok", "every file is named", ""
    text = f"{len(strays)} files ({size / 1e6:,.1f} MB) have no name, e.g. {strays[0].name}"
    return "warn", text, "The next start deletes them"


def clock(data: Path, last_commit: int | None) -> Verdict:
    """Does the clock agree with what was kept?"""
    newest = max((int(p.stat().st_mtime * 1e6) for p in data.glob("*") if p.is_file()), default=0)
    ahead = max(newest, last_commit or 0) - now_us()
    if ahead > 60_000_000:
        text = f"it is {ahead / 1e6:,.0f} s behind what was kept last"
        return "fail", text, "Set it right (NTP) before the platform goes on"
    return "ok", "it is not behind what was kept last", ""


def certificates(data: Path) -> Verdict:
    """Does a certificate run out?"""
    left: list[tuple[float, str]] = []
    for path in (path for top in ("pki", "keys") for path in (data / top).rglob("*")):
        if (path.suffix not in {".der", ".crt", ".pem"} or "key" in path.name
                or "quarantined" in path.parts):  # fmt: skip
            continue
        content = path.read_bytes()
        try:
            one = (x509.load_pem_x509_certificate(content) if b"BEGIN CERT" in content
                   else x509.load_der_x509_certificate(content))  # fmt: skip
        except ValueError:
            continue
        days = (one.not_valid_after_utc.timestamp() * 1e6 - now_us()) / _DAY
        left.append((days, str(path.relative_to(data))))
    if not left:
        return "ok", "none yet", ""
    days, which = min(left)
    renew = "Renew it; a machine's own: trust its new one under Sources"
    if days <= 0:
        return "fail", f"{which} ran out {-days:,.0f} days ago", renew
    if days < 30:
        return "warn", f"{which} runs out in {days:,.0f} days", renew
    return "ok", f"{len(left)} certificates; the first runs out in {days:,.0f} days", ""


def backup(data: Path) -> Verdict:
    """Is there a backup, and of when?"""
    try:
        last = json.loads((data / LAST).read_text())
        age, target = (now_us() - int(last["at"])) / _DAY, str(last["target"])
    except (OSError, ValueError, KeyError, TypeError):
        return "warn", "none was made yet", "lineshaft backup TARGET"
    text = f"the last one is {age:,.1f} days old: {target}"
    return (
        ("warn", text, "lineshaft backup TARGET, best once a day") if age > 7 else ("ok", text, "")
    )
