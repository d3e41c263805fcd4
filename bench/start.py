"""`start`: from nothing to the first live value in the API, and the memory of the idle demo.

Warm: `./dev run` in a checkout that has run before. Cold: the same in a fresh clone (package caches
warm). Memory: the summed proportional set size of all our processes but the plant, after the demo
has idled.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from bench.figures import Figure, judge
from bench.ground import Ground, say
from lineshaft.bus.server import free_port

__all__ = ["run"]

_ROOT = Path(__file__).parents[1]
_IDLE_S = 60.0


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `warm_s`, `cold_s`, `memory_mb`."""
    idle = seconds or _IDLE_S
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        data = Path(folder) / "data"
        warm, memory = [], []
        _start(_ROOT, data, 0)  # makes the data folder
        for number in range(runs):
            took, used = _start(_ROOT, data, idle if number == 0 else 5)
            warm.append(took)
            memory.append(used)
            say(f"warm {number + 1}/{runs}: {took:.2f} s, {used:.0f} MB")
        cold = []
        for number in range(min(runs, 2)):
            clone = Path(folder) / f"clone{number}"
            subprocess.run(["git", "clone", "-q", _ROOT, clone], check=True)
            took, _ = _start(clone, clone / ".lineshaft", 0)
            cold.append(took)
            say(f"cold {number + 1}: {took:.1f} s")
            shutil.rmtree(clone)
    return [
        judge("start", "warm_s", warm, "s", 6, 4, lower=True),
        judge("start", "cold_s", cold, "s", 120, 60, lower=True),
        judge("start", "memory_mb", memory[:1], "MB", 600, 450, lower=True,
              note=f"after {idle:.0f} s idle"),
    ]  # fmt: skip


def _cache() -> Path:
    path = _ROOT / ".cache" / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _start(checkout: Path, data: Path, idle_s: float) -> tuple[float, float]:
    """Run `./dev run` until the first live value; return the seconds and, after idling, the MB."""
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("LINESHAFT", "PYTHON"))}
    command = ["./dev", "run", "--data", str(data), "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=checkout, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        took = _first_value(Ground(data, port), process, began)
        time.sleep(idle_s)
        return took, _memory(process.pid, data)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _first_value(ground: Ground, process: "subprocess.Popen[bytes]", began: float) -> float:
    """Wait for a sample that was made after the start."""
    wall = time.time() * 1e6
    while True:
        if process.poll() is not None:
            raise SystemExit(f"bench: ./dev run ended with {process.returncode}")
        try:
            signals = ground.get("signals")["signals"]
            sids = ",".join(str(signal["sid"]) for signal in signals)
            if sids and max(ground.get(f"last?sid={sids}")["ts"], default=0) > wall:
                return time.monotonic() - began
        except OSError:
            pass
        if time.monotonic() - began > 600:
            raise SystemExit("bench: no live value within 600 s")
        time.sleep(0.02)


def _memory(pid: int, data: Path) -> float:
    listed = json.loads((data / "run" / "processes.json").read_text())
    pids = [row["pid"] for row in listed if row["name"] != "plant" and row["pid"]]
    return sum(psutil.Process(one).memory_full_info().pss for one in (pid, *pids)) / 1e6
