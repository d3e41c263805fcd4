"""Before the processes start: one data folder, one instance, one plan.

Rules: everything the platform keeps lies in the data folder, readable by its owner only; a second
instance on the same folder is turned away; `reset` deletes the folder's content and nothing else,
and only where the folder is one of ours.
"""

import json
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lineshaft.bus.server import free_port, prepare_server
from lineshaft.core.errors import Broken, Refused
from lineshaft.instance import MARK, MARK_TEXT, RESTORING, only_instance
from lineshaft.keep.hold import sweep_holds
from lineshaft.plan import Plan
from lineshaft.private import write_private
from lineshaft.processes import TABLE, python_command
from lineshaft.records.migrate import HEAD, version_of
from lineshaft.settings import Settings

__all__ = ["Boot", "boot"]

_LEAST_FREE = 200_000_000


@dataclass(frozen=True, slots=True)
class Boot:
    """A data folder made ready: its plan and the command line of every process."""

    plan: Plan
    commands: dict[str, Sequence[str]]


@contextmanager
def boot(
    settings: Settings, *, demo: bool, reset: bool, say: Callable[[str], None]
) -> Iterator[Boot]:
    """Make the data folder ready and hold it until the block ends.

    Raises Refused where another instance holds it, the HTTP port is taken or the disk is full.
    """
    folder = settings.folder
    _make_folder(folder)
    with only_instance(folder):
        sweep_holds(folder)
        if reset:
            say(f"deleting everything in {folder}")
            _empty(folder)
        for address in settings.http.listens:
            _check_port(address, settings.http.port)
        _check_disk(folder)
        _make_secret(folder / "keys" / "platform.key")
        if version_of(folder / "records.sqlite") == HEAD:
            for before in folder.glob("records.before-*.sqlite"):
                before.unlink(missing_ok=True)  # the upgrade has held for a whole run
        else:
            say("making the database and our certificate")
            _prepare(folder)
        (folder / "run" / "plant.json").unlink(missing_ok=True)
        wanted = demo and settings.plant.kind != "none"
        port = _plant_port(settings) if wanted else 0
        if wanted:
            _make_secret(folder / "secrets" / "plant")
        plan = Plan(settings, wanted, port)
        plan.write()
        bus, _ = prepare_server(
            folder,
            port=settings.bus.port,
            binary=settings.bus.binary,
            max_gb=settings.bus.max_gb,
        )
        names = [row.name for row in TABLE if wanted or not row.demo_only]
        yield Boot(plan, {n: bus if n == "bus" else python_command(n, folder) for n in names})


def _make_folder(folder: Path) -> None:
    try:
        if (folder / RESTORING).exists():
            raise Refused(
                f"a restore into {folder} was not completed",
                hint="Run `lineshaft restore` into it again",
                code="folder.restoring",
            )
        strange = folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists()
        if strange:
            raise Refused(
                f"{folder} holds files that are not ours",
                hint="Choose another data folder (platform.data), or empty it",
                code="folder.strange",
            )
        write_private(folder / MARK, MARK_TEXT)
        folder.chmod(0o700)
    except OSError as error:
        raise Refused(
            f"{folder} cannot be the data folder: {error.strerror}",
            hint="Choose another one (platform.data)",
            code="folder.unfit",
        ) from error


def _empty(folder: Path) -> None:
    run = folder / "run"
    kept = {folder / MARK, run, run / "lock"}  # the folder stays ours, and stays held
    for path in [*run.iterdir(), *folder.iterdir()]:
        if path not in kept:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refused(
                f"port {port} on {host} cannot be opened: {error.strerror}",
                hint=f"Stop the program that uses it, or choose another: --port {port + 1}",
                code="http.port",
            ) from error


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise Refused(
            f"only {free // 1_000_000} MB are free under {folder}",
            hint="Free at least 200 MB, or choose another data folder (platform.data)",
            code="folder.full",
        )


def _make_secret(path: Path) -> None:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))


def _prepare(folder: Path) -> None:
    """Prepare the folder in a process of its own, so that the supervisor stays small."""
    command = python_command("prepare", folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Broken(
            f"the data folder {folder} cannot be prepared: {last}",
            hint="Keep a copy of the folder and report this",
            code="records.migrate",
            retryable=False,
        )


def _plant_port(settings: Settings) -> int:
    """Return the plant's port: the one set, or that of the last run, or a free one."""
    if settings.plant.port:
        return settings.plant.port
    try:
        last = json.loads((settings.folder / "run" / "plan.json").read_text())["plant_port"]
        if last:
            _check_port("127.0.0.1", int(last))
            return int(last)
    except (OSError, ValueError, KeyError, Refused):
        pass
    return free_port()
