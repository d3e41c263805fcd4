"""The panel of a simulated plant: what its maker may do and its operator may not.

Answers are the JSON of `GET /panel`; requests come from a door and are trusted in nothing.
"""

from collections.abc import Mapping
from typing import Any

from lineshaft.core.errors import Refused
from lineshaft.plants.simulation import SPEEDS, Simulation

__all__ = ["PanelHandler"]


class PanelHandler:
    """A `PlantPanel` for a running simulation."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out `{}` or `{"state": true}`, `{"speed": 60}`, `{"disturbance": {"id": 1,
        "on": true}}` or `{"restart": true}`, and return the state after it; raise Refused for
        anything else."""
        simulation = self._simulation
        match dict(request):
            case {} as empty if not empty or set(empty) == {"state"}:
                pass
            case {"speed": int() | float() as speed, **rest} if not rest:
                simulation.speed = speed  # type: ignore[assignment]
            case {"disturbance": {"id": int() as number, "on": bool() as on}, **rest} if not rest:
                await simulation.disturb(number, on)
            case {"restart": True, **rest} if not rest:
                await simulation.restart()
            case other:
                raise Refused(
                    f"the panel does not know {str(other)[:120]}",
                    hint='It takes {"speed": n}, {"disturbance": {"id": n, "on": b}} or '
                    '{"restart": true}',
                    code="plant.panel",
                )
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return the panel's state."""
        plant, active = self._simulation.plant, self._simulation.plant.active()
        return {
            "plant": plant.spec.name,
            "notice": plant.notice,
            "plant_time_h": plant.hours,
            "speed": self._simulation.speed,
            "speed_reached": self._simulation.reached,
            "speeds": list(SPEEDS),
            "running": plant.trip is None,
            "tripped": plant.trip,
            "disturbances": [
                {"id": d.id, "name": d.name, "on": d.id in active} for d in plant.disturbances
            ],
        }
