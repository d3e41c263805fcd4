"""Walls round the process that runs an FMU: the kernel holds them, not we.

Rules: once walled in a process takes no more memory than allowed, writes no core and no big file,
opens no socket, starts no program, signals nobody and reads none of another's memory (setrlimit(2),
seccomp(2) on x86-64 and arm64). It may still open files that its user may open. It ends as soon as
the process that started it is gone, even while machine code hangs.
"""

import ctypes
import os
import platform
import resource
import select
import struct
import threading
from pathlib import Path
from typing import Final

__all__ = ["end_with_parent", "taken_bytes", "wall_in"]

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_FILTER: Final = 2
_LOAD, _JUMP_EQUAL, _JUMP_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050001  # the call fails with EPERM
_X32: Final = 0x40000000
#: AUDIT_ARCH and the calls that are refused: socket, execve, execveat, kill, tkill, setsid,
#: setpgid, ptrace, process_vm_readv, process_vm_writev, io_uring_setup.
_CALLS: Final = {
    "x86_64": (0xC000003E, (41, 59, 322, 62, 200, 112, 109, 101, 310, 311, 425)),
    "aarch64": (0xC00000B7, (198, 221, 281, 129, 130, 157, 154, 117, 270, 271, 425)),
}
_MAX_FILE: Final = 64 << 20
_MAX_HANDLES: Final = 256
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def wall_in(memory: int) -> bool:
    """Wall this process in for ever; return whether the kernel also refuses calls.

    `memory` is what it may take in bytes of address space, beyond what it has now.
    """
    for limit, most in (
        (resource.RLIMIT_AS, taken_bytes()[0] + memory), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _MAX_FILE), (resource.RLIMIT_NOFILE, _MAX_HANDLES),
    ):  # fmt: skip
        resource.setrlimit(limit, (most, most))
    return _refuse_calls()


def taken_bytes() -> tuple[int, int]:
    """Return how much address space this process has, and how much of it is in memory."""
    space, resident = Path("/proc/self/statm").read_text("ascii").split()[:2]
    return int(space) * _PAGE, int(resident) * _PAGE


def end_with_parent(handle: int) -> None:
    """End this process when the other end of the pipe `handle` is closed, whatever it does then.

    Not prctl(PR_SET_PDEATHSIG): it looks at the thread that started us, which may be short-lived.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(handle, 0)  # only that it was hung up
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _refuse_calls() -> bool:
    architecture, calls = _CALLS.get(platform.machine(), (0, ()))
    if not calls:
        return False
    steps = [
        (_LOAD, 0, 0, 4), (_JUMP_EQUAL, 0, len(calls) + 3, architecture), (_LOAD, 0, 0, 0),
        (_JUMP_LEAST, len(calls) + 1, 0, _X32),
        *((_JUMP_EQUAL, len(calls) - at, 0, call) for at, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE),
    ]  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    head = struct.pack("@HP", len(steps), ctypes.addressof(program))
    if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(_LIBC.prctl(_PR_SET_SECCOMP, _FILTER, head, 0, 0) == 0)
