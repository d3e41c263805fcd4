"""What others say of the plant: processes found abnormal, twins that drifted, links that are lost.

Rules: the Facts of the whole stream are heard from its beginning, so a restart knows what still
holds; until they are, nobody knows whether the plant is normal, and nothing is written.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from typing import Final

from lineshaft.bus import Bus, Gone
from lineshaft.bus.client import fact_stream
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact

__all__ = ["Watch"]

_BEGINS: Final = {"process.abnormal": "process.normal", "twin.drifted": "twin.recovered"}
_ENDS: Final = {end: begin for begin, end in _BEGINS.items()}
_HEARD: Final = {*_BEGINS, *_ENDS, "link.lost", "link.connected"}


class Watch:
    """What holds now, as the site's Facts tell; `run` it in a task of its own."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._twins: dict[tuple[str, str, str], str] = {}
        self._lost: set[str] = set()
        self.knows = False

    def twins(self, watched: Mapping[str, object]) -> tuple[str, ...] | None:
        """Return what the watched twins find wrong, in words; None while that is not known."""
        if not self.knows:
            return None if watched else ()
        return tuple(sorted(said for (_, twin, _), said in self._twins.items() if twin in watched))

    def lost(self, sources: frozenset[str]) -> tuple[str, ...]:
        """Return which of these sources have lost their link."""
        return tuple(sorted(self._lost & sources))

    async def run(self) -> None:
        """Hear Facts until cancelled."""
        name, streams = fact_stream(self._bus.site), self._bus.streams
        while True:
            last = (await streams.patiently(streams.state, name)).last
            self.knows = not last
            try:
                async with aclosing(streams.follow(name, 0)) as facts:
                    async for one in facts:
                        seq = one.last if isinstance(one, Gone) else one.seq
                        if not isinstance(one, Gone) and _kind(one.subject) in _HEARD:
                            with suppress(Refused):
                                self.hear(Fact.from_json(one.data))
                        self.knows = self.knows or seq >= last
                        if not seq % 200:
                            await asyncio.sleep(0)
            except Broken as error:
                if error.code != "bus.rolled_back":
                    raise
            self._twins.clear()
            self._lost.clear()

    def hear(self, fact: Fact) -> None:
        """Take one Fact."""
        if fact.kind in ("link.lost", "link.connected"):
            source = str(fact.body.get("source", fact.subject))
            (self._lost.add if fact.kind == "link.lost" else self._lost.discard)(source)
            return
        kind = fact.kind if fact.kind in _BEGINS else _ENDS.get(fact.kind)
        if kind is None:
            return
        twin, output = str(fact.body.get("twin", "")), str(fact.body.get("output", ""))
        if fact.kind in _ENDS:
            self._twins.pop((kind, twin, output), None)
        else:
            said = f"{fact.body.get('name', twin)}: {kind.partition('.')[2]} {output}".strip()
            self._twins[kind, twin, output] = said


def _kind(subject: str) -> str:
    return subject.partition(".fact.")[2]
