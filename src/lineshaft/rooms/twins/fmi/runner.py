"""A twin that is an FMU: stepped with its machine's samples, never corrected by them.

Rules: the FMU begins with the first sample of an output and goes forward only; between samples its
inputs are held. It is stepped in its own process; what goes wrong there ends this twin with the
host's words and no other. Its state is saved where the FMU can; one that can't begins anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.fleet import Array, Estimates
from lineshaft.rooms.twins.fmi.host import FmuHost, Limits
from lineshaft.rooms.twins.fmi.package import describe

__all__ = ["FmuRunner", "FmuSetup"]

_MOST_STEPS: Final = 100_000
_LIMITS: Final = Limits(step_s=1.0)


@dataclass(frozen=True, slots=True)
class FmuSetup:
    """Start values of parameters by name, and the sensors' noise by output `(r,)`."""

    values: Mapping[str, float]
    noise: Array


class FmuRunner:
    """Runs one twin; its only row is 0. `close()` ends the FMU."""

    def __init__(self, path: Path, setup: FmuSetup, limits: Limits = _LIMITS) -> None:
        self._path, self._limits, self._form = path, limits, describe(path)
        self._setup = setup
        self._host: FmuHost | None = None
        self._inputs = np.full(self._form.n_inputs, np.nan)  # NaN: the FMU's own start value
        self._first = 0
        self._kept = b""

    def add(self, given: FmuSetup) -> int:
        """Take the twin in."""
        self._setup = given
        return 0

    def change(self, row: int, given: FmuSetup) -> None:
        """Start anew with other values: an FMU's parameters hold from its start on."""
        self.remove(row)
        self._setup, self._kept = given, b""

    def remove(self, row: int) -> None:
        """End the FMU."""
        if self._host is not None:
            self._host.close()
        self._host = None

    def process(self, twin: Array, port: Array, at: Array, value: Array) -> Estimates:
        """Take events as `Fleet.process` does. Raises Broken when the FMU failed."""
        m, count = self._form.n_inputs, len(at)
        y, z, flag = np.zeros(count), np.zeros(count), np.full(count, filters.INPUT)
        flag[~np.isfinite(value)] = filters.BAD_VALUE
        times, rows, asked = list[float](), list[Array](), list[tuple[int, int]]()
        for event in np.lexsort((port, at)).tolist():
            if flag[event] == filters.BAD_VALUE:
                continue
            if port[event] < m:
                self._inputs[port[event]] = value[event]
                continue
            host = self._running(int(at[event]))
            now = (int(at[event]) - self._first) * 1e-6
            newest = times[-1] if times else host.time
            if now < newest - 1e-9:
                flag[event] = filters.LATE
                continue
            for step in self._steps(newest, now):
                times.append(step)
                rows.append(self._inputs.copy())
            asked.append((event, len(times)))
        self._advance(times, rows, asked, port, value, (y, z, flag))
        return Estimates(y, z, flag)

    def _running(self, at: int) -> FmuHost:
        if self._host is None:
            host = FmuHost.start(self._path, self._limits, self._setup.values)
            if self._kept:
                host.restore(self._kept)
                self._kept = b""
            else:
                self._first = at
            self._host = host
        return self._host

    def _steps(self, newest: float, now: float) -> Sequence[float]:
        """Return the times to step through: those of the FMU's own step where it has only that."""
        step = self._form.step_s
        if self._form.variable_step or not step:
            return [now] if now > newest + 1e-9 else []
        first, last = round(newest / step), int(now / step + 1e-6)
        return [k * step for k in range(first + 1, min(last, first + _MOST_STEPS) + 1)]

    def _advance(
        self, times: Sequence[float], rows: Sequence[Array], asked: Sequence[tuple[int, int]],
        port: Array, value: Array, found: tuple[Array, Array, Array],
    ) -> None:  # fmt: skip
        host, (y, z, flag) = self._host, found
        if host is None:
            return
        shown = host.outputs[None, :]
        if times:
            shown = np.vstack([shown, host.advance(np.array(times), np.array(rows))])
        for event, steps in asked:
            output = int(port[event]) - self._form.n_inputs
            estimate = shown[steps, output]
            if np.isfinite(estimate):
                y[event], flag[event] = estimate, filters.ESTIMATED
                z[event] = (value[event] - estimate) / self._setup.noise[output]

    def states(self, rows: Array) -> Array:
        """Return no states: an FMU keeps them to itself."""
        return np.zeros((len(rows), 0))

    def save(self) -> dict[str, Array]:
        """Return the FMU's state where it can be had."""
        state = self._kept
        if self._host is not None:
            state = self._host.save() or b""
        return {"state": np.frombuffer(state, np.uint8).copy(), "inputs": self._inputs.copy(),
                "first": np.array(self._first)}  # fmt: skip

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved, with the next sample."""
        self._kept, self._inputs = saved["state"].tobytes(), saved["inputs"].copy()
        self._first = int(saved["first"])
