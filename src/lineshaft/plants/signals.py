"""What a simulated plant shows: its machines and signals, read from `signals.toml`.

The file is the one list of them: server, control, panel and tests read names, units, ranges and
limits here. A signal's key is `machine/name`, the last two levels of its path.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from typing import Any

from lineshaft.core.signals import Kind

__all__ = ["Machine", "PlantSignal", "PlantSpec", "Role", "Title", "load_spec"]


class Role(StrEnum):
    """What a signal is for."""

    MEASUREMENT = "measurement"
    MANIPULATED = "manipulated"
    SETPOINT = "setpoint"
    LOCAL = "local"
    COST = "cost"
    MARGIN = "margin"
    CLOCK = "clock"
    SPEED = "speed"
    STATE = "state"
    MODE = "mode"
    HEARTBEAT = "heartbeat"
    COUNTER = "counter"


_MODEL_ROLES = (Role.MEASUREMENT, Role.MANIPULATED, Role.COST, Role.MARGIN)
_COMMAND_ROLES = (Role.SETPOINT, Role.MANIPULATED)


@dataclass(frozen=True, slots=True)
class Title:
    """A name for people, in two languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the plant; `name` is a path level."""

    name: str
    title: Title


@dataclass(frozen=True, slots=True)
class PlantSignal:
    """A signal of the plant; ranges and limits are in `unit` (UCUM), None means not known.

    `scale` times the model's value is the value in `unit`. `low` and `high` also bound writes.
    """

    machine: str
    name: str
    title: Title
    role: Role
    kind: Kind
    unit: str = ""
    tag: str = ""
    low: float | None = None
    high: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    decimals: int | None = None
    scale: float = 1.0
    writable: bool = False
    description: str = ""

    @property
    def key(self) -> str:
        """The last two levels of the signal's path."""
        return f"{self.machine}/{self.name}"


@dataclass(frozen=True)
class PlantSpec:
    """A plant as its file describes it."""

    name: str
    title: Title
    machines: tuple[Machine, ...]
    signals: tuple[PlantSignal, ...]
    _by_key: dict[str, PlantSignal] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {signal.key: signal for signal in self.signals})

    def __getitem__(self, key: str) -> PlantSignal:
        return self._by_key[key]

    def get(self, key: str) -> PlantSignal | None:
        """Return the signal with this key, None where there is none."""
        return self._by_key.get(key)

    def of(self, *roles: Role) -> Iterator[PlantSignal]:
        """Yield the signals with one of these roles, in the order of the file."""
        return (signal for signal in self.signals if signal.role in roles)

    @property
    def model_keys(self) -> tuple[str, ...]:
        """Keys of what the model computes; `Plant.values()` has this order."""
        return tuple(signal.key for signal in self.of(*_MODEL_ROLES))

    @property
    def command_keys(self) -> tuple[str, ...]:
        """Keys of what a controller may move: set-points, and valves that have no loop."""
        return tuple(signal.key for signal in self.of(*_COMMAND_ROLES) if signal.writable)


def load_spec(package: str) -> PlantSpec:
    """Read the `signals.toml` that lies in the given package."""
    text = resources.files(package).joinpath("signals.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    plant = content["plant"]
    return PlantSpec(
        name=plant["name"],
        title=Title(**plant["title"]),
        machines=tuple(Machine(m["name"], Title(**m["title"])) for m in content["machine"]),
        signals=tuple(_signal(row) for row in content["signal"]),
    )


def _signal(row: dict[str, Any]) -> PlantSignal:
    rest = {k: v for k, v in row.items() if k not in ("title", "role", "kind")}
    return PlantSignal(
        title=Title(**row["title"]), role=Role(row["role"]), kind=Kind(row["kind"]), **rest
    )
