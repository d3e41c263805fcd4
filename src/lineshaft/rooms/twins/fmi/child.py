"""The process of one FMU: `python -m lineshaft.rooms.twins.fmi.child FOLDER MEMORY PIPE`.

Rules: `fmpy` is loaded before the walls stand, the FMU after. The pipe keeps handles of its own, so
an FMU that prints or reads does not meet it. One request is answered after the other; rows of a
long `advance` leave in pieces, at the latest `_PIECE_S` after they were made, so silence means that
a step hangs. After an error the process ends.

The FMU lives in a fork of the process that was started, and that one only waits for it, to say into
the pipe of that number how it ended and how much memory it had. The kernel's figure of the process
that was started is no use for that: it begins with what the platform's own process took.
"""

import os
import signal
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from lineshaft.clock import monotonic_s
from lineshaft.rooms.twins.fmi.form import FmuForm, parse_form
from lineshaft.rooms.twins.fmi.walls import end_with_parent, taken_bytes, wall_in
from lineshaft.rooms.twins.fmi.wire import END, as_message, read_message

__all__ = ["main"]

_PIECE_S: Final = 0.1
_PIECE_ROWS: Final = 4096
_WORDS: Final = 300


def main() -> int:
    """Answer until the host closes the pipe or something breaks."""
    folder, memory, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    inward, outward = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
    try:
        # Only here, since it is an extra: without it the host can say what is missing.
        from lineshaft.rooms.twins.fmi.binding import Model
    except ImportError as error:
        _write(outward, {"missing": str(error)})
        return 1
    form = parse_form((folder / "modelDescription.xml").read_bytes())
    if fork := os.fork():
        inward.close()
        outward.close()
        return _attend(fork, last)
    os.close(last)
    os.setpgid(0, 0)
    end_with_parent(inward.fileno())
    base, resident = taken_bytes()
    _write(outward, {"walled": wall_in(memory), "resident": resident})
    words: deque[str] = deque(maxlen=2)
    try:
        model = Model(form, folder, lambda text: words.append(text.strip()[:_WORDS]))
        _Session(form, model, inward, outward).run()
    except EOFError:
        return 0
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:_WORDS].rstrip(".")
        taken = _peak_bytes() - base
        _write(outward, {"error": "; ".join((said, *words)), "taken": taken})
        return 1
    return 0


def _attend(fork: int, last: int) -> int:
    """Wait for the end of the FMU's process and tell it; SIGTERM kills all that the FMU started."""

    def kill(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(fork, signal.SIGKILL)

    with suppress(PermissionError, ProcessLookupError):  # whoever of the two comes first
        os.setpgid(fork, fork)
    signal.signal(signal.SIGTERM, kill)
    os.waitid(os.P_PID, fork, os.WEXITED | os.WNOWAIT)
    kill()  # what it started; as long as it is not waited for, nobody else has its number
    _, status, usage = os.wait4(fork, 0)
    os.write(last, END.pack(os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10))
    return 0


class _Session:
    """Requests and answers, once the FMU is loaded."""

    def __init__(self, form: FmuForm, model: Any, inward: BinaryIO, outward: BinaryIO) -> None:
        self._form, self._model = form, model
        self._inward, self._outward = inward, outward
        self._t = 0.0
        self._is_ended = False

    def run(self) -> None:
        while True:
            head, content = read_message(self._read)
            match head["do"]:
                case "start":
                    self._t = head["t0"]
                    self._model.start(self._t, head["values"])
                    self._show()
                case "advance":
                    self._advance(head["rows"], np.frombuffer(content, np.float64))
                case "save":
                    _write(self._outward, {}, self._model.save())
                case "restore":
                    self._model.restore(content)
                    self._t, self._is_ended = head["t"], head["ended"]
                    self._show()
                case "close":
                    self._model.close()
                    return

    def _advance(self, rows: int, content: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """Answer with one row a time of `content`: the times, then the inputs row by row."""
        times = content[:rows].tolist()
        inputs = content[rows:].reshape(rows, self._form.n_inputs)
        is_new = [True, *np.any(inputs[1:] != inputs[:-1], axis=1).tolist()]  # else they are held
        out = np.full((min(rows, _PIECE_ROWS), self._form.n_outputs), np.nan)
        filled, sent_at = 0, monotonic_s()
        for number, t in enumerate(times):
            if not self._is_ended:
                if is_new[number]:
                    self._model.put(inputs[number])
                self._is_ended = self._model.step(self._t, t - self._t)
                self._t = t
                self._model.take(out[filled])
            filled += 1
            now = monotonic_s()
            if filled == len(out) or number + 1 == rows or now - sent_at >= _PIECE_S:
                head = {"rows": filled, "ended": self._is_ended}
                _write(self._outward, head, out[:filled].tobytes())
                out[:filled] = np.nan
                filled, sent_at = 0, now

    def _show(self) -> None:
        row = np.empty(self._form.n_outputs)
        self._model.take(row)
        _write(self._outward, {}, row.tobytes())

    def _read(self, size: int) -> bytes:
        content = self._inward.read(size)
        if len(content) < size:
            raise EOFError
        return content


def _write(outward: BinaryIO, head: dict[str, Any], content: bytes = b"") -> None:
    outward.write(as_message(head, content))
    outward.flush()


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmPeak:"):
            return int(line.split()[1]) << 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
