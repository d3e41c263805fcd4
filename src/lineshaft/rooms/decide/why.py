"""Why a move was made: what was written down from the samples to what happened after it.

Rules: nothing is computed again, so the page stays true whatever the loop learned since. `as_of` in
it is the number of the newest sample that was known.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lineshaft.core.facts import Fact
from lineshaft.core.ports import Evidence
from lineshaft.rooms.decide.journal import Journal, MoveMade, Offer, Result
from lineshaft.rooms.decide.told import decided_fact, outcome_fact, proposed_fact

__all__ = ["Why", "explain"]


@dataclass(frozen=True, slots=True)
class Why:
    """A Command, the proposal that it came of, the first settled result after it, and the Facts
    that say so, each with its number in the ledger (None: not entered yet)."""

    move: MoveMade
    offer: Offer
    happened: Result | None
    evidence: Sequence[tuple[Fact, int | None]]


async def explain(journal: Journal, evidence: Evidence, number: str) -> Why:
    """Return why a Command was given; Refused (404) where there is none."""
    move, offer, happened = await asyncio.to_thread(_look, journal, number)
    facts = [proposed_fact(offer.id, offer.at, offer.body), decided_fact(move.command)]
    facts += [outcome_fact(move)] if move.outcome is not None else []
    entries = await asyncio.gather(*(evidence.entry(one.id) for one in facts))
    return Why(move, offer, happened, list(zip(facts, entries, strict=True)))


def _look(journal: Journal, number: str) -> tuple[MoveMade, Offer, Result | None]:
    move = journal.get(number)
    offer = journal.offer(move.proposal)
    return move, offer, journal.happened(offer.loop, offer.at)
