"""Every behaviour there is."""

from collections.abc import Mapping

from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.behaviours.four_tanks import FOUR_TANKS
from lineshaft.rooms.twins.engine.behaviours.lag import LAG

__all__ = ["behaviours"]


def behaviours() -> Mapping[str, Behaviour]:
    """Return every behaviour by its name."""
    return {LAG.name: LAG, FOUR_TANKS.name: FOUR_TANKS}
