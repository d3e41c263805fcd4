"""The data folder: the marks by which it is known as ours, the lock that lets one instance in."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lineshaft.core.errors import Refused

__all__ = ["MARK", "MARK_TEXT", "RESTORING", "is_taken", "only_instance"]

MARK: Final = "lineshaft.folder"
MARK_TEXT: Final = "A data folder of Lineshaft. Deleting it starts over.\n"
#: Stands in a folder as long as a restore into it is not done.
RESTORING: Final = "lineshaft.restoring"


@contextmanager
def only_instance(folder: Path) -> Iterator[None]:
    """Hold the data folder until the block ends; Refused `folder.taken` where another does."""
    path = folder / "run" / "lock"
    path.parent.mkdir(exist_ok=True, mode=0o700)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Refused(
                f"another instance (process {lock.read().strip() or 'unknown'}) runs on {folder}",
                hint="Stop it first, or choose another data folder (platform.data)",
                code="folder.taken",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_taken(folder: Path) -> bool:
    """Return whether an instance holds the data folder at this moment."""
    try:
        with (folder / "run" / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
