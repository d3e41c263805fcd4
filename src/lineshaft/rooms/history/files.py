"""History's files: Parquet, whole or absent.

A file is written under a hidden name, synced, renamed, and its folder synced, before anybody names
it. `step` is called after each of these; the crash tests die there. A compacted file has its
roll-ups beside it: an Arrow file that readers map, one batch a level (`rollup_path`); both are on
disk before the one name that stands for both.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lineshaft.core.errors import Broken
from lineshaft.private import sync_folder
from lineshaft.rooms.history.engine.commit import Part
from lineshaft.rooms.history.engine.revisions import merge
from lineshaft.rooms.history.engine.rollup import LEVELS, ROLLUP, roll_up
from lineshaft.rooms.history.engine.rows import STORED, Rows, split_seq
from lineshaft.rooms.history.model import FileEntry

__all__ = ["FileStore", "Step", "rollup_path"]

Step = Callable[[str], None]
_ROW_GROUP = 65_536
_DISTINCT = 0.5
_EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC)


class FileStore:
    """The folder that holds one stream's files, a folder a day."""

    def __init__(self, folder: Path, step: Step) -> None:
        self.folder = folder
        self._step = step
        self._synced: set[Path] = set()
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)

    def write(self, parts: Iterable[Part], label: str, *, compact: bool = False) -> list[FileEntry]:
        """Write one file a part and return what to enter in the catalogue; all are on disk then.

        `label` tells the writers apart; `compact` packs closer and writes roll-ups beside. Raises
        Broken where the disk refuses; then nothing stays.
        """
        written: list[Path] = []
        entries: list[FileEntry] = []
        try:
            for part in parts:
                entry = self._entry(part, label)
                path = self.folder / entry.path
                written.append(path)
                rollup_size = 0
                if compact:
                    beside = self.folder / rollup_path(entry.path)
                    written.append(beside)
                    rollup_size = self._put(beside, partial(_write_rollups, part))
                size = self._put(path, partial(_write_rows, part.rows, compact))
                entries.append(replace(entry, size=size, rollup_size=rollup_size))
        except OSError as error:
            for path in written:
                path.unlink(missing_ok=True)
                _hidden(path).unlink(missing_ok=True)
            raise Broken(
                f"history cannot write to {self.folder}: {error.strerror or error}",
                hint="Free disk space; samples wait in the bus until then",
                code="history.disk",
            ) from error
        return entries

    def _put(self, path: Path, fill: Callable[[BinaryIO], None]) -> int:
        """Let `fill` write a file, and put it in its place; return its size."""
        path.parent.mkdir(exist_ok=True)
        hidden = _hidden(path)
        with hidden.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self._step("written")
        hidden.rename(path)
        sync_folder(path.parent)
        if path.parent not in self._synced:  # a crash may have come between making and syncing it
            sync_folder(self.folder)
            self._synced.add(path.parent)
        self._step("renamed")
        return size

    def _entry(self, part: Part, label: str) -> FileEntry:
        rows = part.rows
        seq_min, seq_max = int(rows.seq.min()), int(rows.seq.max())
        day = (_EPOCH_DAY + timedelta(days=part.day)).date().isoformat()
        epoch, first = split_seq(seq_min)
        numbers = f"{epoch:04d}-{first:012d}-{split_seq(seq_max)[1]:012d}"
        name = f"{numbers}-{part.kind}-{label}.parquet"
        return FileEntry(
            f"{day}/{name}", part.kind, part.day, len(rows), 0,
            int(rows.sid[0]), int(rows.sid[-1]), int(rows.ts.min()), int(rows.ts.max()),
            seq_min, seq_max,
        )  # fmt: skip

    def drop_unnamed(self, named: Iterable[FileEntry]) -> int:
        """Delete the files that no transaction names (a crash left them); return how many."""
        keep = set()
        for entry in named:
            keep.add(self.folder / rollup_path(entry.path))
            if entry.kind != "rolled":
                keep.add(self.folder / entry.path)
        dropped = 0
        for path in (*self.folder.glob("*/*.parquet*"), *self.folder.glob("*/*.rollup*")):
            if path not in keep:
                path.unlink(missing_ok=True)
                dropped += 1
        return dropped

    def damaged(self, entries: Iterable[FileEntry]) -> list[FileEntry]:
        """Return the entries whose file is gone, has another size, or has no readable footer."""
        return [e for e in entries if e.kind != "rolled" and not self._sound(e)]

    def write_rolled(self, part: Part, label: str) -> FileEntry:
        """Write the roll-ups of rows that go, without the rows; return what to enter."""
        entry = replace(self._entry(part, label), kind="rolled")
        path = self.folder / rollup_path(entry.path)
        return replace(entry, rollup_size=self._put(path, partial(_write_rollups, part)))

    def lacks_rollups(self, entry: FileEntry) -> bool:
        """Return whether the roll-ups that should lie beside a file are not there, or not whole."""
        beside = self.folder / rollup_path(entry.path)
        try:
            return entry.rollup_size > 0 and beside.stat().st_size != entry.rollup_size
        except OSError:
            return True

    def write_rollups(self, entry: FileEntry) -> FileEntry:
        """Write a file's roll-ups again, from its rows; return its entry as it is now."""
        rows = Rows.from_table(pq.read_table(self.folder / entry.path))
        fill = partial(_write_rollups, Part(entry.kind, entry.day, rows))
        return replace(entry, rollup_size=self._put(self.folder / rollup_path(entry.path), fill))

    @staticmethod
    def kind_of(entry: FileEntry) -> str:
        """Return the kind under which a file was written, from its name."""
        return "late" if "-late-" in entry.path else "sequence"

    def _sound(self, entry: FileEntry) -> bool:
        path = self.folder / entry.path
        try:
            if path.stat().st_size != entry.size:
                return False
            with path.open("rb") as file:
                file.seek(-4, os.SEEK_END)
                return file.read() == b"PAR1"
        except OSError:
            return False

    def remove_rows(self, entry: FileEntry) -> None:
        """Delete a file's rows and leave its roll-ups."""
        (self.folder / entry.path).unlink(missing_ok=True)

    def remove(self, entry: FileEntry) -> None:
        """Delete a file that the catalogue does not name any more."""
        (self.folder / entry.path).unlink(missing_ok=True)
        (self.folder / rollup_path(entry.path)).unlink(missing_ok=True)


def rollup_path(path: str) -> str:
    """Return where the roll-ups of a file lie, both relative to the history folder."""
    return path.removesuffix(".parquet") + ".rollup"


def _write_rows(rows: Rows, compact: bool, file: BinaryIO) -> None:
    dictionaries, level, encoding = ["sid", "s", "q"], 1, {"v": "PLAIN"}
    if compact:
        level = 3
        some = rows.v[:_ROW_GROUP]
        if len(np.unique(some)) < _DISTINCT * len(some):  # instruments deliver rounded values
            dictionaries, encoding = [*dictionaries, "v"], {}
    with pq.ParquetWriter(
        file,
        STORED,
        compression="zstd",
        compression_level=level,
        use_dictionary=dictionaries,
        write_statistics=["sid", "ts"],
        column_encoding={"ts": "DELTA_BINARY_PACKED", "seq": "DELTA_BINARY_PACKED", **encoding},
    ) as writer:
        writer.add_key_value_metadata({"lineshaft.schema": "1"})
        writer.write_table(rows.table(), row_group_size=_ROW_GROUP)


def _write_rollups(part: Part, file: BinaryIO) -> None:
    rows = merge([part.rows])
    with pa.ipc.new_file(file, ROLLUP) as writer:
        for level in LEVELS:
            columns = roll_up(rows, level).columns
            arrays = [pa.array(columns[name]) for name in ROLLUP.names]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=ROLLUP))


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
