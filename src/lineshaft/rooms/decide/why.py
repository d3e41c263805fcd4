"""Why a move was made: what was written down from the samples to what happened after it.

Rules: nothing is computed again, so the page stays true whatever the loop learned since. `as_of` in
it is the number of the newest sample that was known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lineshaft.core.facts import Fact
from lineshaft.rooms.decide.journal import Journal, MoveMade, Offer, Result
from lineshaft.rooms.decide.told import decided_fact, outcome_fact, proposed_fact

__all__ = ["Why", "explain"]


@dataclass(frozen=True, slots=True)
class Why:
    """A Command, the proposal that it came of, the first settled result after it, and the Facts
    that say so, in the order in which they were told."""

    move: MoveMade
    offer: Offer
    happened: Result | None
    evidence: Sequence[Fact]


def explain(journal: Journal, number: str) -> Why:
    """Return why a Command was given; Refused (404) where there is none. Blocks."""
    move = journal.get(number)
    offer = journal.offer(move.proposal)
    facts = [proposed_fact(offer.id, offer.at, offer.body), decided_fact(move.command)]
    facts += [outcome_fact(move)] if move.outcome is not None else []
    return Why(move, offer, journal.happened(offer.loop, offer.at), facts)
