"""From what the room knows to what its doors give, and back."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lineshaft.rooms.decide.forms import (
    CandidateView,
    ConditionView,
    FiguresView,
    GoalForm,
    HandleNow,
    LadderView,
    LimitNow,
    LoopDraft,
    LoopView,
    MethodList,
    MethodView,
    MoveView,
    ProofView,
    ProposalView,
    ProposedMove,
    SampleView,
    VerdictView,
    WhyView,
)
from lineshaft.rooms.decide.journal import MoveMade, Offer
from lineshaft.rooms.decide.methods import KINDS
from lineshaft.rooms.decide.model import (
    MODES,
    Conditions,
    Foresight,
    Goal,
    Interlock,
    Loop,
    LoopHandle,
    LoopLimit,
    Remote,
    Worth,
)
from lineshaft.rooms.decide.service import LoopState
from lineshaft.rooms.decide.why import Why

__all__ = ["loop_of", "loop_view", "method_list", "move_view", "proposal_view", "why_view"]


def loop_of(body: LoopDraft, number: str = "", revision: int = 1) -> Loop:
    """Return the record that a draft describes; Refused where it means nothing."""
    given = body.model_dump(exclude={"revision"})
    conditions = given.pop("conditions")
    locks = tuple(Interlock(**one) for one in conditions.pop("interlocks"))
    twins = tuple(conditions.pop("twins"))
    seen = conditions.pop("foresight")
    foresight = Foresight(tuple(seen["twins"]), tuple(seen["sids"]), seen["hours"])
    return Loop(
        id=number, revision=revision,
        goal=Goal(**given.pop("goal")),
        handles=tuple(LoopHandle(**one) for one in given.pop("handles")),
        limits=tuple(LoopLimit(**one) for one in given.pop("limits")),
        inputs=tuple(given.pop("inputs")),
        conditions=Conditions(interlocks=locks, twins=twins, foresight=foresight, **conditions),
        remote=Remote(**given.pop("remote")), worth=Worth(**given.pop("worth")),
        **given,
    )  # fmt: skip


def loop_view(state: LoopState) -> LoopView:
    """Return a loop as the doors show it."""
    loop, live = state.loop, state.live
    held = {int(sid): value for sid, value in live.get("held", {}).items()}
    targets = {int(sid): value for sid, value in live.get("targets", {}).items()}
    record = asdict(loop)
    plain = {name: record[name] for name in (
        "id", "revision", "name", "machine", "inputs", "clock", "period_h", "settle_h",
        "tolerance", "method", "settings", "seed", "conditions", "remote", "worth", "enabled",
        "signals",
    )}  # fmt: skip
    return LoopView(
        **plain,
        goal=GoalForm(expression=loop.goal.expression, sense=loop.goal.sense,  # type: ignore[arg-type]
                      unit=loop.goal.unit), goal_sid=loop.goal.sid,
        handles=[HandleNow(**asdict(one), now=held.get(one.sid), target=targets.get(one.sid))
                 for one in loop.handles],
        limits=[LimitNow(**asdict(one), now=held.get(one.sid), margin=_margin(one, held))
                for one in loop.limits],
        mode=state.mode,  # type: ignore[arg-type]
        state=_word(state), why=live.get("why", []), phase=live.get("phase", ""),
        reason=live.get("reason", ""), hours=live.get("hours", 0.0), at=live.get("at"),
        figures=FiguresView(**live.get("figures", {})), ladder=_ladder(state),
        waiting=proposal_view((state.waiting, loop)) if state.waiting else None,
        method_says=live.get("method_says", {}),
    )  # fmt: skip


def _word(state: LoopState) -> str:
    if not state.loop.enabled:
        return "disabled"
    return str(state.live.get("state", "waiting"))


def _ladder(state: LoopState) -> LadderView:
    step = MODES.index(state.mode)
    conditions = [ConditionView(**one) for one in state.live.get("conditions", [])]
    is_top = step == len(MODES) - 1
    ready = bool(conditions) and all(one.met for one in conditions)
    return LadderView(
        mode=state.mode, since=state.since,  # type: ignore[arg-type]
        up=None if is_top else MODES[step + 1],
        down=MODES[step - 1] if step else None,
        may_promote=ready and not is_top and state.loop.enabled, conditions=conditions,
    )  # fmt: skip


def _margin(limit: LoopLimit, held: Mapping[int, float | None]) -> float | None:
    now = held.get(limit.sid)
    if now is None:
        return None
    low = math.inf if limit.low is None else now - limit.low
    high = math.inf if limit.high is None else limit.high - now
    return min(low, high)


def proposal_view(pair: tuple[Offer, Loop | None]) -> ProposalView:
    """Return a proposal as the doors show it."""
    offer, loop = pair
    body: Mapping[str, Any] = offer.body
    is_asked = loop is not None and body["mode"] == "supervised"
    return ProposalView(
        id=offer.id, loop=offer.loop, at=offer.at, hours=offer.hours, state=offer.state,
        expires=offer.expires, phase=body["phase"], reason=body["reason"],
        expected=body["expected"], objective=body["objective"],
        moves=[ProposedMove(sid=sid, before=before, value=value)
               for sid, before, value in body["moves"]],
        approvals=list(offer.persons),
        needs=loop.conditions.approvals if loop is not None and is_asked else 0,
    )  # fmt: skip


def move_view(move: MoveMade) -> MoveView:
    """Return a Command as the doors show it."""
    command, outcome = move.command, move.outcome
    return MoveView(
        id=command.id, loop=move.loop, proposal=move.proposal, sid=command.sid,
        value=command.value, before=command.before, at=command.at, expires=command.expires,
        approvals=list(command.approvals), ending=outcome.ending.value if outcome else "",
        ended=outcome.at if outcome else None, reason=outcome.reason if outcome else "",
        guard=outcome.guard if outcome else "", read_back=outcome.read_back if outcome else None,
        verdicts=[VerdictView(guard=one.guard, passed=one.passed, reason=one.reason)
                  for one in move.verdicts],
    )  # fmt: skip


def why_view(why: Why) -> WhyView:
    """Return why a move was made as the doors show it."""
    body, happened = why.offer.body, why.happened
    return WhyView(
        move=move_view(why.move), loop=body["loop"], mode=body["mode"],
        proposal=proposal_view((why.offer, None)), as_of=body["as_of"],
        samples=[SampleView(**one) for one in body["samples"]], model=body["model"],
        candidates=[CandidateView(**one) for one in body["candidates"]],
        predicted=body["expected"], happened=happened.actual if happened else None,
        happened_at=happened.at if happened else None,
        evidence=[
            ProofView(id=one.id, fact=json.loads(one.to_json()),
                      proof=None if entry is None else {"entry": entry})
            for one, entry in why.evidence
        ],
    )  # fmt: skip


def method_list() -> MethodList:
    """Return the ways to decide."""
    return MethodList(methods=[MethodView(name=name, title=kind.title, text=kind.text)
                               for name, kind in KINDS.items()])  # fmt: skip
