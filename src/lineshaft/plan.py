"""The plan of one run: what the supervisor settled before it started the processes.

It lies in `run/plan.json`, so that every process of a run, and every restart of one, works from the
same settings, ports and names.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from lineshaft.private import write_private
from lineshaft.settings import Settings

if TYPE_CHECKING:
    from lineshaft.plants.process import PlantSettings

__all__ = ["PLANT_USER", "DemoPlant", "Plan"]

PLANT_USER = "lineshaft"


@dataclass(frozen=True, slots=True)
class Plan:
    """`plant_port` is 0 where there is no demo plant; `notices` are shown in the console."""

    settings: Settings
    demo: bool
    plant_port: int = 0
    notices: Sequence[str] = ()

    def write(self) -> None:
        """Write the plan into the data folder."""
        write_private(self.settings.folder / "run" / "plan.json", json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Read the plan of the run that the data folder is in."""
        content = json.loads((folder / "run" / "plan.json").read_text())
        sections = content.pop("settings")
        hints = get_type_hints(Settings)
        made = {f.name: hints[f.name](**sections[f.name]) for f in fields(Settings)}
        return cls(Settings(**made), **content)

    def plant_settings(self) -> "PlantSettings":
        """Return what the simulated plant needs to run."""
        from lineshaft.plants.process import PlantSettings

        folder = self.settings.folder
        return PlantSettings(
            folder=folder / "plant",
            user=PLANT_USER,
            password=(folder / "secrets" / "plant").read_text(),
            kind=self.settings.plant.kind,  # type: ignore[arg-type]
            port=self.plant_port,
            speed=int(self.settings.plant.speed),
        )


@dataclass(frozen=True, slots=True)
class DemoPlant:
    """The simulated plant as it came up."""

    endpoint: str
    kind: str
    notice: str
    certificate: str

    def write(self, folder: Path) -> None:
        """Tell the other processes."""
        write_private(folder / "run" / "plant.json", json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "DemoPlant | None":
        """Return the plant of this run, or None while it has not come up."""
        try:
            return cls(**json.loads((folder / "run" / "plant.json").read_text()))
        except FileNotFoundError:
            return None
