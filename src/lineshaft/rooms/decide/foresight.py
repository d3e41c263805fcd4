"""What twins foretell of a proposal, asked over the bus before its Commands are judged.

Rules: all moves of a proposal are asked about together, once; an answer is good for a while, then
the twins are asked again from where they stand then. Whatever goes wrong is no answer, and the
guard `what-if` permits nothing without one.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from lineshaft.bus import Bus
from lineshaft.clock import monotonic_s
from lineshaft.core.errors import LineshaftError
from lineshaft.rooms.decide.engine.guards import Band
from lineshaft.rooms.decide.model import Foresight

__all__ = ["Foreteller"]

_ASK_S: Final = 15.0
_GOOD_S: Final = 10.0
_KEPT: Final = 100
_log = logging.getLogger(__name__)


class Foreteller:
    """Asks twins what the moves of a proposal would do."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._answers: OrderedDict[str, tuple[float, tuple[Band, ...]]] = OrderedDict()

    async def ask(
        self, proposal: str, wanted: Foresight, moves: Mapping[int, float]
    ) -> tuple[Band, ...] | None:
        """Return where signals are expected to stay while the `moves` (value by sid) are in force,
        None where nobody is to be asked, or nobody can say."""
        if not wanted.twins:
            return None
        known = self._answers.get(proposal)
        if known is not None and monotonic_s() - known[0] < _GOOD_S:
            return known[1]
        body = {"twins": list(wanted.twins), "moves": [list(one) for one in sorted(moves.items())],
                "hours": wanted.hours}  # fmt: skip
        try:
            answer: Mapping[str, Any] = await self._bus.ask("foresight", "whatif", body, _ASK_S)
        except LineshaftError as error:
            _log.warning("no twin says what a move would do: %s", error)
            return None
        bands = tuple(Band(int(sid), low, high) for sid, low, high in answer["bands"])
        self._answers[proposal] = (monotonic_s(), bands)
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        return bands
