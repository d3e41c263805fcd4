"""What people may set of the steady-state optimiser; every number is a share, a count of periods or
a count of standard deviations, so that none of them belongs to one plant."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lineshaft.core.errors import Refused

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """`probe`: share of a handle's range by which it is moved to learn what it does. `stride`:
    share of the range that one step of improvement may cross at first. `sure`: standard deviations
    of a period's mean that are kept from every limit. `caution`: standard deviations of its own
    error that a step must be worth. `worth`: share of the gain so far below which a further step is
    not worth making. `observe`, `segment`: periods of watching first, and of the first moves."""

    probe: float = 0.015
    stride: float = 0.06
    sure: float = 4.0
    caution: float = 1.0
    worth: float = 0.01
    observe: int = 96
    segment: int = 96

    @staticmethod
    def read(content: Mapping[str, Any]) -> "Settings":
        """Return the settings of a loop; Refused where one is unknown or out of its range."""
        known = {one.name for one in fields(Settings)}
        if unknown := sorted(content.keys() - known):
            raise Refused(
                f"the optimiser has no setting {', '.join(unknown)}",
                hint=f"It has {', '.join(sorted(known))}",
                code="loop.settings",
            )
        try:
            given: dict[str, Any] = {k: (int if k in ("observe", "segment") else float)(v)
                     for k, v in content.items()}  # fmt: skip
        except (TypeError, ValueError):
            raise Refused("a setting of the optimiser is no number", code="loop.settings") from None
        made = Settings(**given)
        ranges = {"probe": (1e-4, 0.2), "stride": (1e-3, 0.5), "sure": (0, 20), "caution": (0, 10),
                  "worth": (0, 0.5), "observe": (12, 100_000), "segment": (6, 100_000)}  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(made, name) <= high:
                raise Refused(
                    f"the setting '{name}' of the optimiser is {getattr(made, name)}",
                    hint=f"Give a number from {low} to {high}",
                    code="loop.settings",
                )
        return made
