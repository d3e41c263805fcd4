"""The manifest: what a backup holds, and by which figures that is proven.

Rules: it is the last thing written, so a backup that was cut off has none; it carries the hash of
itself; it is read with bounds and trusted in nothing, above all not in its paths.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from lineshaft.core.errors import Refused

__all__ = ["KEPT", "MANIFEST", "SCHEMA", "Entry", "Manifest", "StreamCut", "refuse"]

MANIFEST: Final = "lineshaft-backup.json"
SCHEMA: Final = 1
KEPT: Final = ("keys", "secrets", "pki", "tls")
_MOST_BYTES: Final = 512 * 1024 * 1024
_NAME: Final = re.compile(r"(?!\.)[\w.@=+~-]{1,200}(/(?!\.)[\w.@=+~-]{1,200}){0,6}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}")

Role = Literal["database", "samples", "rollups", "messages", "figures", "settings", "kept"]
_PLACES: Final = {"samples": "history/", "rollups": "history/", "messages": "bus/"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: `rows` are samples or messages, 0 where it has neither; `secret` is not for
    others' eyes."""

    name: str
    role: Role
    size: int
    sha256: str
    rows: int = 0
    secret: bool = False


@dataclass(frozen=True, slots=True)
class StreamCut:
    """Where the cut lies in a stream: everything up to `position` of `epoch` is in the database and
    its files, `messages` after it, up to `last`, in the file `name`; `gone` were lost before."""

    stream: str
    epoch: int
    position: int
    last: int
    messages: int
    rows: int
    gone: tuple[tuple[int, int, int], ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the file that holds the messages."""
        return f"bus/{self.stream}.arrow"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup. `rows` counts the stored rows of all files, `tables` the database's."""

    version: str
    at: int
    site: str
    records: str
    with_secrets: bool
    rows: int
    signals: int
    tables: Mapping[str, int]
    streams: tuple[StreamCut, ...]
    files: tuple[Entry, ...]
    damaged: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the JSON with the hash of itself."""
        content = {"schema": SCHEMA, **asdict(self)}
        return json.dumps({**content, "sha256": _digest(content)}, indent=1).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Manifest":
        """Read a manifest; raise Refused where it is none, another version's, or was changed."""
        if len(raw) > _MOST_BYTES:
            raise refuse("its manifest is too long")
        try:
            content = json.loads(raw)
            schema, digest = content.pop("schema"), content.pop("sha256")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise refuse("its manifest cannot be read") from None
        if schema != SCHEMA:
            raise Refused(f"this backup is of form {schema}, this program reads form {SCHEMA}",
                          hint="Restore it with the version that made it, or a later one",
                          code="backup.schema")  # fmt: skip
        if digest != _digest({"schema": schema, **content}):
            raise refuse("its manifest was changed")
        try:
            files = tuple(Entry(**entry) for entry in content.pop("files"))
            cuts = [{**cut, "gone": tuple(map(tuple, cut["gone"]))} for cut in
                    content.pop("streams")]  # fmt: skip
            damaged = tuple(content.pop("damaged"))
            made = cls(files=files, streams=tuple(StreamCut(**cut) for cut in cuts),
                       damaged=damaged, **content)  # fmt: skip
            made._check()
        except (KeyError, TypeError, ValueError, AttributeError):
            raise refuse("its manifest is not in form") from None
        return made

    def _check(self) -> None:
        seen = set[str]()
        for entry in self.files:
            place = _PLACES.get(entry.role, "")
            if entry.role == "kept" and entry.name.split("/")[0] not in KEPT:
                raise refuse(f"it names '{entry.name[:100]}'")
            if not _NAME.fullmatch(entry.name) or not entry.name.startswith(place):
                raise refuse(f"it names '{entry.name[:100]}'")
            if entry.name in seen or entry.role not in get_args(Role):
                raise refuse(f"it names '{entry.name}' twice or as something unknown")
            if type(entry.size) is not int or not _HASH.fullmatch(entry.sha256):
                raise refuse(f"'{entry.name}' has no size or hash")
            seen.add(entry.name)
        for role in ("database", "figures", "settings"):
            self.only(role)
        if missing := {cut.name for cut in self.streams} - seen:
            raise refuse(f"it lacks {sorted(missing)[0]}")
        if not re.fullmatch(r"[a-z0-9_-]{1,64}", self.site):
            raise refuse("its site has no name")

    def only(self, role: Role) -> Entry:
        """Return the one file of a role; raise Refused where it is not exactly one."""
        found = [entry for entry in self.files if entry.role == role]
        if len(found) != 1:
            raise refuse(f"it has {len(found)} files of the kind {role}")
        return found[0]


def refuse(why: str) -> Refused:
    """Return the refusal of a backup that is not what it should be."""
    hint = "Nothing was written. Use another backup"
    return Refused(f"this is no whole backup: {why}", hint=hint, code="backup.broken")


def _digest(content: Mapping[str, Any]) -> str:
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()
