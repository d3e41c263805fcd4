"""`FmuHost`: one FMU running in a process of its own, seen from the platform.

Rules: calls block, one at a time; the child is only waited for as long as `Limits` says and is then
killed. Whatever ends it (a crash, a hang, an error of the FMU) is a `Broken` that names the FMU,
the time it had reached and why; every later call says the same again. Nothing of the FMU runs in
this process, and what its process says is bounded before it is read.

Standards: FMI 2.0.4 §4.2.4, FMI 3.0.1 §4.2 (state machines of co-simulation).
"""

import hashlib
import math
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import numpy as np

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.twins.fmi.form import NUMBERS, FmuForm
from lineshaft.rooms.twins.fmi.package import unpack
from lineshaft.rooms.twins.fmi.wire import END, Floats, as_message, read_message

__all__ = ["FmuHost", "Limits"]

_BOOT_S: Final = 30.0
_CLOSE_S: Final = 1.0
_END_S: Final = 5.0
_PIECE: Final = 1 << 20
_MOST_HEAD: Final = 64 << 10
_KEPT: Final = struct.Struct("<4s8sd?I")  # mark, which FMU, time, whether it has ended, inputs
_MARK: Final = b"FMU1"
#: The words of the child's answers; `resident`: bytes in memory before the FMU is loaded.
_HEAD: Final[Mapping[str, type]] = {
    "missing": str, "walled": bool, "resident": int,
    "rows": int, "ended": bool, "error": str, "taken": int,
}  # fmt: skip
_NONSENSE: Final = ("said what nobody asked and was stopped", "fmi.crashed")
#: Nothing to find in it, nothing to load code from; arenas would count as memory of the FMU.
_ENVIRONMENT: Final = {
    "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What an FMU may take: seconds of silence in its start and in one step, and its memory."""

    memory_mb: int = 512
    start_s: float = 10.0
    step_s: float = 5.0


_LIMITS: Final = Limits()


class FmuHost:
    """A running FMU; `time` is in seconds, `outputs` the last row, shape (n_outputs,).

    `is_ended` is true once the FMU asked to end; rows after that are NaN.
    """

    def __init__(self, name: str, form: FmuForm, limits: Limits, folder: Path) -> None:
        self.name, self.form, self.limits = name, form, limits
        self.time = 0.0
        self.is_ended = False
        self.outputs: Floats = np.full(form.n_outputs, np.nan)
        self._inputs: Floats = np.zeros(form.n_inputs)
        self.is_walled = False
        self._resident = 0
        self._broken: tuple[str, str, str] | None = None
        self._doing = "while its process started"
        self._last, last = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "lineshaft.rooms.twins.fmi.child", os.fspath(folder),
                 str(limits.memory_mb << 20), str(last)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
                cwd=folder, start_new_session=True, env=_ENVIRONMENT, pass_fds=(last,),
            )  # fmt: skip
        except OSError:
            os.close(self._last)
            raise
        finally:
            os.close(last)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._inward, self._outward = self._process.stdin, self._process.stdout
        os.set_blocking(self._inward.fileno(), False)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def start(
        cls, path: Path, limits: Limits = _LIMITS,
        start_values: Mapping[str, float | str | Sequence[float]] | None = None, t0: float = 0.0,
    ) -> Self:  # fmt: skip
        """Unpack, load and initialise the FMU at `t0` seconds; `outputs` then holds its first row.

        `start_values` are by the names of inputs and parameters. Raises Refused for an archive or
        value that cannot be, Broken for an FMU that fails.
        """
        folder = tempfile.TemporaryDirectory(prefix="lineshaft-fmu-", ignore_cleanup_errors=True)
        try:
            form = unpack(path, Path(folder.name))
            values = _checked(form, start_values or {}, path.name)
            host = cls(path.name, form, limits, Path(folder.name))
        except BaseException:
            folder.cleanup()
            raise
        host._folder = folder
        try:
            host._begin(values, t0)
        except BaseException:
            host.close()
            raise
        return host

    def step(self, inputs: Floats, dt: float) -> Floats:
        """Hold `inputs`, shape (n_inputs,), for `dt` seconds; return the outputs at the end."""
        row: Floats = self.advance(np.array([self.time + dt]), np.atleast_2d(inputs))[0]
        return row

    def advance(self, times: Floats, inputs: Floats) -> Floats:
        """Step from `time` through `times`, shape (n,), rising; return outputs (n, n_outputs).

        `inputs`, shape (n, n_inputs): row k holds during the step that ends at `times[k]`. An input
        that is not finite keeps its last value. A step may take `limits.step_s`.
        """
        times, rows = np.asarray(times, np.float64), np.asarray(inputs, np.float64)
        count = len(times)
        if times.ndim != 1 or rows.shape != (count, self.form.n_inputs):
            raise Refused(f"the FMU '{self.name}' takes times (n,) and inputs (n, "
                          f"{self.form.n_inputs}), not {times.shape} and {rows.shape}",
                          code="fmi.shape")  # fmt: skip
        if not np.all(np.diff(times, prepend=self.time) > 0) or not np.all(np.isfinite(times)):
            raise Refused(f"the FMU '{self.name}' stands at {self.time:g} s and only goes forward",
                          hint="Restore a state to go back", code="fmi.time")  # fmt: skip
        out: Floats = np.empty((count, self.form.n_outputs))
        if count == 0:
            return out
        rows = _held(rows, self._inputs)
        self._doing = f"in a step after {self.time:g} s"
        content = np.concatenate((times, rows.ravel())).tobytes()
        self._send({"do": "advance", "rows": count}, content, self.limits.step_s)
        filled = 0
        while filled < count:
            head, piece = self._hear(self.limits.step_s, out[filled:].nbytes)
            upto = filled + head.get("rows", 0)
            if not filled < upto <= count or len(piece) != out[filled:upto].nbytes:
                self._end(*_NONSENSE)
            out[filled:upto] = np.ndarray(out[filled:upto].shape, np.float64, piece)
            filled, self.is_ended = upto, head.get("ended", False)
            self.time = float(times[upto - 1])
            self._doing = f"in a step after {self.time:g} s"
        self.outputs, self._inputs = out[-1].copy(), rows[-1].copy()
        return out

    def save(self) -> bytes | None:
        """Return the state as bytes, None where the FMU cannot (`form.can_save`)."""
        if not self.form.can_save:
            return None
        self._doing = f"while its state at {self.time:g} s was saved"
        self._send({"do": "save"}, b"", self.limits.step_s)
        _, state = self._hear(self.limits.step_s, self.limits.memory_mb << 20)
        kept = _KEPT.pack(_MARK, _which(self.form), self.time, self.is_ended,
                         len(self._inputs))  # fmt: skip
        return kept + self._inputs.tobytes() + state

    def restore(self, saved: bytes) -> None:
        """Take over a state that `save` of this FMU returned, here or in another process.

        Raises Refused for the state of another FMU.
        """
        at = _KEPT.size + self._inputs.nbytes
        mark, which, t, ended, count = _KEPT.unpack_from(saved.ljust(_KEPT.size, b"\0"))
        known = mark == _MARK and which == _which(self.form) and count == len(self._inputs)
        if not known or len(saved) < at or not self.form.can_save:
            raise Refused(f"this is no state of the FMU '{self.name}'", code="fmi.state",
                          hint="Start it anew and replay its inputs")  # fmt: skip
        self._doing = f"while its state at {t:g} s was restored"
        head = {"do": "restore", "t": t, "ended": ended}
        self._send(head, saved[at:], self.limits.step_s)
        self._show(t, self.limits.step_s)
        self._inputs = np.frombuffer(saved[_KEPT.size : at], np.float64).copy()
        self.is_ended = ended

    def close(self) -> None:
        """End the FMU and its process; may be called twice."""
        if self._broken is None:
            self._doing = "while it was closed"
            with suppress(OSError, Broken):
                self._send({"do": "close"}, b"", _CLOSE_S)
                self._wait(self._outward.fileno(), select.POLLIN, _CLOSE_S)
            self._reap()
            self._broken = ("was closed", "fmi.closed", "")
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _begin(self, values: Mapping[str, Any], t0: float) -> None:
        head, _ = self._hear(_BOOT_S, 0)
        if "missing" in head:
            self._end("cannot be loaded: the extra 'fmi' is missing", "fmi.missing",
                      "pip install 'lineshaft[fmi]'")  # fmt: skip
        self.is_walled = head.get("walled", False)
        self._resident = head.get("resident", 0)
        self._doing = "while it started"
        self._send({"do": "start", "t0": t0, "values": values}, b"", self.limits.start_s)
        self._show(t0, self.limits.start_s)
        self._inputs = np.array([
            value for port in self.form.inputs
            for value in values.get(port.name) or _full(port.start, port.size)
        ], np.float64)  # fmt: skip

    def _show(self, t: float, within_s: float) -> None:
        _, row = self._hear(within_s, self.outputs.nbytes)
        if len(row) != self.outputs.nbytes:
            self._end(*_NONSENSE)
        self.outputs, self.time = np.ndarray(self.outputs.shape, np.float64, row).copy(), t

    def _send(self, head: Mapping[str, Any], content: bytes, within_s: float) -> None:
        if self._broken is not None:
            raise self._said()
        left, until = memoryview(as_message(head, content)), monotonic_s() + within_s
        handle = self._inward.fileno()
        while left:
            self._wait(handle, select.POLLOUT, until - monotonic_s())
            try:
                left = left[os.write(handle, left[:_PIECE]) :]
            except BrokenPipeError:
                return  # the answer, or its absence, says why

    def _hear(self, within_s: float, most: int) -> tuple[dict[str, Any], bytes]:
        """Return the next answer; end the child where it says an error, nothing, or nonsense."""
        until, handle = monotonic_s() + within_s, self._outward.fileno()

        def read(size: int) -> bytes:
            found = bytearray()
            while len(found) < size:
                self._wait(handle, select.POLLIN, until - monotonic_s())
                piece = os.read(handle, min(size - len(found), _PIECE))
                if not piece:
                    self._end_crashed()
                found += piece
            return bytes(found)

        try:
            said, content = read_message(read, _MOST_HEAD, most)
            head = {name: kind(said[name]) for name, kind in _HEAD.items() if name in said}
        except (TypeError, ValueError, OverflowError):
            self._end(*_NONSENSE)
        if "error" in head:
            what = f"failed {self._doing}: {head['error']}"
            self._end_failed(what, "fmi.failed", head.get("taken", 0))
        return head, content

    def _wait(self, handle: int, event: int, seconds: float) -> None:
        poll = select.poll()
        poll.register(handle, event)
        if not poll.poll(max(seconds, 0) * 1000):
            self._end(f"kept still for too long {self._doing} and was stopped", "fmi.hung",
                      "Give it more time, or mend it")  # fmt: skip

    def _end_crashed(self) -> NoReturn:
        code, most = self._reap(is_over=True)
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        self._end_failed(f"crashed ({how}) {self._doing}", "fmi.crashed", most - self._resident)

    def _end_failed(self, what: str, code: str, taken: int) -> NoReturn:
        """End it; who took more than half of its memory most likely asked for more than all."""
        most = self.limits.memory_mb
        if taken * 2 > most << 20:
            share = f"{min(taken >> 20, most)} of {most} MiB taken"
            self._end(f"ran out of memory ({share}): {what}", "fmi.memory", "Allow it more memory")
        self._end(what, code, "Look at what it was given; other FMUs go on")

    def _end(self, what: str, code: str, hint: str = "") -> NoReturn:
        self._reap()
        self._broken = (what, code, hint)
        raise self._said()

    def _said(self) -> Broken:
        what, code, hint = self._broken or ("", "", "")
        return Broken(f"the FMU '{self.name}' {what}", hint=hint, code=code, retryable=False)

    def _reap(self, is_over: bool = False) -> tuple[int, int]:
        """Kill the FMU and what it started; return its exit code and the most bytes it had.

        One that `is_over` ended by itself, or is about to: it keeps its own exit code.
        """
        if self._process.returncode is not None:
            return self._process.returncode, 0
        told = self._last_word(_END_S) if is_over else b""
        self._process.terminate()  # kills the FMU, and tells how it ended
        told = told or self._last_word(_END_S)
        self._process.kill()
        code, most = self._process.wait(), 0
        if len(told) == END.size:
            code, most = END.unpack(told)
        self._inward.close()
        self._outward.close()
        os.close(self._last)
        return code, most

    def _last_word(self, within_s: float) -> bytes:
        """Return what was told of the FMU's end, b"" where nothing was in time."""
        poll = select.poll()
        poll.register(self._last, select.POLLIN)
        return os.read(self._last, END.size) if poll.poll(within_s * 1000) else b""


def _checked(
    form: FmuForm, values: Mapping[str, float | str | Sequence[float]], name: str
) -> dict[str, str | list[float]]:
    """Return the start values as texts and lists of finite numbers, one for every element."""
    ports = {p.name: p for p in form.ports if p.causality in {"input", "parameter"}}
    found: dict[str, str | list[float]] = {}
    for key, value in values.items():
        port = ports.get(key)
        if port is None or (isinstance(value, str) != (port.type == "String")) or (
            port.type not in {*NUMBERS, "String"}
        ):  # fmt: skip
            raise Refused(f"the FMU '{name}' takes no such start value for {key[:80]!r}",
                          hint=f"Inputs and parameters: {', '.join(list(ports)[:20])}",
                          code="fmi.value")  # fmt: skip
        if isinstance(value, str):
            found[key] = value
            continue
        numbers = [float(number) for number in np.ravel(value)]
        numbers = numbers * port.size if len(numbers) == 1 else numbers
        if len(numbers) != port.size or not all(map(math.isfinite, numbers)):
            raise Refused(f"the FMU '{name}' needs {port.size} finite numbers for {key!r}",
                          code="fmi.value")  # fmt: skip
        found[key] = numbers
    return found


def _full(start: tuple[float, ...] | str | None, size: int) -> Sequence[float]:
    if not isinstance(start, tuple):
        return [0.0] * size
    return start if len(start) == size else start[:1] * size


def _held(rows: Floats, before: Floats) -> Floats:
    """Return the rows with what is not finite replaced by the value that was there before."""
    if np.all(np.isfinite(rows)):
        return rows
    both = np.vstack((before, rows))
    is_good = np.isfinite(both)
    is_good[0] = True
    at = np.where(is_good, np.arange(len(both))[:, None], 0)
    return np.take_along_axis(both, np.maximum.accumulate(at, axis=0), axis=0)[1:]


def _which(form: FmuForm) -> bytes:
    text = "\0".join((form.version, form.identifier, form.token))
    return hashlib.sha256(text.encode()).digest()[:8]
