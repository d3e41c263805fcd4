"""The Python client: a plant's values in a notebook, a script, a service.

    import lineshaft

    plant = lineshaft.connect("http://127.0.0.1:8400", token)
    plant.trend(["…/reactor/pressure"], last="8h").pandas()

Rules: only reading; a call is described once (`scripts`) and carried out by either twin, `Plant` or
`AsyncPlant`; nothing beyond the standard library speaks HTTP, so that the base install stays small
(the async twin asks in threads: a call is one short request). Needs nothing of the platform's own
parts and may be used against any of its addresses.
"""

from lineshaft.client.live import Feed, Value
from lineshaft.client.plant import AsyncPlant, Plant, connect, connect_async
from lineshaft.client.table import Table, Trend

__all__ = ["AsyncPlant", "Feed", "Plant", "Table", "Trend", "Value", "connect", "connect_async"]
