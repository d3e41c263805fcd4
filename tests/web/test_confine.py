"""The walls are the kernel's: a process inside cannot read, write, connect, whatever it runs."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

INSIDE = """
import socket, sys
from pathlib import Path
from lineshaft.web.confine import confine
folder, other, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = folder / "given"
walled = confine([folder], 2 << 30)
tries = {
    "given": lambda: file.read_text(),
    "other": lambda: open(other).read(),
    "passwd": lambda: open("/etc/passwd").read(),
    "environ": lambda: open("/proc/self/environ").read(),
    "empty": lambda: open(file, "w").close(),
    "append": lambda: open(file, "a").write("x"),
    "new": lambda: open(folder / "new", "w").close(),
    "remove": lambda: file.unlink(),
    "connect": lambda: socket.create_connection(("127.0.0.1", port), 5),
    "memory": lambda: bytearray(3 << 30),
}
print(walled, *(name for name, act in tries.items() if ok(act)))
"""
HEAD = """
def ok(act):
    try:
        act()
    except (OSError, MemoryError):
        return False
    return True
"""


def test_inside_only_what_was_given_can_be_read(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    (folder / "given").write_text("given")
    other.write_text("other")
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", HEAD + INSIDE, folder, other]
        port = str(server.getsockname()[1])
        done = subprocess.run([*command, port], capture_output=True, text=True, timeout=60)
    walled, *possible = done.stdout.split()
    if walled != "True":
        pytest.skip("this kernel has no Landlock")
    assert possible == ["given"], done.stderr
    assert (folder / "given").read_text() == "given"
