"""A whole platform in processes of its own, started as people start it and asked over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from lineshaft.bus.server import free_port

__all__ = ["PATIENCE_S", "Platform", "lineshaft", "running", "until"]

PATIENCE_S = 60.0
T = TypeVar("T")


def until(what: str, holds: Callable[[], T], seconds: float = PATIENCE_S) -> T:
    """Return what `holds` returns as soon as it is true; what it raises meanwhile counts as no."""
    end = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            found = holds()
            if found:
                return found
            last = found
        except (httpx.HTTPError, OSError, KeyError, LookupError, ValueError) as error:
            last = error
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what} (last: {last!r})"
        time.sleep(0.05)


def lineshaft(*arguments: str, timeout_s: float = 120, **environ: str) -> Any:
    """Run the command line and return how it ended (`returncode`, `stdout`, `stderr`)."""
    return subprocess.run(
        [*_COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s,
        env=_environment(environ), check=False,
    )  # fmt: skip


class Platform:
    """`lineshaft demo` (or `up`) on a folder and a free port; killed and started again at will."""

    def __init__(
        self, folder: Path, *arguments: str, verb: str = "demo",
        environ: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.port = free_port()
        self._arguments = [verb, "--data", str(folder), "--port", str(self.port), *arguments]
        self._environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._family: dict[int, psutil.Process] = {}

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What the supervisor said, over all starts."""
        return (self.folder.parent / f"{self.folder.name}.out").read_text("utf-8", "replace")

    def start(self) -> "Platform":
        """Start it; returns once the doors are open."""
        self.launch()

        def open_doors() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"it ended at its start:\n{self.output[-3000:]}"
            return self.ask("GET", "system").status_code == 200

        until("the doors are open", open_doors)
        return self

    def launch(self) -> None:
        """Start it and return at once."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with (self.folder.parent / f"{self.folder.name}.out").open("ab") as output:
            self._process = subprocess.Popen(
                [*_COMMAND, *self._arguments], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env=_environment(self._environ), start_new_session=True,
            )  # fmt: skip

    def stop(self) -> float:
        """Ask it to end; return how many seconds that took."""
        assert self._process is not None
        self.family()
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.output[-3000:]
        return time.monotonic() - began

    def kill(self) -> None:
        """`kill -9` the supervisor."""
        assert self._process is not None
        self.family()
        self._process.kill()
        self._process.wait(20)

    def alive(self) -> bool:
        """Return whether the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    def family(self) -> dict[str, int]:
        """Return the process id of each process of the table that runs now."""
        try:
            children = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        self._family |= {child.pid: child for child in children}
        listed = json.loads((self.folder / "run" / "processes.json").read_text())
        alive = {child.pid for child in children}
        return {row["name"]: row["pid"] for row in listed if row["pid"] in alive}

    def left(self) -> list[str]:
        """Return what still runs of all processes that were ever seen, the supervisor apart."""
        left = []
        for process in self._family.values():
            try:  # psutil tells a process from a later one of the same number
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(" ".join(process.cmdline()))
            except psutil.NoSuchProcess:
                continue
        return left

    def end(self) -> None:
        """End everything, whatever state it is in."""
        if self._process is not None:
            if self._process.poll() is None:
                self.family()
                self._process.kill()
            self._process.wait(20)
        for process in self._family.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until("all processes are gone", lambda: not self.left(), 20)

    @property
    def key(self) -> str:
        """The key by which the platform's own machine signs in."""
        return (self.folder / "keys" / "platform.key").read_text().strip()

    @property
    def url(self) -> str:
        """Where the doors are."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Send one request, signed in by the key."""
        return httpx.request(
            method, f"{self.url}/api/v1/{path}", json=body, params=query,
            headers={"Authorization": f"Bearer {self.key}"}, timeout=90,
        )  # fmt: skip

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a successful GET."""
        return _good(self.ask("GET", path, **query)).json()

    def post(self, path: str, body: Any) -> Any:
        """Return the JSON of a successful POST, None where it has no body."""
        answer = _good(self.ask("POST", path, body))
        return answer.json() if answer.content else None

    def signals(self) -> dict[str, dict[str, Any]]:
        """Return the signals by path."""
        return {signal["path"]: signal for signal in self.get("signals")["signals"]}

    def facts(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the newest 5,000 Facts of these kinds, oldest first."""
        found: list[dict[str, Any]] = self.get("facts", kind=",".join(kinds), limit=5000)["facts"]
        return found[::-1]

    def source(self, source_id: str = "demo") -> dict[str, Any]:
        """Return one source."""
        listed: list[dict[str, Any]] = self.get("sources")["sources"]
        return {source["id"]: source for source in listed}[source_id]

    def wait_connected(self, source_id: str = "demo") -> None:
        """Return once the source's link stands and its first value can be read."""
        until(f"{source_id} is connected", lambda: self.source(source_id)["link"] == "connected")
        sids = [s["sid"] for s in self.signals().values() if s["source"] == source_id]
        until(
            "every signal has a value",
            lambda: len(self.get("last", sid=",".join(map(str, sids)))["sid"]) == len(sids),
        )


@contextmanager
def running(
    folder: Path, *arguments: str, kind: type[Platform] = Platform, **options: Any
) -> Iterator[Platform]:
    """Run a platform inside the block; on the way out nothing of it is left."""
    platform = kind(folder, *arguments, **options)
    try:
        yield platform.start()
    finally:
        platform.end()


def _good(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text[:1000]}"
    return answer


_COMMAND = [sys.executable, "-c", "from lineshaft.cli import main; main()"]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LINESHAFT__")}
    return {**kept, **more}
