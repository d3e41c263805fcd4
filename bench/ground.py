"""The ground a bench stands on: a clean folder, real processes, this machine's raw limits."""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lineshaft.boot import boot
from lineshaft.bus.server import free_port
from lineshaft.settings import load

__all__ = [
    "Asker",
    "Ground",
    "check_disk",
    "clean_folder",
    "fsync_limit",
    "run_platform",
    "say",
]

_quiet = False


def be_quiet() -> None:
    """Print no progress."""
    global _quiet
    _quiet = True


def say(text: str) -> None:
    """Print progress on standard error."""
    if not _quiet:
        import sys

        print(text, file=sys.stderr, flush=True)


@contextmanager
def clean_folder() -> Iterator[Path]:
    """Give a new folder on the disk of the checkout and delete it afterwards."""
    parent = Path(os.environ.get("LINESHAFT_BENCH_DIR", ".cache/bench")).absolute()
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_disk(need_gb: float) -> None:
    """End with a sentence where the disk is too small for the bench."""
    free = shutil.disk_usage(".").free / 1e9
    if free < need_gb:
        raise SystemExit(f"bench: {need_gb:.0f} GB of disk are needed, {free:.0f} GB are free")


class Asker:
    """One connection that asks and measures."""

    def __init__(self, address: str, headers: dict[str, str] | None = None) -> None:
        host, _, root = address.removeprefix("http://").partition("/")
        self._root = f"/{root}" if root else ""
        self._connection = http.client.HTTPConnection(host, timeout=60)
        self._headers = headers or {}

    def ask(self, path: str, **query: object) -> tuple[float, bytes]:
        """Return the time in ms and the answer."""
        return self._send("GET", path + (f"?{urlencode(query)}" if query else ""), None)

    def post(self, path: str, body: bytes) -> tuple[float, bytes]:
        """Send a body; return the time in ms and the answer."""
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: bytes | None) -> tuple[float, bytes]:
        began = time.perf_counter()
        self._connection.request(method, f"{self._root}/{path}", body, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        took = (time.perf_counter() - began) * 1e3
        if response.status not in (200, 204):
            raise SystemExit(f"bench: {path} answered {response.status}: {content[:300]!r}")
        return took, content


class Ground:
    """A running platform: its data folder, its address and key, its processes."""

    def __init__(
        self, folder: Path, port: int, processes: "list[subprocess.Popen[bytes]] | None" = None
    ) -> None:
        self.folder = folder
        self._processes = processes or []
        self.address = f"http://127.0.0.1:{port}"
        self._key = folder / "keys" / "platform.key"

    @property
    def key(self) -> str:
        """The data folder's key."""
        return self._key.read_text().strip()

    def asker(self) -> Asker:
        """Return a connection that stays, signed in."""
        return Asker(f"{self.address}/api/v1", {"Authorization": f"Bearer {self.key}"})

    def kill(self) -> None:
        """Kill all its processes at once (SIGKILL)."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()

    def get(self, path: str) -> Any:
        """Return the JSON of a reading operation."""
        return self._call(path, None)

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON of a changing operation."""
        return self._call(path, json.dumps(body).encode())

    def _call(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(
            f"{self.address}/api/v1/{path}",
            data=body,
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())

    def wait(self, path: str, until: Any, limit_s: float = 60, pause_s: float = 0.02) -> Any:
        """Ask until `until(answer)` is true; return the answer."""
        end = time.monotonic() + limit_s
        while True:
            try:
                answer = self.get(path)
                if until(answer):
                    return answer
            except OSError:
                pass
            if time.monotonic() > end:
                raise SystemExit(f"bench: {path} did not come to what was expected")
            time.sleep(pause_s)


@contextmanager
def run_platform(folder: Path, names: tuple[str, ...], **environ: object) -> Iterator[Ground]:
    """Run some processes of the platform from `folder`, and end them afterwards."""
    port = free_port()
    given = {"PLATFORM__DATA": folder, "HTTP__PORT": port, **environ}
    settings, _ = load(None, {f"LINESHAFT__{k}": str(v) for k, v in given.items()})
    with boot(settings, demo="plant" in names, reset=False, say=say) as ready:
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        running = []
        try:
            for name in names:
                log = (logs / f"{name}.log").open("ab")
                running.append(subprocess.Popen(ready.commands[name], stdout=log, stderr=log))
            yield Ground(folder, port, running)
        finally:
            for process in reversed(running):
                process.terminate()
            for process in reversed(running):
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def fsync_limit(folder: Path, size: int, seconds: float = 3.0) -> float:
    """Return how many writes of `size` bytes, each followed by fsync, fit into a second."""
    content = os.urandom(size)
    with (folder / "fsync.probe").open("wb") as file:
        count, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            count += 1
        took = time.monotonic() - began
    (folder / "fsync.probe").unlink()
    return count / took
