"""Deployment settings: what differs between one installation and the next, and nothing else.

Rules: a value comes from the first of environment (`LINESHAFT__HTTP__PORT=8401`), `lineshaft.toml`,
default; every value knows its origin; an unknown key is refused with the nearest known one. What
people edit while the platform runs (sources, assets, loops) are Records, not settings. Secrets are
never settings: they are files in the data folder, made by the platform, mode 0600.
"""

import difflib
import ipaddress
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from lineshaft.core.errors import Refused
from lineshaft.core.paths import check_path

__all__ = ["Effective", "Settings", "load"]

_ENV = "LINESHAFT__"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_ANY = {"0.0.0.0", "::"}
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Platform:
    """What this installation is called and where its data lie."""

    data: str = _setting(".lineshaft", "folder that holds everything kept; deleting it starts over")
    enterprise: str = _setting("lineshaft", "first level of every path")
    site: str = _setting("demo", "second level of every path; names the streams of the bus")


@dataclass(frozen=True, slots=True)
class Http:
    """The doors: API and console."""

    host: str = _setting("127.0.0.1", "address to listen on; beyond loopback always with TLS")
    port: int = _setting(8400, "port to listen on")
    names: str = _setting(
        "", "names and addresses by which browsers call it beyond loopback, by commas"
    )
    certificate: str = _setting(
        "", "PEM file of the doors' certificate; empty makes one beyond loopback, by an own CA"
    )
    key: str = _setting("", "PEM file of that certificate's key")

    @property
    def is_beyond(self) -> bool:
        """Return whether the doors are open beyond loopback."""
        return self.host not in _LOOPBACK

    @property
    def is_tls(self) -> bool:
        """Return whether the doors speak TLS."""
        return self.is_beyond or self.certificate != ""

    @property
    def listed(self) -> list[str]:
        """Return `names` one by one, as they are compared."""
        parts = (part.strip().lower() for part in self.names.split(","))
        return [part for part in parts if part]

    def known_as(self, machine: str) -> list[str]:
        """Return the names that the doors answer to: the listed ones and, beyond loopback, those
        of the machine and of the address."""
        more = [machine] if self.is_beyond and _is_name(machine) else []
        more += [self.host] if self.host not in _ANY else []
        return list(dict.fromkeys([*self.listed, *more]))

    @property
    def listens(self) -> list[str]:
        """Return the addresses to listen on; loopback is always among them or covered."""
        if not self.is_beyond or self.host in _ANY:
            return [self.host]
        return [self.host, "::1" if ":" in self.host else "127.0.0.1"]

    @property
    def url(self) -> str:
        """Return where people's browsers find the console."""
        name = self.listed[0] if self.listed and self.is_tls else self.host
        return self._at(name)

    @property
    def local_url(self) -> str:
        """Return where this machine's own command line finds the doors, over loopback."""
        local = "::1" if ":" in self.host else "127.0.0.1"
        return self._at(local if self.is_beyond else self.host)

    def _at(self, name: str) -> str:
        shown = f"[{name}]" if ":" in name else name
        return f"{'https' if self.is_tls else 'http'}://{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class Bus:
    """The bus: NATS JetStream."""

    binary: str = _setting("", "path of nats-server; empty takes the one of the Python package")
    port: int = _setting(0, "loopback port of the embedded server; 0 takes a free one")
    max_gb: float = _setting(20.0, "the stream refuses new samples when it holds this much")


@dataclass(frozen=True, slots=True)
class History:
    """The writer of samples."""

    commit_rows: int = _setting(4_000_000, "rows after which a commit comes")
    commit_s: float = _setting(30.0, "seconds after which a commit comes")
    compact_s: float = _setting(5.0, "seconds between looks for files to compact; 0 never compacts")
    budget_gb: float = _setting(
        0.0, "most that history may take on disk: the oldest days' rows go first; 0 sets no limit"
    )
    margin_gb: float = _setting(10.0, "how much of the stream stays after it was stored")
    margin_hours: float = _setting(24.0, "how long the stream stays after it was stored")


@dataclass(frozen=True, slots=True)
class Connect:
    """The connectors."""

    buffer_samples: int = _setting(
        2_000_000,
        "samples a source may hold while the bus is away; the oldest are then declared lost",
    )


@dataclass(frozen=True, slots=True)
class Plant:
    """The simulated plant of the demo."""

    kind: str = _setting("auto", "tep, williams-otto, none; auto takes tep where it can be built")
    speed: float = _setting(1.0, "plant seconds per wall second at the start: 1, 60 or 1800")
    port: int = _setting(0, "loopback port of the plant's OPC UA server; 0 takes a free one")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Imports and exports of samples."""

    import_max_gb: float = _setting(50.0, "largest file that can be imported")
    export_days: float = _setting(7.0, "how long the files of an export are kept")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by section."""

    platform: Platform = field(default_factory=Platform)
    http: Http = field(default_factory=Http)
    bus: Bus = field(default_factory=Bus)
    history: History = field(default_factory=History)
    connect: Connect = field(default_factory=Connect)
    plant: Plant = field(default_factory=Plant)
    exchange: Exchange = field(default_factory=Exchange)

    @property
    def folder(self) -> Path:
        """Return the data folder, absolute."""
        return Path(self.platform.data).expanduser().absolute()


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it holds now: `name` is `section.key`, `origin` where the value came from."""

    name: str
    value: object
    origin: str
    doc: str


def load(file: Path | None, environ: Mapping[str, str]) -> tuple[Settings, list[Effective]]:
    """Read and check all settings; raise Refused with the place and the remedy for a bad one."""
    given = _from_file(file) | _from_environment(environ)
    listed: list[Effective] = []
    sections: dict[str, Any] = {}
    for section in fields(Settings):
        kind = get_type_hints(Settings)[section.name]
        hints = get_type_hints(kind)
        values: dict[str, Any] = {}
        for key in fields(kind):
            name = f"{section.name}.{key.name}"
            raw, origin = given.pop(name, (key.default, "default"))
            values[key.name] = _convert(name, raw, hints[key.name], origin)
            listed.append(Effective(name, values[key.name], origin, key.metadata["doc"]))
        sections[section.name] = kind(**values)
    for name, (_, origin) in given.items():
        near = difflib.get_close_matches(name, [e.name for e in listed], 1, 0.4)
        hint = f"Did you mean '{near[0]}'?" if near else "Run `lineshaft check` for all settings"
        raise Refused(f"unknown setting '{name}' in {origin}", hint=hint, code="settings.unknown")
    return _checked(Settings(**sections)), listed


def _from_file(file: Path | None) -> dict[str, tuple[Any, str]]:
    if file is None:
        return {}
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise Refused(f"cannot read settings at {file}: {error.strerror}",
                      code="settings.file") from error  # fmt: skip
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{file} is not TOML: {error}", code="settings.file") from error
    given: dict[str, tuple[Any, str]] = {}
    for section, values in content.items():
        if not isinstance(values, dict):
            raise Refused(
                f"unknown setting '{section}' in {file}",
                hint="Settings stand in sections, e.g. [http]",
                code="settings.unknown",
            )
        given |= {f"{section}.{key}": (value, str(file)) for key, value in values.items()}
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    return {
        name.removeprefix(_ENV).lower().replace("__", "."): (value, name)
        for name, value in environ.items()
        if name.startswith(_ENV)
    }


def _convert(name: str, raw: Any, kind: type, origin: str) -> Any:
    try:
        if kind is str and isinstance(raw, str):
            return raw
        if kind is not str and not isinstance(raw, bool):
            value = kind(raw)
            if isinstance(raw, str) or value == raw or value != value:
                return value
    except (TypeError, ValueError, OverflowError):
        pass
    raise Refused(f"setting '{name}' in {origin} is {raw!r}",
                  hint=f"It must be of type {kind.__name__}", code="settings.type")  # fmt: skip


def _is_level(text: str) -> bool:
    try:
        check_path(f"{text}/b/c/d", prefix=True)
    except Refused:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and str(parsed) == text


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not text.replace(".", "").isdigit()


def _checked(settings: Settings) -> Settings:
    """Return the settings, or refuse values that cannot work."""
    platform, finite = settings.platform, math.isfinite
    rules = [
        (platform.data.strip() != "", "platform.data", "Name a folder"),
        (_is_level(platform.enterprise), "platform.enterprise", "Use a-z, 0-9, '-' and '_' only"),
        (_is_level(platform.site), "platform.site", "Use a-z, 0-9, '-' and '_' only"),
        (settings.plant.kind in {"auto", "tep", "williams-otto", "none"}, "plant.kind",
         "Use auto, tep, williams-otto or none"),
        (settings.http.host == "localhost" or _is_address(settings.http.host), "http.host",
         "Give an address of this machine, without brackets; names go into http.names"),
        (settings.http.host not in _ANY or settings.http.listed, "http.host",
         "To listen on every address, say in http.names by which names browsers call it"),
        (all(_is_address(n) or _is_name(n) for n in settings.http.listed), "http.names",
         "List host names and addresses by commas, without ports: plant.example, 192.0.2.7"),
        (bool(settings.http.certificate) == bool(settings.http.key), "http.certificate",
         "Give http.certificate and http.key, or neither"),
        (0 < settings.http.port < 65536, "http.port", "Use a port between 1 and 65535"),
        (settings.history.commit_rows >= 1000, "history.commit_rows", "Use 1000 or more"),
        (settings.history.commit_s >= 0.05, "history.commit_s", "Use 0.05 or more"),
        (settings.history.compact_s >= 0, "history.compact_s", "Use 0 or more"),
        (settings.history.budget_gb >= 0, "history.budget_gb", "Use 0 or more"),
        (settings.history.margin_gb >= 0, "history.margin_gb", "Use 0 or more"),
        (settings.history.margin_hours >= 0, "history.margin_hours", "Use 0 or more"),
        (settings.connect.buffer_samples > 0, "connect.buffer_samples", "Use 1 or more"),
        (0 <= settings.bus.port < 65536, "bus.port", "Use a port up to 65535, or 0 for a free one"),
        (settings.bus.max_gb > 0 and finite(settings.bus.max_gb), "bus.max_gb", "Use more than 0"),
        (settings.plant.speed > 0 and finite(settings.plant.speed), "plant.speed",
         "Use 1, 60 or 1800"),
        (0 < settings.exchange.import_max_gb < 1e6, "exchange.import_max_gb", "Use more than 0"),
        (0 < settings.exchange.export_days < 1e5, "exchange.export_days", "Use more than 0"),
        (0 <= settings.plant.port < 65536, "plant.port",
         "Use a port up to 65535, or 0 for a free one"),
    ]  # fmt: skip
    for holds, name, hint in rules:
        if not holds:
            raise Refused(f"setting '{name}' has a value that cannot work", hint=hint,
                          code="settings.value")  # fmt: skip
    return settings
