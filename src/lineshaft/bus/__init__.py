"""The bus: NATS JetStream, embedded by default.

Hears: blocks, Facts and questions. Says: the same, in order, to whoever follows.
Invariant: what was acknowledged is on disk, once, and every follower sees every sequence number or
is told that it is gone.
"""

from lineshaft.bus.client import Bus
from lineshaft.bus.server import BusAccess, prepare_server
from lineshaft.bus.streams import Gone, Message, Streams, StreamState

__all__ = ["Bus", "BusAccess", "Gone", "Message", "StreamState", "Streams", "prepare_server"]
