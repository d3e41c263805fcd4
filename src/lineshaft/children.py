"""Processes that must not outlive the one that started them (Linux)."""

import ctypes
import signal
import sys
from typing import Final

__all__ = ["die_with_parent"]

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)  # loaded before any fork


def die_with_parent() -> None:
    """Have the kernel end this process when its parent dies (prctl(2), Linux); for `preexec_fn`."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
