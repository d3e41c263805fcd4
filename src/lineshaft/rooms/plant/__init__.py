"""The room `plant`: what there is. The list of signals, their paths, units and ranges.

Hears: `register` from connectors (through the port `SignalDirectory`), reads from the doors.
Says: nothing; whoever needs the list asks for it.
Invariant: a `sid` means one quantity in one unit and kind for ever: it is never given out twice,
renaming keeps it, a changed unit or kind retires it.
"""

from lineshaft.rooms.plant.model import Listed
from lineshaft.rooms.plant.routes import router
from lineshaft.rooms.plant.service import PlantService
from lineshaft.rooms.plant.store import SignalStore

__all__ = ["Listed", "PlantService", "SignalStore", "router"]
