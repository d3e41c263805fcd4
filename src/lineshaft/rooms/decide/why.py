"""Why a move was made: what was written down from the samples to what happened after it.

Rules: nothing is computed again, so the page stays true whatever the loop learned since. `as_of` in
it is the number of the newest sample that was known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineshaft.rooms.decide.journal import Journal, MoveMade, Offer, Result

__all__ = ["Why", "explain"]


@dataclass(frozen=True, slots=True)
class Why:
    """A Command, the proposal that it came of, the first settled result after it, and the Facts
    about it with their proofs (None where the ledger has none)."""

    move: MoveMade
    offer: Offer
    happened: Result | None
    evidence: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = ()


def explain(journal: Journal, number: str) -> Why:
    """Return why a Command was given; Refused (404) where there is none. Blocks."""
    move = journal.get(number)
    offer = journal.offer(move.proposal)
    return Why(move, offer, journal.happened(offer.loop, offer.at))
