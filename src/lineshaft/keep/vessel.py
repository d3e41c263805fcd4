"""Where a backup lies: a folder, or one tar archive. Both are filled and read the same way.

Rules: it is filled beside its place under a hidden name, every file synced, and gets its name by
one rename at the end, so there is no time at which a part of it stands under that name. Files are
readable by their owner only.
"""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, Protocol

from lineshaft.core.errors import Broken, Refused
from lineshaft.keep.manifest import MANIFEST, Entry, Manifest, refuse
from lineshaft.private import sync_folder

__all__ = [
    "Progress", "Reader", "Tell", "Vessel", "copy_hashed", "counting", "hash_file", "open_backup",
]  # fmt: skip

_PIECE: Final = 4 * 1024 * 1024
Tell = Callable[[int], None]  # bytes done since the last call
Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all


def counting(progress: Progress, what: str, total: int) -> Tell:
    """Return what is told the bytes of one piece of work as they are done."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        progress(what, done, total)

    tell(0)
    return tell


class Vessel:
    """A backup in the making. `work` is a folder beside its place for what must be made first;
    `name`d entries are added one by one, then `finish`ed with the manifest."""

    def __init__(self, target: Path, earlier: Path | None = None) -> None:
        if target.exists() or target.is_symlink():
            raise Refused(f"{target} is there already", hint="Name a new folder or archive",
                          code="backup.target")  # fmt: skip
        self._target = target
        self._is_tar = target.suffix == ".tar"
        self._earlier = None if self._is_tar else earlier
        self.work = target.with_name(f".{target.name}.unfinished")
        try:
            if self.work.exists():  # a backup to this place was cut off
                shutil.rmtree(self.work)
            self.work.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise Refused(f"no backup can be made at {target}: {error.strerror}",
                          hint="Name a place that can be written", code="backup.target",
                          ) from error  # fmt: skip
        self._archive = self.work / "archive.tar"
        self._tar = tarfile.open(self._archive, "w") if self._is_tar else None  # noqa: SIM115
        self.linked = 0

    def add(self, entry: Entry, file: Path, tell: Tell) -> Entry:
        """Put a file in and return its entry with size and hash."""
        if self._tar is not None:
            return self._into_tar(self._tar, entry, file, tell)
        place = self.work / entry.name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        earlier = self._earlier / entry.name if self._earlier else None
        if earlier and (same := _same(file, earlier, tell)):
            with suppress(OSError):  # another disk: copied below
                os.link(earlier, place)
                self.linked += 1
                return replace(entry, size=place.stat().st_size, sha256=same)
        if place == file:
            size, digest = hash_file(file, tell)
            place.chmod(0o600)
        else:
            with file.open("rb") as source:
                size, digest = copy_hashed(source, place, tell)
        return replace(entry, size=size, sha256=digest)

    def finish(self, manifest: Manifest) -> None:
        """Make it a backup: all or nothing."""
        content = manifest.to_bytes()
        if self._tar is not None:
            member = _member(MANIFEST, len(content))
            self._tar.addfile(member, io.BytesIO(content))
            self._tar.close()
            with self._archive.open("rb") as file:
                os.fsync(file.fileno())
            self._archive.rename(self._target)
            shutil.rmtree(self.work)
        else:
            copy_hashed(io.BytesIO(content), self.work / MANIFEST, lambda _: None)
            for folder, _, _ in os.walk(self.work):
                sync_folder(Path(folder))
            self.work.rename(self._target)
        sync_folder(self._target.parent)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._tar is not None:
            self._tar.close()
        shutil.rmtree(self.work, ignore_errors=True)

    @staticmethod
    def _into_tar(tar: tarfile.TarFile, entry: Entry, file: Path, tell: Tell) -> Entry:
        with file.open("rb") as source:
            counted = _Counted(source, tell)
            tar.addfile(_member(entry.name, file.stat().st_size), counted)
        return replace(entry, size=counted.size, sha256=counted.hash.hexdigest())


class Reader(Protocol):
    """A backup as it lies there."""

    def names(self) -> set[str]:
        """Return the names of all files in it."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open one of its files; raise Refused where it is not there."""
        ...


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> set[str]:
        found = (p for p in self._folder.rglob("*") if not p.is_dir() or p.is_symlink())
        return {str(path.relative_to(self._folder)) for path in found}

    def open(self, name: str) -> IO[bytes]:
        path = self._folder / name
        if path.is_symlink() or not path.is_file():
            raise refuse(f"{name} is missing")
        return path.open("rb")


class _Tar:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {member.name: member for member in tar.getmembers()}

    def names(self) -> set[str]:
        return set(self._members)

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        file = self._tar.extractfile(member) if member and member.isfile() else None
        if file is None:
            raise refuse(f"{name} is missing")
        return file


@contextmanager
def open_backup(path: Path) -> Iterator[tuple[Reader, Manifest]]:
    """Open a backup and read its manifest; raise Refused where it is none."""
    if not path.exists():
        raise Refused(f"there is no backup at {path}", code="backup.none")
    try:
        if path.is_dir():
            yield _read(_Folder(path))
        else:
            with tarfile.open(path, "r:") as tar:
                yield _read(_Tar(tar))
    except (tarfile.TarError, EOFError):
        raise refuse("the archive is cut off or damaged") from None
    except PermissionError as error:
        raise Refused(f"{path} may not be read", code="backup.read",
                      hint="Run this as the user that made it") from error  # fmt: skip


def _read(reader: Reader) -> tuple[Reader, Manifest]:
    names = reader.names()
    if MANIFEST not in names:
        raise refuse("it has no manifest, so it was cut off or is something else")
    with reader.open(MANIFEST) as file:
        manifest = Manifest.from_bytes(file.read(512 * 1024 * 1024 + 1))
    if missing := {entry.name for entry in manifest.files} - names:
        raise refuse(f"{sorted(missing)[0]} is missing")
    return reader, manifest


class _Counted:
    """A file that is hashed and counted as it is read."""

    def __init__(self, file: IO[bytes], tell: Tell) -> None:
        self._file, self._tell = file, tell
        self.hash, self.size = hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.hash.update(content)
        self.size += len(content)
        self._tell(len(content))
        return content


def copy_hashed(source: Any, place: Path, tell: Tell) -> tuple[int, str]:
    """Copy an open file to a new place, synced, for its owner only; return size and SHA-256."""
    counted = _Counted(source, tell)
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            while content := counted.read(_PIECE):
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Broken(f"{place} cannot be written: {error.strerror}", code="backup.write",
                     hint="See whether the disk is full") from error  # fmt: skip
    return counted.size, counted.hash.hexdigest()


def hash_file(file: Path | IO[bytes], tell: Tell) -> tuple[int, str]:
    """Return the size and SHA-256 of a file."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return hash_file(opened, tell)
    counted = _Counted(file, tell)
    while counted.read(_PIECE):
        pass
    return counted.size, counted.hash.hexdigest()


def _same(file: Path, earlier: Path, tell: Tell) -> str:
    """Return the hash of a file where the earlier backup holds the very same bytes, else ''."""
    try:
        if earlier.is_symlink() or earlier.stat().st_size != file.stat().st_size:
            return ""
        size, digest = hash_file(earlier, lambda _: None)
    except OSError:
        return ""
    return digest if hash_file(file, tell) == (size, digest) else ""


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member
