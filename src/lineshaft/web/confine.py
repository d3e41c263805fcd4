"""Walls round a process that carries out what strangers ask: the kernel holds them, not we.

Rules: once confined a process opens only the files and folders it was given and only to read,
makes no connection, grows no file, takes no more memory than allowed. Landlock (Linux 5.13,
network since 6.7) does the first two; where the kernel lacks it `confine` says so, and the limits
of the process (setrlimit(2)) stand alone.
"""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["confine"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on all architectures
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_READ_FOLDER: Final = 1 << 3
_FS_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}  # rights known to each version; 16 from 5 on
_TCP: Final = 1 << 0 | 1 << 1  # bind, connect
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def confine(paths: Sequence[Path], memory: int) -> bool:
    """Wall this process in for ever; return whether the kernel also guards files and network.

    The process dies with the one that started it. `memory` bounds the address space, in bytes.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for limit, most in (
        (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        resource.setrlimit(limit, (most, most))
    return _landlock(paths)


def _landlock(paths: Sequence[Path]) -> bool:
    """Allow reading `paths` and what is below them, and nothing else (landlock(7))."""
    version = _LIBC.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    handled = (1 << _FS_BITS.get(version, 16)) - 1
    rules = struct.pack("QQ", handled, _TCP if version >= 4 else 0)[: 16 if version >= 4 else 8]
    ruleset = _LIBC.syscall(_CREATE, rules, len(rules), 0)
    if ruleset < 0:
        return False
    try:
        for path in paths:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)  # stays open: a rule dies with its file
            rights = _READ_FILE | (_READ_FOLDER if path.is_dir() else 0)
            beneath = struct.pack("=Qi", rights, place)
            if _LIBC.syscall(_ADD, ruleset, _PATH_BENEATH, beneath, 0) != 0:
                return False
        if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return bool(_LIBC.syscall(_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)
