"""Ports: what one room may ask of another without knowing it; `app.py` wires them.

Each is a Protocol, small enough to see whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lineshaft.core.facts import Fact
from lineshaft.core.samples import SampleBlock
from lineshaft.core.signals import Signal

__all__ = ["BlockSink", "FactSink", "PlantPanel", "SignalDirectory"]


class BlockSink(Protocol):
    """Where a connector puts its samples."""

    async def publish(self, block: SampleBlock) -> int:
        """Return the block's sequence once it is on disk; publishing again changes nothing."""
        ...


class FactSink(Protocol):
    """Where anybody says what happened."""

    async def tell(self, fact: Fact) -> None:
        """Return once the Fact is on disk."""
        ...


class SignalDirectory(Protocol):
    """The list of signals, kept by the room `plant`."""

    def register(self, drafts: Sequence[Signal]) -> Sequence[Signal]:
        """Give each draft (sid 0) its sid: that of the signal with this path, kind and unit, or a
        new one; a signal whose unit or kind changed is retired. Order is kept."""
        ...


class PlantPanel(Protocol):
    """The panel of a simulated plant; machines of flesh and iron have none."""

    async def handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out `{}`, `{"speed": x}`, `{"disturbance": {"id": i, "on": b}}` or
        `{"restart": true}` and return the panel's state after it."""
        ...
