"""Logs are JSON lines, turned over by size, and hold no secret."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from lineshaft.logs import LogFile, as_record, read_log, record
from lineshaft.processes import Supervisor
from tests.end_to_end.platform import until
from tests.support.nats import eventually
from tests.web.conftest import House


def test_a_log_is_turned_over_and_no_more_than_three_before_are_kept(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", most_bytes=2000)
    for number in range(200):
        log.write(record("x", f"line {number}"))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    newest = [entry["event"] for entry in read_log(tmp_path, "x", 20)]
    assert newest == [f"line {number}" for number in range(180, 200)]


def test_whatever_a_process_says_becomes_a_record() -> None:
    bus = as_record("bus", b"[12] 2026/01/01 00:00:00.000000 [ERR] no space left on device\n")
    assert bus is not None
    assert (bus["level"], bus["event"]) == ("error", "no space left on device")
    own = json.dumps({"time": 5, "level": "info", "event": "hello", "process": "web"}).encode()
    assert as_record("web", own) == {"time": 5, "level": "info", "event": "hello", "fields": {},
                                     "process": "web"}  # fmt: skip
    for odd in (b"{", b"[]", b'{"time": "x", "level": 1, "event": 2}', b"\xff\xfe", b"{" * 9000):
        found = as_record("web", odd)
        assert found is not None
        assert found["level"] == "warning"


def _of_bus(text: str) -> dict[str, Any] | None:
    return as_record("bus", f"[12] 2026/01/01 00:00:00.000000 {text}\n".encode())


def test_of_the_banner_of_the_bus_only_its_version_stays() -> None:
    for banner in ("[INF]", "[INF] ", "[INF] Starting nats-server", "[INF]   Git:  [b2fd3ef]",
                   "[INF]  _ | | __|", "[INF] ---------------- JETSTREAM ----------------",
                   "[INF] | || | _|  | |", "[INF] Took 3.3ms to start JetStream",
                   "[WRN] Plaintext passwords detected, use nkeys or bcrypt"):  # fmt: skip
        assert _of_bus(banner) is None, banner
    version = _of_bus("[INF]   Version:  2.15.1")
    assert version is not None
    assert (version["event"], version["fields"]) == ("nats-server starts", {"version": "2.15.1"})
    for kept in ("[INF] Server is ready", "[INF] Listening for client connections on 127.0.0.1:1",
                 "[WRN]   - odd", "[ERR] ", "[WRN] Starting slowly", "[FTL] - no"):  # fmt: skip
        assert _of_bus(kept) is not None, kept


_CHILD = """
import logging, sys
from lineshaft.logs import log_as_json
log_as_json("history")
logging.getLogger("lineshaft.x").info("file %s written", "a", extra={"rows": 3})
print("plain words", file=sys.stderr, flush=True)
if len(sys.argv) > 1:
    raise RuntimeError("it broke")
import time
time.sleep(60)
"""


async def test_the_supervisor_writes_what_its_processes_say(tmp_path: Path) -> None:
    commands = {
        "bus": [sys.executable, "-c", _CHILD],
        "history": [sys.executable, "-c", _CHILD, "fail"],
    }
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor(tmp_path, commands).run(stop))
    logs = tmp_path / "logs"

    def said(process: str) -> list[str]:
        return [entry["event"] for entry in read_log(logs, process, 1000)]

    try:
        await eventually(lambda: "history ended with 1; started again" in said("history"))
        await eventually(lambda: "plain words" in said("bus"))
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)
    lines = [json.loads(line) for line in (logs / "history.log").read_text().splitlines()]
    assert all(sorted(e) == ["event", "fields", "level", "process", "time"] for e in lines)
    first = next(e for e in lines if e["event"] == "file a written")
    assert (first["level"], first["fields"]["rows"]) == ("info", 3)
    broken = next(e for e in lines if e["level"] == "critical")
    assert broken["event"] == "ended by RuntimeError: it broke"
    assert "Traceback" in broken["fields"]["trace"]


def test_the_logs_can_be_read_over_http(house: House) -> None:
    pid = house.family()["connect"]
    os.kill(pid, signal.SIGKILL)

    def told() -> bool:
        lines = house.get("logs", process="connect", lines=50)["lines"]
        return any("connect ended with -9" in line["event"] for line in lines)

    until("the log tells of the killed process", told)
    every = house.get("logs", lines=500)["lines"]
    assert {"bus", "supervisor"} <= {line["process"] for line in every}
    assert [line["time"] for line in every] == sorted(line["time"] for line in every)
    grave = house.get("logs", lines=500, level="warning")["lines"]
    assert {line["level"] for line in grave} <= {"warning", "error", "critical"}
    assert house.ask("GET", "logs", process="../keys/platform").status_code == 422
    assert house.ask("GET", "logs", level="loud").status_code == 422
    assert house.get("logs", process="nobody")["lines"] == []
