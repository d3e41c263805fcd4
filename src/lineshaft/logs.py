"""Logs: one JSON object a line, in one file a process, turned over by size.

    {"time": µs UTC, "level": "info", "process": "web", "event": "…", "fields": {…}}

Rules: our own processes write such lines to their standard error; the supervisor reads them there,
gives form to whatever else comes that way (the bus, a traceback of the interpreter), and writes the
files, so that nothing a process says is lost and no file grows without bound. A line holds no
secret: what is logged is named by its id, never by its content.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lineshaft.clock import now_us

__all__ = ["LEVELS", "LogFile", "as_record", "log_as_json", "read_log", "record"]

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_MOST_BYTES: Final = 10_000_000
_KEPT: Final = 3
_LINE: Final = 16_384
_TAIL: Final = 4_000_000
_BUS: Final = re.compile(
    r"\[\d+\] [\d/]+ [\d:.]+ \[(DBG|TRC|INF|WRN|ERR|FTL)\](?: (.*))?", re.DOTALL
)
# Its banner. The passwords it warns of are made anew at each start, in a file only we may read.
_BANNER: Final = re.compile(
    r"INF (\s|[|-]|$|Starting |Using configuration|Took |Trapped|Initiating|JetStream Shutdown)"
    r"|WRN Plaintext passwords detected"
)
_BUS_LEVELS: Final = {"DBG": "debug", "TRC": "debug", "WRN": "warning", "ERR": "error",
                      "FTL": "critical"}  # fmt: skip
_NAMES: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def record(
    process: str, event: str, level: str = "info", fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a line's object, of now."""
    return {
        "time": now_us(), "level": level, "process": process, "event": event[:_LINE],
        "fields": dict(fields or {}),
    }  # fmt: skip


class _Lines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, entry: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"logger": entry.name}
        fields |= {k: v for k, v in entry.__dict__.items() if k not in _NAMES}
        if entry.exc_info:
            fields["trace"] = self.formatException(entry.exc_info)[-_LINE:]
        level = entry.levelname.lower()
        made = record(self._process, entry.getMessage(), level, fields)
        return json.dumps(made, default=str, ensure_ascii=False)


def log_as_json(process: str) -> None:
    """Have this process log JSON lines to its standard error, uncaught errors included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("lineshaft").setLevel(logging.INFO)
    ended = logging.getLogger("lineshaft")
    sys.excepthook = lambda kind, error, trace: ended.critical(
        "ended by %s: %s", kind.__name__, str(error)[:1000], exc_info=(kind, error, trace)
    )


def as_record(process: str, line: bytes) -> dict[str, Any] | None:
    """Return what a process said as a record: its own where it is one, else given form; None for
    the bus server's banner, of which only the version stays."""
    text = line[:_LINE].decode("utf-8", "replace").rstrip()
    if text.startswith("{"):
        try:
            said = json.loads(line)
            if {"time", "level", "event"} <= said.keys() and isinstance(said["time"], int):
                return {"process": process, "fields": {}, **said}
        except (ValueError, AttributeError, RecursionError):
            pass
    if of_bus := _BUS.fullmatch(text):
        level, said = of_bus[1], of_bus[2] or ""
        if level == "INF" and said.startswith("  Version:"):
            return record(process, "nats-server starts", fields={"version": said.split()[1]})
        if _BANNER.match(f"{level} {said}"):
            return None
        return record(process, said, _BUS_LEVELS.get(level, "info"))
    return record(process, text, "warning")


class LogFile:
    """A log that is turned over at 10 MB; three files of before are kept, `.1` the newest.

    A disk that refuses loses lines, never the process that speaks.
    """

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES) -> None:
        self._path, self._most = path, most_bytes

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append a record."""
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._path.exists() and self._path.stat().st_size + len(line) > self._most:
                self._turn_over()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            return

    def _turn_over(self) -> None:
        for number in range(_KEPT - 1, 0, -1):
            older = _turned(self._path, number)
            if older.exists():
                older.replace(_turned(self._path, number + 1))
        self._path.replace(_turned(self._path, 1))


def read_log(folder: Path, process: str, count: int) -> list[dict[str, Any]]:
    """Return the newest `count` records of a process's log (of all, where `process` is empty),
    oldest first."""
    logs = sorted(folder.glob("*.log"))
    wanted = [path for path in logs if path.stem == process] if process else logs
    found = [entry for path in wanted for entry in _newest(path, count)]
    found.sort(key=lambda entry: entry["time"])
    return found[-count:]


def _newest(path: Path, count: int) -> list[dict[str, Any]]:
    lines: list[bytes] = []
    for part in (path, _turned(path, 1)):
        if len(lines) < count:
            lines = [*_tail(part), *lines]
    return [entry for line in lines[-count:] if (entry := as_record(path.stem, line))]


def _tail(path: Path) -> Iterator[bytes]:
    """Hand out the whole lines of a file's end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return
    yield from (line for line in lines[1 if size > _TAIL else 0 :] if line.strip())


def _turned(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
