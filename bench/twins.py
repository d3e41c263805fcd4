"""`twins`: bus → twin → estimate → bus → history, 100,000 twins of several kinds.

The figure is how many samples of outputs the twins took in a second while they kept pace with what
was published: estimates that history holds at the end, by the seconds since the publisher began.
Two thirds are scalar lags, a fifth lags with dead time (unscented), the rest four-state unscented
filters with two outputs. Stamps are irregular: about one a second and twin, with up to a tenth of
a second of jitter. `cores` is the processor time of the process `twins`.

`twins --step`: one step of 100,000 scalar filters in memory, nothing else.
"""

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.figures import Figure, judge
from bench.ground import Ground, check_disk, clean_folder, run_platform, say
from lineshaft.records import open_records
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.scalar import LagFleet
from lineshaft.rooms.twins.engine.setup import Setup
from lineshaft.rooms.twins.model import Binding, Twin
from lineshaft.rooms.twins.model import Figure as Constant
from lineshaft.rooms.twins.store import TwinStore

__all__ = ["run"]

TWINS = 100_000
_LAGS, _DELAYED = 68_000, 20_000
_FOUR = TWINS - _LAGS - _DELAYED
OUTPUTS = _LAGS + _DELAYED + 2 * _FOUR
OWN = OUTPUTS  # an estimate's sid is its output's sid plus this


def run(seconds: float, runs: int, *, step: bool = False, rate: float = 300_000) -> list[Figure]:
    """Measure and return `updates_per_s` and `cores`, or `step_ms`."""
    if step:
        return [_step(runs)]
    check_disk(20)
    rates, cores = [], []
    for number in range(runs):
        with clean_folder() as folder:
            updates, share, late = _one(folder, seconds, rate)
        say(f"run {number + 1}/{runs}: {updates:,.0f} updates/s on {share:.2f} cores, "
            f"estimates {late:.1f} s behind at the end")  # fmt: skip
        rates.append(updates)
        cores.append(share)
    note = f"{rate:,.0f}/s published for {seconds:.0f} s"
    return [judge("twins", "updates_per_s", rates, "1/s", 200_000, 1_000_000, note=note),
            judge("twins", "cores", cores, "cores", 1, 1, lower=True)]  # fmt: skip


def _one(folder: Path, seconds: float, rate: float) -> tuple[float, float, float]:
    with run_platform(folder, ()):
        _define(folder)
    with run_platform(folder, ("bus", "history", "twins", "web"), BUS__MAX_GB=40) as ground:
        ground.wait("system", lambda _: True)
        _wait_for_twins(folder)
        began, samples = _publish(folder, 3, rate / 4, 0)  # the kernels are compiled with that
        before = _settled(ground, 2 * samples)
        twins = _process(folder)
        cpu = sum(twins.cpu_times()[:2])
        began, samples = _publish(folder, seconds, rate, 10)
        wall = time.time() - began
        cores = (sum(twins.cpu_times()[:2]) - cpu) / wall
        stored, asked = _stored(ground), time.time()
        _settled(ground, before + 2 * samples)
        # Half of what is kept are the samples themselves.
        return (stored - before) / 2 / wall, cores, time.time() - asked


def _wait_for_twins(folder: Path) -> None:
    """Return once the process has taken its place in the stream, which it notes at once."""
    end = time.monotonic() + 120
    while not list((folder / "twins").glob("*.npz")):
        if time.monotonic() > end:
            raise SystemExit("bench: the twins did not come up")
        time.sleep(0.1)


def _publish(folder: Path, seconds: float, rate: float, start_s: int) -> tuple[float, int]:
    command = [sys.executable, "-m", "bench.twin_samples", str(folder)]
    done = subprocess.run(
        [*command, str(seconds), str(rate), str(start_s)], check=True, stdout=subprocess.PIPE
    )
    said = json.loads(done.stdout)
    return said["began"], said["samples"]


def _stored(ground: Ground) -> int:
    return _accepted(ground.get("system"))


def _accepted(system: dict[str, Any]) -> int:
    rows: int = system["stream"]["stored_rows"] + system["stream"]["lag_rows"]
    return rows


def _settled(ground: Ground, rows: int) -> int:
    """Return once so many rows, samples and estimates, are on disk; each twin's states follow at
    their own pace and are not counted on."""
    ground.wait("system", lambda s: _accepted(s) >= rows, 180, pause_s=0.2)
    return _stored(ground)


def _process(folder: Path) -> psutil.Process:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == ["twins", str(folder)]:
                return process
    raise SystemExit("bench: the process twins does not run")


def _define(folder: Path) -> None:
    """Write the twins into the records, in steps of a thousand."""
    store = TwinStore(open_records(folder / "records.sqlite"))
    for first in range(0, TWINS, 1000):
        store.add([_twin(number) for number in range(first, first + 1000)])


def _twin(number: int) -> Twin:
    name, machine = f"twin {number}", "acme/north/hall/line-1/machine"
    if number < _LAGS + _DELAYED:
        sid = number + 1
        dead_time = 0.0 if number < _LAGS else 0.3
        return Twin(
            f"{number:x}", name, machine, "lag", outputs={"level": Binding(sid)},
            parameters={"time_constant": Constant(20.0), "dead_time": Constant(dead_time)},
            estimates={"level": sid + OWN},
        )  # fmt: skip
    sid = _LAGS + _DELAYED + 2 * (number - _LAGS - _DELAYED) + 1
    names = ("level_1", "level_2")
    return Twin(
        f"{number:x}", name, machine, "four-tanks",
        outputs={each: Binding(sid + i) for i, each in enumerate(names)},
        estimates={each: sid + i + OWN for i, each in enumerate(names)},
    )  # fmt: skip


def _step(runs: int) -> Figure:
    fleet, random = LagFleet("kalman"), np.random.default_rng(1)
    for _ in range(TWINS):
        fleet.add(Setup.of(LAG))
    twin, port = np.arange(TWINS), np.ones(TWINS, np.int64)
    times = []
    for number in range(20 + 50 * runs):
        at, value = np.full(TWINS, 1_000_000 * (number + 1)), random.normal(size=TWINS)
        began = time.perf_counter()
        fleet.process(twin, port, at, value)
        times.append((time.perf_counter() - began) * 1e3)
    medians = [float(np.median(times[20 + 50 * i : 70 + 50 * i])) for i in range(runs)]
    return judge("twins --step", "step_ms", medians, "ms", 1, 0.3, lower=True,
                 note="median of 50 steps a run")  # fmt: skip
