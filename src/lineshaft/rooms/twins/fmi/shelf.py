"""The FMUs of a site: files in one folder, each looked at before it is kept."""

import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.fmi.form import FmuForm
from lineshaft.rooms.twins.fmi.package import describe

__all__ = ["PREFIX", "FmuShelf", "ports_of"]

PREFIX: Final = "fmu:"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_MOST_BYTES: Final = 200_000_000
_MOST_FILES: Final = 500


class FmuShelf:
    """The FMUs in a folder, by name. Calls block unless said otherwise."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, behaviour: str) -> Path:
        """Return the file of a behaviour `fmu:NAME`; Refused where there is none."""
        path = self._path(behaviour.removeprefix(PREFIX))
        if not path.is_file():
            raise Refused(f"there is no FMU '{path.stem}'", code="fmi.unknown", status=404,
                          hint="Bring it in with PUT /twins/fmus/{name}")  # fmt: skip
        return path

    def all(self) -> dict[str, FmuForm]:
        """Return what each FMU says of itself, by name."""
        return {path.stem: describe(path) for path in sorted(self._folder.glob("*.fmu"))}

    async def receive(self, name: str, content: AsyncIterator[bytes]) -> FmuForm:
        """Take an FMU in, bounded, and return what it says of itself; one that is none is not
        kept. Does not block for long."""
        path = self._path(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        if len(list(self._folder.glob("*.fmu"))) >= _MOST_FILES:
            raise Refused(f"there are {_MOST_FILES} FMUs already", code="fmi.package",
                          hint="Remove some that nobody uses")  # fmt: skip
        part, size = path.with_suffix(f".{secrets.token_hex(4)}.part"), 0
        try:
            with part.open("wb") as file:
                async for piece in content:
                    size += len(piece)
                    if size > _MOST_BYTES:
                        raise Refused(f"the FMU has more than {_MOST_BYTES / 1e6:g} MB",
                                      code="fmi.package", status=413,
                                      hint="Leave out what is not needed to run it")  # fmt: skip
                    file.write(piece)
            form = describe(part)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        return form

    def remove(self, name: str) -> None:
        """Forget an FMU."""
        self.path(name).unlink()

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Refused(f"'{name[:80]}' is no name for an FMU", code="fmi.name",
                          hint="Letters, digits, '-', '_' and '.', 80 at most")  # fmt: skip
        return self._folder / f"{name}.fmu"


def ports_of(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of an FMU's inputs and outputs, a column each."""
    form = describe(path)
    named: list[tuple[str, ...]] = []
    for ports in (form.inputs, form.outputs):
        names: list[str] = []
        for port in ports:
            single = port.size == 1
            names += [port.name] if single else [f"{port.name}[{i}]" for i in range(port.size)]
        named.append(tuple(names))
    return named[0], named[1]
