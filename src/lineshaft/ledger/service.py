"""The hands of the ledger: what doors and rooms call; blocking reads run in threads."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

from lineshaft.bus import Bus
from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Refused
from lineshaft.ledger.bundle import bundle_of_facts, bundle_of_range
from lineshaft.ledger.log import Ledger, Proven, Signed

__all__ = ["EvidenceService"]

_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.1


class EvidenceService:
    """The ledger as others ask it; it is the port `Evidence`."""

    def __init__(self, ledger: Ledger, bus: Bus) -> None:
        self._ledger, self._bus = ledger, bus

    async def prove(self, fact_ids: Sequence[str]) -> bytes:
        """Return the bundle (a zip file) that proves these Facts offline, in this order. Waits some
        seconds for Facts that were told just now; then raises Refused `ledger.unknown`."""
        until = monotonic_s() + _PATIENCE_S
        while not await asyncio.to_thread(self._ledger.known, fact_ids):
            if monotonic_s() > until:
                break
            await asyncio.sleep(_LOOK_S)
        return await asyncio.to_thread(bundle_of_facts, self._ledger, fact_ids)

    async def entry(self, fact_id: str) -> int | None:
        """Return the number under which a Fact is entered, None where it is not, or not yet."""
        try:
            _, found = await self.proof(fact_id)
        except Refused:
            return None
        return found.number

    async def newest(self) -> Signed:
        """Return the newest checkpoint."""
        return await asyncio.to_thread(self._ledger.newest)

    async def entries(self, start: int, limit: int) -> tuple[Signed, list[Proven]]:
        """Return the newest checkpoint, and entries from `start` on that it holds."""
        return await asyncio.to_thread(self._ledger.entries, start, limit)

    async def proof(self, fact_id: str) -> tuple[Signed, Proven]:
        """Return the newest checkpoint, and one entry with its proof."""
        signed, found = await asyncio.to_thread(self._ledger.prove, [fact_id])
        return signed, found[0]

    async def consistency(self, first: int, second: int) -> tuple[bytes, bytes, list[bytes]]:
        """Return two trees' roots and the proof that the second begins with the first."""
        return await asyncio.to_thread(self._ledger.consistency, first, second)

    async def export(
        self, ids: Sequence[str], span: tuple[int, int] | None, since: int | None,
        hidden: Collection[str],
    ) -> bytes:  # fmt: skip
        """Return the bundle of these Facts, or of a range of entries where there is one."""
        if span is not None:
            return await asyncio.to_thread(
                bundle_of_range, self._ledger, *span, since=since, hidden=hidden
            )
        return await asyncio.to_thread(
            bundle_of_facts, self._ledger, ids, since=since, hidden=hidden
        )

    async def change_key(self) -> str:
        """Have the keeper enter a new key; return its public half."""
        answer: dict[str, Any] = await self._bus.ask("history", "ledger-key", {})
        return str(answer["key"])
