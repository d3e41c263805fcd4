"""`fmi`: the Modelica Reference-FMUs against the results they come with, and two bad FMUs.

`--path` is a folder with their built archives (`*.fmu`, FMI 2.0 and 3.0) and, where these do not
hold them, the files `NAME_out.csv`; nothing of it is kept here. Every FMU is stepped through the
times of its reference, its inputs at their start values. The error of an output column is the 95th
percentile over all rows of |y - r| / |r| (|y| where r is 0), that of an FMU the greatest of its
columns, and `max_error` the greatest of the FMUs. Text and octets are not compared. The bad FMUs
are our own, compiled from `tests/twins/fmi/lag.c`: each must be killed in time and named.
"""

import csv
import io
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.twins.fmi import forge

from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.core.errors import Broken
from lineshaft.rooms.twins.fmi import FmuHost, Limits, describe

__all__ = ["run"]

_MUST = ("BouncingBall", "Dahlquist", "Resource", "Stair", "VanDerPol")
_AIM = (("StateSpace", "3"), ("Feedthrough", "2"), ("Feedthrough", "3"))
_STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class _Compared:
    p95: float
    greatest: float
    rows: int
    columns: int
    ms: float


def run(seconds: float, runs: int, path: str = "") -> list[Figure]:
    """Return `max_error` of the five, `max_error_more` of those beyond, and `stopped`."""
    if not path:
        raise SystemExit("fmi: --path FOLDER with the built Reference-FMUs is needed")
    files = _found(Path(path))
    must = [(name, version) for version in ("2", "3") for name in _MUST]
    missing = [f"{name} (FMI {v})" for name, v in (*must, *_AIM) if (name, v) not in files]
    if missing:
        raise SystemExit(f"fmi: missing under {path}: {', '.join(missing)}")
    error = {}
    for key in (*must, *_AIM):
        one = _compare(files[key], Path(path))
        error[key] = one.p95
        say(f"FMI {key[1]} {key[0]:<13} p95 {one.p95:.2e}, greatest {one.greatest:.2e}, "
            f"{one.rows} rows x {one.columns}, {one.ms:.0f} ms with its process")  # fmt: skip
    for key in sorted(files.keys() - error.keys()):
        say(f"FMI {key[1]} {key[0]:<13} not compared")
    return [
        judge("fmi", "max_error", [max(error[key] for key in must)], "", 1e-4, 1e-4, lower=True),
        judge("fmi", "max_error_more", [max(error[key] for key in _AIM)], "", 1e-4, 1e-4,
              lower=True, note="StateSpace, Feedthrough"),
        judge("fmi", "stopped", [_stopped()], "of 4", 4, 4, note="hanging and crashing FMUs"),
    ]  # fmt: skip


def _found(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the archives by name and FMI version; what is no FMU for co-simulation is told."""
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.rglob("*.fmu")):
        try:
            form = describe(file)
        except Exception as error:
            say(f"{file.relative_to(folder)}: {error}")
            continue
        found[form.identifier, form.version[0]] = file
    return found


def _compare(file: Path, folder: Path) -> _Compared:
    began = time.perf_counter()
    with FmuHost.start(file) as host:
        times, names, reference = _reference(file, folder, host.form.identifier)
        kept = np.full((len(times) - 1, host.form.n_inputs), np.nan)  # inputs keep what they have
        out = np.vstack((host.outputs, host.advance(times[1:], kept)))
    spent = (time.perf_counter() - began) * 1000
    places = [port.name for port in host.form.outputs for _ in range(port.size)]
    wanted = np.hstack([reference[names.index(name)] for name in dict.fromkeys(places)])
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(out - wanted) / np.where(wanted == 0, 1, np.abs(wanted))
    errors[np.isnan(errors)] = np.inf
    p95 = float(np.percentile(errors, 95, axis=0).max())
    return _Compared(p95, float(errors.max()), *out.shape, spent)


def _reference(file: Path, folder: Path, name: str) -> tuple[np.ndarray, list[str], list]:
    """Return the times, and by column a name and an array (n_times, n_elements)."""
    with zipfile.ZipFile(file) as archive:
        inside = [n for n in archive.namelist() if n.endswith(f"{name}_out.csv")]
        text = archive.read(inside[0]).decode() if inside else ""
    text = text or next(folder.rglob(f"{name}_out.csv")).read_text("utf-8")
    head, *rows = csv.reader(io.StringIO(text))
    columns = [_numbers(cells) for cells in zip(*rows, strict=True)]
    return columns[0][:, 0], head[1:], columns[1:]


def _numbers(cells: tuple[str, ...]) -> np.ndarray:
    words = {"true": "1", "false": "0"}
    try:
        return np.array([[float(words.get(w, w)) for w in cell.split()] for cell in cells])
    except ValueError:  # a column of texts
        return np.empty((len(cells), 0))


def _stopped() -> float:
    """Return how many of the bad FMUs were stopped and named."""
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for version in (2, 3):
            file = forge.build(Path(folder), version)
            for mode in ("hangs", "segv"):
                limits = Limits(step_s=_STEP_S)
                with FmuHost.start(file, limits, {"mode": forge.MODES[mode]}) as host:
                    began = time.perf_counter()
                    try:
                        host.advance(np.arange(1.0, 4), np.zeros((3, host.form.n_inputs)))
                    except Broken as error:
                        spent = time.perf_counter() - began
                        count += file.name in error.message and spent < _STEP_S + 1
                        say(f"{error.message} ({spent:.2f} s)")
    return float(count)
