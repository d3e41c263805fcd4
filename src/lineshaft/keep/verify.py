"""Is a backup whole? Every byte of it is read; nothing is written."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineshaft.keep.cut import Cut, parts_of, read_cut
from lineshaft.keep.evidence import look
from lineshaft.keep.figures import figures_from, total_rows
from lineshaft.keep.manifest import Manifest, refuse
from lineshaft.keep.messages import read_messages
from lineshaft.keep.vessel import Progress, Reader, copy_hashed, counting, hash_file, open_backup
from lineshaft.ledger.verify import Tampered

__all__ = ["verified", "verify_backup"]


def verify_backup(path: Path, progress: Progress) -> Manifest:
    """Return the manifest of a backup that is whole; raise Refused that says what is wrong."""
    with verified(path, progress) as (_, manifest):
        return manifest


@contextmanager
def verified(path: Path, progress: Progress) -> Iterator[tuple[Reader, Manifest]]:
    """Open a backup once all of it was found to be as its manifest says."""
    with open_backup(path) as (reader, manifest):
        _check_hashes(reader, manifest, progress)
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "records.sqlite"
            with reader.open("records.sqlite") as file:
                copy_hashed(file, copy, lambda _: None)
            try:
                cut = read_cut(copy)
                look(copy, None, immutable=True)
            except (sqlite3.Error, ValueError) as error:
                raise refuse(f"its database cannot be read: {error}") from None
            except Tampered as error:
                raise refuse(f"its ledger was changed: {error}") from None
        _check_names(manifest, cut)
        _check_counts(reader, manifest, cut)
        yield reader, manifest


def _check_hashes(reader: Reader, manifest: Manifest, progress: Progress) -> None:
    tell = counting(progress, "checking", sum(entry.size for entry in manifest.files))
    for entry in manifest.files:
        with reader.open(entry.name) as file:
            size, digest = hash_file(file, tell)
        if size != entry.size:
            raise refuse(f"{entry.name} has {size} bytes instead of {entry.size}")
        if digest != entry.sha256:
            raise refuse(f"{entry.name} was changed: its hash is another")


def _check_names(manifest: Manifest, cut: Cut) -> None:
    """The files are those that the database names: none lacks, none is too many."""
    held = {entry.name for entry in manifest.files if entry.role in {"samples", "rollups"}}
    named = {f"history/{path}" for file in cut.files for path in parts_of(file)}
    damaged = {f"history/{file.path}" for file in cut.files if file.kind == "damaged"}
    if damaged != {f"history/{path}" for path in manifest.damaged}:
        raise refuse("it declares other files damaged than its database")
    if lacking := named - held:
        raise refuse(f"its database names {sorted(lacking)[0]}, which is not in it")
    if strange := held - named - damaged:
        raise refuse(f"it holds {sorted(strange)[0]}, which its database does not name")


def _check_counts(reader: Reader, manifest: Manifest, cut: Cut) -> None:
    if dict(manifest.tables) != cut.tables:
        raise refuse("its tables have other counts of rows")
    with reader.open("signals.json") as file:
        try:
            found = figures_from(file.read())
        except (ValueError, TypeError):
            raise refuse("its figures cannot be read") from None
    if total_rows(found) != manifest.rows or len(found["sid"]) != manifest.signals:
        raise refuse("its figures do not add up to its rows")
    for stream in manifest.streams:
        with reader.open(stream.name) as file:
            if sum(1 for _ in read_messages(file)) != stream.messages:
                raise refuse(f"{stream.name} holds another count of messages")
