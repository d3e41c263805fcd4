"""Snapshots: what the runtime knew when it had taken the stream up to a number.

Rules: a snapshot is one file, complete or not there (written beside, synced, renamed, folder
synced); two are kept, and one that cannot be read is passed over with a word in the log. No pickle.
"""

import io
import json
import logging
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

__all__ = ["Position", "Snapshots"]

Array = np.ndarray[Any, Any]
_KEPT: Final = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where the stream was taken: its token, the message's number and id."""

    token: str
    seq: int
    known: str


class Snapshots:
    """The snapshots in a folder. Calls block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, position: Position, arrays: Mapping[str, Array]) -> None:
        """Keep what was known at a position, and forget older ones but one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        about = json.dumps([position.token, position.seq, position.known]).encode()
        path = self._folder / f"{position.seq:020d}.npz"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, position=np.frombuffer(about, np.uint8), **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        self._sync_folder()
        for old in self._all()[_KEPT:]:
            old.unlink()

    def forget(self) -> None:
        """Keep none."""
        for path in self._all():
            path.unlink()

    def newest(self) -> tuple[Position, dict[str, Array]] | None:
        """Return the newest that can be read, or None."""
        for path in self._all():
            try:
                with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
                about = json.loads(arrays.pop("position").tobytes())
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
                _log.warning("the snapshot %s can't be read: %s", path.name, error)
                continue
            return Position(*about), arrays
        return None

    def _all(self) -> list[Path]:
        return sorted(self._folder.glob("*.npz"), reverse=True)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
