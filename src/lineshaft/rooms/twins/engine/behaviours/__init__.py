"""The library of behaviours that come with the platform.

One module a kind. Steps are exact where the equations allow it and implicit elsewhere, so that any
finite state, input and parameter gives a finite next state.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.behaviours.buffer import BUFFER
from lineshaft.rooms.twins.engine.behaviours.compressor import COMPRESSOR
from lineshaft.rooms.twins.engine.behaviours.conveyor import CONVEYOR
from lineshaft.rooms.twins.engine.behaviours.exchanger import EXCHANGER
from lineshaft.rooms.twins.engine.behaviours.four_tanks import FOUR_TANKS
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.behaviours.line import LINE
from lineshaft.rooms.twins.engine.behaviours.pump import PUMP
from lineshaft.rooms.twins.engine.behaviours.rotor import ROTOR
from lineshaft.rooms.twins.engine.behaviours.station import STATION
from lineshaft.rooms.twins.engine.behaviours.tank import TANK
from lineshaft.rooms.twins.engine.behaviours.thermal import THERMAL
from lineshaft.rooms.twins.engine.behaviours.valve import VALVE

__all__ = ["LIBRARY", "find"]

_ALL: Final = (
    LAG, THERMAL, TANK, FOUR_TANKS, VALVE, PUMP, COMPRESSOR, EXCHANGER, ROTOR, STATION, CONVEYOR,
    BUFFER, LINE,
)  # fmt: skip
LIBRARY: Final[Mapping[str, Behaviour]] = MappingProxyType({one.name: one for one in _ALL})


def find(name: str) -> Behaviour:
    """Return a behaviour of the library; Refused where there is none of this name."""
    if name not in LIBRARY:
        raise Refused(f"'{name[:64]}' is no behaviour of the library", code="twin.behaviour",
                      hint=f"One of {', '.join(LIBRARY)}")  # fmt: skip
    return LIBRARY[name]
