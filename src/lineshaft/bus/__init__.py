"""The bus: NATS JetStream, embedded by default.

Hears: blocks, Facts and questions. Says: the same, in order, to whoever follows.
Invariant: what was acknowledged is on disk, once, and every follower sees every sequence number or
is told that it is gone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineshaft.bus.client import Bus
    from lineshaft.bus.server import BusAccess, prepare_server
    from lineshaft.bus.streams import Gone, Message, Streams, StreamState

__all__ = ["Bus", "BusAccess", "Gone", "Message", "StreamState", "Streams", "prepare_server"]

_HOMES = {
    "client": ["Bus"],
    "server": ["BusAccess", "prepare_server"],
    "streams": ["Gone", "Message", "StreamState", "Streams"],
}


def __getattr__(name: str) -> Any:
    """Load a name's module when it is first asked for: the supervisor prepares the server and must
    not pay for Arrow and the client."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"lineshaft.bus.{home}"), name)
    raise AttributeError(name)
