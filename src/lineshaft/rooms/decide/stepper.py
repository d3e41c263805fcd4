"""A step of a loop: a View, what the method wishes, what became of earlier wishes, what follows.

Rules: the step is on disk before anything of it is carried out; shadow notes and advisory tells
what it would do; in supervised mode a proposal waits for persons and meanwhile nothing else
is proposed; a result that is worse is taken back to the last good point, at the handles' own rates,
and then the loop goes one step down.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any, Final

import numpy as np

from lineshaft.bus import Bus, Message
from lineshaft.clock import now_us
from lineshaft.core.commands import Command, Ending
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.decide.chain import clock_of
from lineshaft.rooms.decide.engine.method import ARRIVED, Proposal
from lineshaft.rooms.decide.engine.verify import Verified
from lineshaft.rooms.decide.hands import EXPIRES_US, Hands
from lineshaft.rooms.decide.journal import Journal, Offer
from lineshaft.rooms.decide.loop_run import Cut, LoopRun
from lineshaft.rooms.decide.model import MODES, SOURCE
from lineshaft.rooms.decide.store import LoopStore
from lineshaft.rooms.decide.told import decided_fact, proposed_fact
from lineshaft.rooms.decide.watch import Watch

__all__ = ["Stepper"]

_OLD_US: Final = 5_000_000
_log = logging.getLogger(__name__)


class Stepper:
    """Steps loops; what they may move goes through `hands`."""

    def __init__(
        self, bus: Bus, store: LoopStore, journal: Journal, hands: Hands, watch: Watch,
        full_seq: Callable[[int], int],
    ) -> None:  # fmt: skip
        self._bus, self._store, self._journal = bus, store, journal
        self._hands, self._watch, self._full_seq = hands, watch, full_seq

    async def step(self, run: LoopRun, message: Message) -> None:
        """End a period of a loop with a message; do what follows from it."""
        number = _step_id(run, message)
        before = await asyncio.to_thread(self._journal.offer_if_any, number)
        if before is not None:
            await self._again(run, before)
            return
        if now_us() - message.at > _OLD_US:
            await self._missed(run)
            return
        mode, since = (await asyncio.to_thread(self._store.modes)).get(run.loop.id, (MODES[0], 0))
        self._hands.enter(run, mode, since)
        waits = await self._waiting(run)
        why = self._why(run)
        frozen = bool(why) or waits or run.reverting is not None
        cut = run.cut(frozen=frozen)
        proposal = await asyncio.to_thread(run.method.step, cut.view)
        verified, results = await asyncio.to_thread(run.settle, cut, proposal)
        if verified.worse:
            await self._worse(run, cut, verified)
        run.show(proposal, cut, why)
        offer = await self._offer(run, number, cut, proposal, bool(why) or waits)
        await asyncio.to_thread(self._journal.step, offer, results)
        await self._publish(run, cut, message.at)
        await self._follow_up(run, offer, cut)

    async def _again(self, run: LoopRun, before: Offer) -> None:
        """Take a step as it was taken before a restart; nothing comes of it."""
        run.enter(before.body["mode"], before.body["since"])
        cut = run.cut(frozen=before.body["frozen"])
        proposal = await asyncio.to_thread(run.method.step, cut.view)
        verified, _ = await asyncio.to_thread(run.settle, cut, proposal)
        if verified.worse and run.acts:
            run.reverting = run.judge.good.copy()
        run.show(proposal, cut, ())
        made = [await asyncio.to_thread(self._journal.made, one.id) for one in before.commands]
        self._hands.confirm(run, [(m.command, m.outcome) for m in made if m and m.outcome])

    async def _missed(self, run: LoopRun) -> None:
        """Take a period that ended while nobody looked: it is learned from, and nothing else."""
        cut = run.cut(frozen=True)
        proposal = await asyncio.to_thread(run.method.step, cut.view)
        await asyncio.to_thread(run.settle, cut, proposal)
        run.show(proposal, cut, ("catching up with what was heard meanwhile",))

    def _why(self, run: LoopRun) -> tuple[str, ...]:
        """Return why nothing may move now, in words; empty where it may."""
        now = now_us()
        lost = [f"the link to '{one}' is lost" for one in self._watch.lost(run.sources)]
        twins = self._watch.twins(dict.fromkeys(run.loop.conditions.twins))
        wrong = ("it is not known whether the plant is normal",) if twins is None else twins
        return (*lost, *wrong, *run.stale(now), *self._hands.hindered(run))

    async def _waiting(self, run: LoopRun) -> bool:
        if run.mode != "supervised":
            return False
        states = ("waiting", "approved", "running")
        return bool(await asyncio.to_thread(self._journal.offers, run.loop.id, 1, states))

    async def _worse(self, run: LoopRun, cut: Cut, verified: Verified) -> None:
        """A settled result is worse than before and than foretold: go back, then down."""
        good, sign = run.judge.good.copy(), run.loop.goal.sign
        run.judge.accept()
        if not run.acts or not np.isfinite(good).all():
            return
        body = {"objective": sign * (verified.objective or 0.0), "at_h": cut.view.hours,
                "foretold": None if verified.predicted is None else sign * verified.predicted,
                "to": dict(zip([str(one.sid) for one in run.loop.handles], good.tolist(),
                               strict=True))}  # fmt: skip
        await self._hands.tell(run, "loop.reverted", body)
        if run.mode == "supervised":  # persons take over, and the plant its own values
            await self._hands.demote(run, "a settled result was worse than before")
        else:
            run.reverting = good

    async def _offer(
        self, run: LoopRun, number: str, cut: Cut, proposal: Proposal, held: bool
    ) -> Offer:  # fmt: skip
        """Return the proposal as it is kept, with its Commands where it may come to any."""
        loop, now = run.loop, now_us()
        moves = list[tuple[int, float, float]]()
        if run.acts and not held:
            made = await self._hands.moves(run)
            moves = run.wanted(proposal, cut, self._hands.envelopes(loop.id), made, now,
                               clock_of(run.window))  # fmt: skip
        elif not held:
            moves = [(one.sid, float(force), float(target)) for one, force, target in
                     zip(loop.handles, cut.view.u, proposal.u, strict=True)
                     if isfinite(force) and isfinite(target) and abs(target - force)
                     >= ARRIVED * (one.high - one.low)]  # fmt: skip
        state = "frozen" if held else "held" if not moves else {
            "shadow": "shadow", "advisory": "advice", "supervised": "waiting",
            "autonomous": "running"}[run.mode]  # fmt: skip
        if state == "running":
            await self._hands.foresee(run, number, {sid: value for sid, _, value in moves})
            now = now_us()
        body = self._body(run, cut, proposal, moves)
        expires, commands = None, list[Command]()
        if state in ("waiting", "running"):
            wait_us = int(loop.conditions.answer_s * 1e6) if state == "waiting" else EXPIRES_US
            expires = now + wait_us
            cause = proposed_fact(number, now, body).id
            commands = [Command(f"{number}-{sid}", sid, value, now, expires, loop.id, before,
                                cause=cause) for sid, before, value in moves]  # fmt: skip
        start = "planned" if state == "running" else state
        return Offer(number, loop.id, now, cut.view.hours, start, expires, commands, (), body)

    def _body(
        self, run: LoopRun, cut: Cut, proposal: Proposal, moves: Sequence[tuple[int, float, float]]
    ) -> dict[str, Any]:
        """Return what is kept of a proposal: all of it where something is to move."""
        sign, says = run.loop.goal.sign, run.shown.says
        expected = proposal.expected
        body: dict[str, Any] = {
            "mode": run.mode, "since": run.tally.since, "frozen": cut.view.frozen,
            "phase": proposal.phase, "reason": proposal.reason[:500],
            "expected": None if expected is None or not isfinite(expected) else sign * expected,
            "objective": sign * cut.view.cost if isfinite(cut.view.cost) else None,
            "moves": [list(one) for one in moves], "samples": [], "candidates": [], "loop": {},
            "as_of": self._full_seq(cut.as_of), "model": str(says.get("model_version", "")),
        }  # fmt: skip
        if moves and run.mode != "shadow":
            body["samples"] = _samples(run, cut)
            body["candidates"] = [_candidate(one, sign) for one in list(proposal.candidates)[:10]]
            body["loop"] = {**asdict(run.loop)}
        return body

    async def _follow_up(self, run: LoopRun, offer: Offer, cut: Cut) -> None:
        """Tell the proposal, carry it out where nobody is asked, end a reversal that arrived."""
        if offer.state in ("waiting", "planned", "advice") and offer.body["moves"]:
            await self._bus.tell(proposed_fact(offer.id, offer.at, offer.body))
        for command in offer.commands:
            await self._bus.tell(decided_fact(command))
        if offer.state == "planned":
            await self._hands.carry_out(run, offer, "planned")
        goal = run.reverting
        if goal is not None and not offer.commands and offer.state == "held":
            spans = np.array([one.high - one.low for one in run.loop.handles])
            if (np.abs(cut.view.u - goal) <= 10 * ARRIVED * spans).all():
                run.reverting = None
                await self._hands.demote(run, "a settled result was worse than before")

    async def attend(self, run: LoopRun) -> None:
        """See to what persons answered, and to proposals that nobody answers any more."""
        loop, now, close = run.loop.id, now_us(), self._journal.close
        for offer in await asyncio.to_thread(
            self._journal.offers, loop, 10, ("waiting", "approved")
        ):
            mode, _ = (await asyncio.to_thread(self._store.modes)).get(loop, (MODES[0], 0))
            if offer.state == "approved":
                await self._hands.carry_out(run, offer, "approved")
            elif now >= (offer.expires or 0):
                why = "nobody answered in time"
                await asyncio.to_thread(close, offer, "waiting", "expired", Ending.EXPIRED, why,
                                        "", now)  # fmt: skip
            elif mode != "supervised":
                why = "the loop left the mode in which persons are asked"
                await asyncio.to_thread(close, offer, "waiting", "superseded", Ending.REFUSED, why,
                                        "mode", now)  # fmt: skip

    async def _publish(self, run: LoopRun, cut: Cut, arrival: int) -> None:
        """Put the loop's own figures on the bus, so that history and trends have them."""
        found = run.figures()
        values = {
            "objective": found["now"], "settled": found["settled"], "best": found["best"],
            "expected": found["expected"], "baseline": found["baseline"], "gain": found["gain"],
            "gain-low": found["gain_low"], "gain-high": found["gain_high"],
            "gained": found["gained"], "integral": found["integral"],
            "mode": float(MODES.index(run.mode)), "moves": float(found["moves"]),
        }  # fmt: skip
        rows = sorted((run.loop.signals[name], value) for name, value in values.items()
                      if value is not None and name in run.loop.signals)  # fmt: skip
        if not rows:
            return
        block = SampleBlock.from_columns(
            [sid for sid, _ in rows], [cut.at] * len(rows), [float(v) for _, v in rows],
            [0] * len(rows), origin=SOURCE, arrival=arrival,
        )  # fmt: skip
        try:
            await self._bus.publish(block)
        except (Broken, Refused) as error:  # the stream is full; the records have it all
            _log.info("the figures of '%s' are not published: %s", run.loop.name, error)


def _step_id(run: LoopRun, message: Message) -> str:
    """Return the id of the step that ends with a message: the same however often it is taken."""
    text = f"{run.loop.id}:{run.loop.revision}:{run.token}:{message.seq}".encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _samples(run: LoopRun, cut: Cut) -> list[dict[str, Any]]:
    window = run.window
    rows = zip(window.sids.tolist(), cut.means.tolist(), window.v.tolist(), window.ts.tolist(),
               window.q.tolist(), strict=True)  # fmt: skip
    return [{"sid": sid, "mean": mean if isfinite(mean) else None,
             "v": v if isfinite(v) else None, "ts": ts or None, "q": q}
            for sid, mean, v, ts, q in rows]  # fmt: skip


def _candidate(one: Any, sign: float) -> dict[str, Any]:
    low, high = sorted((sign * one.cost_low, sign * one.cost_high))
    return {"u": np.asarray(one.u).tolist(), "cost": sign * one.cost, "cost_low": low,
            "cost_high": high, "why": one.why}  # fmt: skip
