"""`Plant`: a stepping model of a plant under its own regulatory control.

Rules: a plant moves only in `advance`; it reads no clock and waits for nobody; the same seed and
the same calls give the same numbers; values are arrays in the order of `spec.model_keys`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lineshaft.plants.signals import PlantSpec

__all__ = ["Disturbance", "Plant", "Values", "margins"]

Values = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A disturbance that can be switched on and off; `id` counts from 1."""

    id: int
    name: str


class Plant(Protocol):
    """A simulated plant; time is in plant hours, values in the units of its `spec`."""

    @property
    def spec(self) -> PlantSpec:
        """What the plant shows."""
        ...

    @property
    def notice(self) -> str:
        """Whose model it is, one paragraph; empty where there is nothing to say."""
        ...

    @property
    def return_h(self) -> float:
        """Plant hours in which a set-point may cross its range when control returns to local."""
        ...

    @property
    def disturbances(self) -> Sequence[Disturbance]:
        """What can be switched on and off, ids counting from 1."""
        ...

    @property
    def hours(self) -> float:
        """Plant time; goes on counting after a restart, stands still while tripped."""
        ...

    @property
    def trip(self) -> str | None:
        """Cause of the shutdown, None while running."""
        ...

    def advance(self, hours: float) -> None:
        """Move on by that much plant time, or until it trips; a tripped plant stays."""
        ...

    def values(self) -> Values:
        """Return what is measured and computed now, in the order of `spec.model_keys`."""
        ...

    def command(self, key: str, value: float) -> None:
        """Put a set-point or free valve in force; `key` is one of `spec.command_keys`."""
        ...

    def commands(self) -> Mapping[str, float]:
        """Return what is in force after a start, by key."""
        ...

    def set_disturbance(self, number: int, on: bool) -> None:
        """Switch a disturbance; raises KeyError for an unknown one."""
        ...

    def active(self) -> frozenset[int]:
        """Return the ids of the disturbances that are on."""
        ...

    def restart(self) -> None:
        """Start again at the base case, all disturbances off."""
        ...


def margins(
    spec: PlantSpec, values: Mapping[str, float], trips: Mapping[str, float]
) -> list[float]:
    """Return the distance to each limit, for the margin signals that name one measurement.

    A margin `m/x-high-margin` is read as: machine m, measurement x, side high; without a side it
    is high. `-trip-margin` takes its limit from `trips` (by margin key), `-margin` takes the
    measurement's normal operating limit. Margins of another form are NaN.
    """
    result = []
    for signal in spec.signals:
        if signal.role != "margin":
            continue
        stem = signal.key.removesuffix("-margin").removesuffix("-trip")
        low_side = stem.endswith("-low")
        stem = stem.removesuffix("-low").removesuffix("-high")
        limit = trips.get(signal.key)
        measured = spec.get(stem)
        if limit is None and measured is not None:
            limit = measured.limit_low if low_side else measured.limit_high
        if limit is None:
            result.append(float("nan"))
        else:
            result.append(values[stem] - limit if low_side else limit - values[stem])
    return result
