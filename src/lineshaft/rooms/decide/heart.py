"""The heart of the loops: while it beats, a plant obeys us; when it stops, the plant helps itself.

Rules: one number a second, another one each time, to the heartbeat node of every plant that a loop
holds, through the process `connect`; whichever of us dies, the beats end, and the plant falls back
to its own set-points by itself (how, is the plant's business; see the guide to writing). The wish
for remote control is written after the first beat, and again where the plant dropped it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from lineshaft.bus import Bus
from lineshaft.core.errors import LineshaftError

__all__ = ["Heart", "Held"]

_PERIOD_S: Final = 1.0
_ASK_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a plant needs to be held: its heartbeat signal, and the switch (true or 1) that asks for
    remote control; either may be missing."""

    heartbeat: int | None = None
    wish: int | None = None


class Heart:
    """Beats for every plant that some loop holds; `run` it in a task of its own."""

    def __init__(self, bus: Bus, period_s: float = _PERIOD_S) -> None:
        self._bus, self._period_s = bus, period_s
        self._holders: dict[Held, set[str]] = {}
        self._troubles: dict[Held, str] = {}
        self._number = 0
        self._now = asyncio.Event()

    def hold(self, loop: str, plant: Held) -> None:
        """Have the plant obey remote control from now on, because of this loop."""
        if plant.heartbeat is None and plant.wish is None:
            return
        self._holders.setdefault(plant, set()).add(loop)
        self._now.set()

    def let_go(self, loop: str) -> None:
        """This loop wants nothing of any plant any more; plants that no loop holds go back."""
        for holders in self._holders.values():
            holders.discard(loop)
        self._now.set()

    def trouble(self, plant: Held) -> str:
        """Return why the last beat did not arrive, empty where it did."""
        return self._troubles.get(plant, "")

    async def run(self) -> None:
        """Beat until cancelled; gives nothing back then, the silence does."""
        while True:
            self._now.clear()
            self._number += 1
            await asyncio.gather(*(self._beat(plant) for plant in list(self._holders)))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period_s):
                    await self._now.wait()

    async def _beat(self, plant: Held) -> None:
        wanted = bool(self._holders[plant])
        body = {"heartbeat": plant.heartbeat, "wish": plant.wish, "number": self._number,
                "remote": wanted}  # fmt: skip
        try:
            await self._bus.ask("connect", "beat", body, _ASK_S)
        except LineshaftError as error:
            self._troubles[plant] = error.message
            return
        self._troubles.pop(plant, None)
        if not wanted and not self._holders[plant]:
            del self._holders[plant]
