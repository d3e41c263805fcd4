"""Ports: what one room may ask of another without knowing it; `app.py` wires them.

Each is a Protocol, small enough to see whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
from numpy.typing import NDArray

from lineshaft.core.commands import Command, Outcome
from lineshaft.core.facts import Fact
from lineshaft.core.samples import SampleBlock
from lineshaft.core.signals import Signal

__all__ = [
    "Actuator", "BlockSink", "Evidence", "Expressions", "FactSink", "PlantPanel", "SampleReader",
    "SampleRows", "SignalDirectory",
]  # fmt: skip


class Actuator(Protocol):
    """What changes a machine. Guards, approvals and limits are wrappers round another one."""

    async def write(self, command: Command) -> Outcome:
        """Carry the Command out and return its one Outcome; raises nothing but cancellation."""
        ...

    async def read(self, sid: int) -> float | None:
        """Return what is in force at the machine now, None where it cannot be read."""
        ...


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


class Evidence(Protocol):
    """The ledger, for whoever must prove what they say."""

    async def prove(self, fact_ids: Sequence[str]) -> bytes:
        """Return one file (a zip with its verifier) that proves offline that these Facts stand in
        the ledger as shown, in this order. Waits some seconds for Facts that were told just now;
        Refused `ledger.unknown` where one is not entered by then."""
        ...

    async def entry(self, fact_id: str) -> int | None:
        """Return the number under which a Fact is entered, None where it is not, or not yet."""
        ...


class Expressions(Protocol):
    """What an expression over signals means, and the signal that carries it."""

    async def check(self, expression: str, unit: str | None) -> Signal:
        """Return the signal that it is, where it is no more than one, else one without sid that
        has its kind and unit; Refused with its first mistake, another unit than asked included."""
        ...

    async def signal(self, path: str, name: str, expression: str, unit: str | None) -> Signal:
        """Return the signal that carries it from now on: the one that it is, or that at `path`,
        which is calculated."""
        ...


class SignalDirectory(Protocol):
    """The list of signals, kept by the room `plant`."""

    def register(self, drafts: Sequence[Signal]) -> Sequence[Signal]:
        """Give each draft (sid 0) its sid: that of the signal with this path, kind and unit, or a
        new one; a signal whose unit or kind changed is retired. Order is kept."""
        ...


class SampleRows(Protocol):
    """Samples as columns of shape `(n,)`, by sid and ts; v is NaN where there is no number."""

    @property
    def sid(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def ts(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def v(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def q(self) -> NDArray[Any]: ...  # noqa: D102


class SampleReader(Protocol):
    """What history answers to other rooms."""

    async def raw(self, sids: list[int], start: int, end: int, limit: int) -> SampleRows:
        """Return the rows with start <= ts < end, `limit` at most; Refused where there are more."""
        ...

    async def last(self, sids: list[int]) -> SampleRows:
        """Return the newest row of each signal that has any."""
        ...

    async def held(self, sids: list[int], at: int) -> pa.Table:
        """Return the row that held at a stamp of each signal that had any, columns as of a block,
        however old."""
        ...


class PlantPanel(Protocol):
    """The panel of a simulated plant; machines of flesh and iron have none."""

    async def handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Carry out `{}`, `{"speed": x}`, `{"disturbance": {"id": i, "on": b}}` or
        `{"restart": true}` and return the panel's state after it."""
        ...
