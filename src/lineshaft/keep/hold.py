"""A folder of links inside the data folder: what is linked there stays, whoever deletes its name.

It stands under `run/`, locked by the backup that made it; one that nobody locks was left by a
backup that was killed, and is swept away by the next one or the next start.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["holding", "sweep_holds"]

_LOCK: Final = "held"


@contextmanager
def holding(data: Path) -> Iterator[Path]:
    """Make a folder for links inside the data folder; it is gone afterwards."""
    sweep_holds(data)
    folder = data / "run" / f"hold-{os.getpid()}"
    folder.mkdir(parents=True, mode=0o700)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_holds(data: Path) -> None:
    """Delete the links that a killed backup left."""
    for folder in (data / "run").glob("hold-*"):
        try:
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except OSError:
            continue  # its backup is at work
        shutil.rmtree(folder, ignore_errors=True)
