"""The Facts of decisions, made from what the records hold: the same rows give the same Facts.

Rules: a Fact is never kept beside its rows; whoever needs it again (to tell it after a crash, to
prove it years later) makes it again, and its id tells that it is the same.
"""

from collections.abc import Mapping
from typing import Any

from lineshaft.core.commands import Command
from lineshaft.core.facts import Fact
from lineshaft.rooms.decide.journal import MoveMade

__all__ = ["decided_fact", "outcome_fact", "proposed_fact"]

_TOLD = ("mode", "phase", "reason", "expected", "objective", "moves", "samples", "candidates",
         "as_of", "model")  # fmt: skip


def proposed_fact(number: str, at: int, body: Mapping[str, Any]) -> Fact:
    """Return the Fact of a proposal; `body` is that of its Offer, with the loop's record."""
    loop = body["loop"]
    whole = {"id": loop["id"], "name": loop["name"], "proposal": number,
             **{name: body[name] for name in _TOLD}}  # fmt: skip
    return Fact("loop.proposed", at, loop["machine"], whole)


def decided_fact(command: Command) -> Fact:
    """Return the Fact that a Command was decided."""
    body = {"id": command.id, "sid": command.sid, "value": command.value,
            "before": command.before, "expires": command.expires}  # fmt: skip
    return Fact("command.decided", command.at, command.origin, body, command.cause)


def outcome_fact(made: MoveMade) -> Fact:
    """Return the Fact of an Outcome; its Command has one."""
    outcome, command = made.outcome, made.command
    assert outcome is not None
    body = {"id": command.id, "sid": command.sid, "value": command.value,
            "reason": outcome.reason, "guard": outcome.guard, "read_back": outcome.read_back,
            "approvals": list(command.approvals),
            "verdicts": [[one.guard, one.reason] for one in made.verdicts]}  # fmt: skip
    cause = decided_fact(command).id
    return Fact(f"command.{outcome.ending.value}", outcome.at, command.origin, body, cause)
