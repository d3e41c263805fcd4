"""The archive that an FMU is: looked through before anything of it is unpacked.

Rules: an archive is a stranger's. Its directory, its number of entries and what they unpack to are
bounded, counted while unpacking and not believed; no name may lead out of the folder, nothing may
be a link, or there twice and different; deflate and store are the only codings. What is unpacked:
the description, the resources, and the binaries of this machine. Sources are never compiled.

Standards: FMI 2.0.4 §2.3, FMI 3.0.1 §2.5.
"""

import platform
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.rooms.twins.fmi.form import MAX_BYTES, FmuForm, parse_form

__all__ = ["describe", "library_path", "unpack"]

_MAX_FILE: Final = 1 << 30
_MAX_DIRECTORY: Final = 4 << 20
_MAX_ENTRIES: Final = 20_000
_MAX_UNPACKED: Final = 2 << 30
_PIECE: Final = 1 << 20
_DESCRIPTION: Final = "modelDescription.xml"
_CODINGS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_PLATFORM: Final = f"{platform.machine()}-linux"
#: FMI 2.0 has a name for this one; for other machines tools took over the names of FMI 3.0.
_OLD: Final = {"x86_64-linux": "linux64"}


def describe(path: Path) -> FmuForm:
    """Return what the FMU says of itself, without unpacking or running anything of it.

    Raises Refused `fmi.package` for what is no sound archive, `fmi.description` for what its
    description lacks; both name the file.
    """
    with _opened(path) as archive:
        return _form(archive)


def unpack(path: Path, folder: Path) -> FmuForm:
    """Unpack into the empty `folder` what this machine needs; raise Refused as `describe` does.

    Raises Refused `fmi.platform` where the FMU has no binaries for this machine.
    """
    with _opened(path) as archive:
        form = _form(archive)
        names = archive.namelist()
        library = library_path(form)
        if library not in names:
            raise _no_binary(form, names)
        wanted = (f"{PurePosixPath(library).parent}/", "resources/")
        left = _MAX_UNPACKED
        (folder / "resources").mkdir()
        for entry in archive.infolist():
            if entry.is_dir() or not (
                entry.filename.startswith(wanted) or entry.filename == _DESCRIPTION
            ):
                continue
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("wb") as file:
                while piece := packed.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise _unsound(f"it unpacks to more than {_MAX_UNPACKED >> 20} MiB")
                    file.write(piece)
    return form


def library_path(form: FmuForm) -> str:
    """Return where in the archive the library for this machine must be."""
    place = _OLD.get(_PLATFORM, _PLATFORM) if form.version.startswith("2") else _PLATFORM
    return f"binaries/{place}/{form.identifier}.so"


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Give the archive out once it is looked through; whatever is wrong then names the file."""
    try:
        _check_ends(path)
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive.infolist())
            yield archive
    except LineshaftError as error:
        raise Refused(f"the FMU '{path.name}' cannot be used: {error.message}",
                      hint=error.hint, code=error.code) from None  # fmt: skip
    except (
        zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error, ValueError,
    ) as error:  # fmt: skip
        raise Refused(f"the FMU '{path.name}' is no sound archive: {error}", code="fmi.package",
                      hint="Export it again, or copy it again") from None  # fmt: skip
    except OSError as error:
        raise Refused(f"the FMU '{path}' cannot be read: {error.strerror or error}",
                      hint="Look whether it is there and readable",
                      code="fmi.package") from None  # fmt: skip


def _unsound(message: str) -> Refused:
    return Refused(message, hint="Export it again with another tool", code="fmi.package")


def _check_ends(path: Path) -> None:
    """Bound the archive's directory before the library reads all of it into memory."""
    size = path.stat().st_size
    if size > _MAX_FILE:
        raise _unsound(f"it is bigger than {_MAX_FILE >> 20} MiB")
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 42))
        tail = file.read()
    # In the order in which `zipfile` looks, so that both find the same record.
    at = len(tail) - 22 if tail[-22:-18] == b"PK\5\6" and tail[-2:] == b"\0\0" else tail.rfind(
        b"PK\5\6"
    )  # fmt: skip
    if at < 0 or len(tail) - at < 22:
        raise _unsound("it is no ZIP archive")
    if tail[max(0, at - 20) : at].startswith(b"PK\6\7"):
        raise _unsound("it is a ZIP64 archive")
    if struct.unpack_from("<I", tail, at + 12)[0] > _MAX_DIRECTORY:
        raise _unsound("its directory is too long")


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MAX_ENTRIES:
        raise _unsound(f"it has more than {_MAX_ENTRIES:,} entries")
    if sum(entry.file_size for entry in entries) > _MAX_UNPACKED:
        raise _unsound(f"it unpacks to more than {_MAX_UNPACKED >> 20} MiB")
    seen: dict[tuple[str, ...], int] = {}
    for entry in entries:
        name = entry.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name or "\0" in name:
            raise _unsound(f"the entry {name[:80]!r} leads out of the archive")
        if (mode := entry.external_attr >> 16) and stat.S_IFMT(mode) not in {
            0, stat.S_IFREG, stat.S_IFDIR,
        }:  # fmt: skip
            raise _unsound(f"the entry {name[:80]!r} is a link or a device")
        if seen.setdefault(parts, entry.CRC) != entry.CRC:
            raise _unsound(f"the entry {name[:80]!r} is there twice, and not the same")
        if entry.flag_bits & 1 or entry.compress_type not in _CODINGS:
            raise _unsound(f"the entry {name[:80]!r} is encrypted or in a coding FMI does not have")


def _form(archive: zipfile.ZipFile) -> FmuForm:
    if _DESCRIPTION not in archive.namelist():
        raise _unsound(f"it has no {_DESCRIPTION}")
    with archive.open(_DESCRIPTION) as file:
        return parse_form(file.read(MAX_BYTES + 1))


def _no_binary(form: FmuForm, names: list[str]) -> Refused:
    found = {PurePosixPath(name).parts for name in names}
    places = sorted({parts[1] for parts in found if parts[0] == "binaries" and len(parts) > 2})
    has = "binaries only for " + ", ".join(places) if places else "no binaries at all"
    sources = any(parts[0] == "sources" for parts in found)
    return Refused(
        f"it has {has}, and none for {library_path(form).split('/')[1]}",
        hint="Its sources are not compiled here: build it for this machine with its tool"
        if sources else "Export it for this machine", code="fmi.platform",
    )  # fmt: skip
