"""The processes of the platform on one page, and what keeps them alive.

    supervisor ── bus       nats-server: the streams, on disk
               ├─ plant     the simulated plant (demo only)
               ├─ connect   machines in: connectors, subscriptions, gaps
               ├─ history   the writer, the keeper of Facts and that of the ledger
               ├─ twins     what machines are believed to do, stepped with every sample
               ├─ decide    loops: what they want, the guards, what they moved
               └─ web       doors, rooms, reader

Rules: each may die at any moment; the supervisor starts it again, soon at first, then with growing
pauses, and is not stopped by a full disk. All start at once and wait for the bus by themselves.
They end in the reverse order of the table, each with a deadline. When the supervisor itself is
killed, the kernel ends its children, so a new start finds the ground clear.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lineshaft.children import die_with_parent
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Refused
from lineshaft.logs import LogFile, as_record, record
from lineshaft.private import write_private

__all__ = ["TABLE", "Process", "Supervisor"]

_STOP_S: Final = 8.0
_CALM_S: Final = 60.0
_PAUSES_S: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
#: Our matrices are small: threads of a library of linear algebra would only fight for the cores.
_ENVIRON: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_LINE_BYTES: Final = 65_536
_LAST_WORDS_S: Final = 1.0
_LOOK_S: Final = 1.0
_ROOM: Final = 50_000_000
_FULL: Final = b"no space left on device"


@dataclass(frozen=True, slots=True)
class Process:
    """One row of the table: its name and whether it runs only in the demo."""

    name: str
    demo_only: bool = False


TABLE: Final = (
    Process("bus"),
    Process("plant", demo_only=True),
    Process("connect"),
    Process("history"),
    Process("twins"),
    Process("decide"),
    Process("web"),
)


class _Child:
    """A running row of the table."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self._command = command
        self._log = LogFile(folder / "logs" / f"{name}.log")
        self.state = "starting"
        self.pid: int | None = None
        self.restarts = 0
        self.since = now_us()
        self.changed: Callable[[], None] = lambda: None
        self._process: asyncio.subprocess.Process | None = None
        self._ending = False
        self._is_full = False

    async def keep(self) -> None:
        """Run the command, again and again, until `end`."""
        failures = 0
        while True:
            started = monotonic_s()
            try:
                code: object = await self._run_once()
            except OSError as error:
                code = error
            if self._ending:
                break
            failures = 0 if monotonic_s() - started > _CALM_S else failures + 1
            self.restarts += 1
            self._show("restarting" if failures <= len(_PAUSES_S) else "failed", None)
            self._note(f"{self.name} ended with {code}; started again")
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S)) - 1] if failures else 0)
        self._show("stopped", None)

    async def _run_once(self) -> int:
        # A pipe of our own: what a process says is read to the end, and its end is not waited for
        # where somebody else still holds it open.
        ours, theirs = os.pipe()
        self._is_full = False
        listening = asyncio.ensure_future(self._listen(ours))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,  # Ctrl-C is for the supervisor alone
                env={**os.environ, **_ENVIRON},
                preexec_fn=die_with_parent,
            )
        finally:
            os.close(theirs)
        try:
            self._show("running", self._process.pid)
            return await self._process.wait()
        finally:
            await asyncio.wait({listening}, timeout=_LAST_WORDS_S)
            listening.cancel()

    async def _listen(self, pipe: int) -> None:
        """Write down every line that comes through the pipe, until its end."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb")
        )
        held = b""
        try:
            while piece := await reader.read(65536):
                *lines, held = (held + piece).split(b"\n")
                if len(held) > _LINE_BYTES:  # an endless line is cut
                    lines, held = [*lines, held], b""
                for line in lines:
                    self._is_full |= _FULL in line
                    self._tell(line)
        finally:
            transport.close()
            self._tell(held)

    def _tell(self, line: bytes) -> None:
        if line.strip() and (entry := as_record(self.name, line)):
            self._log.write(entry)

    def met_a_full_disk(self) -> bool:
        """Return whether it said so, since its start or the last call."""
        told, self._is_full = self._is_full, False
        return told

    def start_anew(self) -> None:
        """Have it end, and `keep` start it again."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    async def end(self) -> None:
        """Ask the process to end; make it end after a deadline."""
        self._ending = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            self._note(f"{self.name} did not end within {_STOP_S:.0f} s and was killed")
            process.kill()
            await process.wait()

    def _show(self, state: str, pid: int | None) -> None:
        self.state, self.pid, self.since = state, pid, now_us()
        self.changed()

    def _note(self, text: str) -> None:
        self._log.write(record("supervisor", text, "warning"))


class Supervisor:
    """Keeps the commands of the table alive; their state lies in `run/processes.json`."""

    def __init__(self, folder: Path, commands: dict[str, Sequence[str]]) -> None:
        self._folder = folder
        self._file = folder / "run" / "processes.json"
        self._is_written = True
        self._children = [_Child(name, command, folder) for name, command in commands.items()]
        for child in self._children:
            child.changed = self._write

    async def run(self, stop: asyncio.Event) -> None:
        """Run everything until `stop`, then end it in reverse order."""
        keepers = [asyncio.ensure_future(child.keep()) for child in self._children]
        keepers.append(asyncio.ensure_future(self._heal()))
        try:
            await stop.wait()
        finally:
            for child in reversed(self._children):
                await child.end()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _heal(self) -> None:
        """Undo what a full disk left behind, for ever.

        A stream of the bus that could not be written once refuses everything until the server is
        started again; so that is done as soon as there is room.
        """
        bus, is_ill = self._children[0], False
        while True:
            await asyncio.sleep(_LOOK_S)
            if not self._is_written:
                self._write()
            is_ill |= bus.met_a_full_disk()
            if is_ill and shutil.disk_usage(self._folder).free > _ROOM:
                is_ill = False
                bus.start_anew()

    def _write(self) -> None:
        names = ("name", "state", "pid", "restarts", "since")
        states = [{name: getattr(child, name) for name in names} for child in self._children]
        self._is_written = False
        with suppress(Refused):
            write_private(self._file, json.dumps(states))
            self._is_written = True


def python_command(name: str, folder: Path) -> list[str]:
    """Return the command that runs one of our own processes."""
    return [sys.executable, "-m", "lineshaft.app", name, str(folder)]
