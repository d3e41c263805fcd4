"""The journal of loops: proposals, Commands, results, and what each loop knows.

Rules: a step of a loop is one transaction {its proposal, what became of earlier ones, at times what
it knows and up to where it took the stream}; a step has one id however often the stream is taken,
so one that was taken before is recognised. Commands are written down with their proposal and enter
the table when their turn comes (`engine/journal`: open, send, end, each once and on disk before
what it announces). So after a crash every Command says whether it was sent, and none is sent again.
Calls block, but for those of `CommandBook` that the chain of guards asks.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from lineshaft.core.commands import Command, Ending, Outcome
from lineshaft.core.errors import Refused
from lineshaft.records import reading
from lineshaft.rooms.decide.engine.guards import Approval, Move, Verdict
from lineshaft.rooms.decide.engine.guards_people import approve
from lineshaft.rooms.decide.engine.journal import Entry, Stage
from lineshaft.rooms.decide.tables import commands, loop_results, loop_states, proposals

__all__ = ["CommandBook", "Journal", "Known", "MoveMade", "Offer", "Result"]

_MOST_PROPOSALS: Final = 2000  # of a loop; those that moved nothing go first
_MOST_RESULTS: Final = 5000
_MOVES: Final = 200


@dataclass(frozen=True, slots=True)
class Known:
    """What a loop knew when it had taken the stream up to a message."""

    token: str
    seq: int
    known: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """A proposal as it is kept: `commands` are what it comes to, `approvals` who said yes to which.
    `body` has phase, reason, expected, objective, moves (sid, before, value), candidates, samples,
    as_of, model, mode and the loop's record, as JSON."""

    id: str
    loop: str
    at: int
    hours: float
    state: str
    expires: int | None = None
    commands: Sequence[Command] = ()
    approvals: Sequence[Approval] = ()
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def persons(self) -> tuple[str, ...]:
        """Who said yes, in the order in which they did."""
        return tuple(dict.fromkeys(one.person for one in self.approvals))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a prediction: `predicted` (NaN: the guards would have refused it) and the
    `actual` objective, at the plant hour `hours` of the loop, in `mode`; `settled` whether the
    plant stood still long enough to count."""

    at: int
    hours: float
    mode: str
    predicted: float | None
    actual: float
    settled: bool


@dataclass(frozen=True, slots=True)
class MoveMade:
    """A Command, of which proposal, when it was sent (µs), its Outcome and the verdicts."""

    command: Command
    loop: str
    proposal: str
    sent: int | None = None
    outcome: Outcome | None = None
    verdicts: Sequence[Verdict] = ()


class Journal:
    """Proposals, Commands, results and what loops know, in the records database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known(self, loop: str) -> Known | None:
        """Return what a loop knew when it last wrote that down."""
        with reading(self._engine) as connection:
            mine = select(loop_states).where(loop_states.c.loop == loop)
            row = connection.execute(mine).mappings().first()
        return Known(row["token"], row["seq"], row["known"], row["body"]) if row else None

    def remember(self, loop: str, known: Known) -> None:
        """Keep what a loop knows."""
        with self._engine.begin() as connection:
            _remember(connection, loop, known)

    def forget(self, loop: str) -> None:
        """Keep nothing of what a loop knew; its proposals and Commands stay."""
        with self._engine.begin() as connection:
            connection.execute(delete(loop_states).where(loop_states.c.loop == loop))

    def step(self, offer: Offer, results: Sequence[Result], known: Known | None = None) -> None:
        """Keep a step whole: the proposal, what became of earlier ones, and what is known now where
        that is given."""
        with self._engine.begin() as connection:
            if known is not None:
                _remember(connection, offer.loop, known)
            connection.execute(insert(proposals), _offer_row(offer))
            if results:
                rows = [{"loop": offer.loop, **asdict(one)} for one in results]
                connection.execute(insert(loop_results), rows)

    def trim(self, loop: str) -> None:
        """Forget the oldest proposals that moved nothing and the oldest results, where there are
        too many."""
        mine = proposals.c.loop == loop
        with self._engine.begin() as connection:
            newest = select(proposals.c.at).where(mine).order_by(proposals.c.at.desc())
            edge = connection.execute(newest.offset(_MOST_PROPOSALS).limit(1)).scalar()
            if edge is not None:
                moved = select(commands.c.proposal).where(commands.c.loop == loop)
                old = mine & (proposals.c.at <= edge) & proposals.c.id.not_in(moved)
                connection.execute(delete(proposals).where(old))
            ours = loop_results.c.loop == loop
            last = select(loop_results.c.at).where(ours).order_by(loop_results.c.at.desc())
            edge = connection.execute(last.offset(_MOST_RESULTS).limit(1)).scalar()
            if edge is not None:
                connection.execute(delete(loop_results).where(ours & (loop_results.c.at <= edge)))

    def settle(self, number: str, before: str, after: str) -> bool:
        """Take a proposal from one state to another; return whether it was in the first."""
        mine = (proposals.c.id == number) & (proposals.c.state == before)
        with self._engine.begin() as connection:
            done = connection.execute(update(proposals).where(mine).values(state=after))
            return bool(done.rowcount == 1)

    def close(
        self,
        offer: Offer,
        before: str,
        after: str,
        ending: Ending,
        reason: str,
        guard: str,
        now: int,
    ) -> bool:
        """Take a proposal that was never carried out from one state to its last, and end all its
        Commands in that transaction; return whether it was in the first."""
        mine = (proposals.c.id == offer.id) & (proposals.c.state == before)
        end = {"ending": ending.value, "ended": now, "reason": reason, "guard": guard}
        with self._engine.begin() as connection:
            done = connection.execute(update(proposals).where(mine).values(state=after))
            if done.rowcount == 1 and offer.commands:
                rows = [{**_command_row(one), **end} for one in offer.commands]
                connection.execute(insert(commands), rows)
            return bool(done.rowcount == 1)

    def approve(self, number: str, who: str, needs: int, key: bytes, now: int) -> Offer:
        """Add a person's yes, sealed with `key`, to each Command of a proposal that waits; it is
        approved once `needs` persons said so. Refused where it does not wait any more, or where
        that person said yes already."""
        with self._engine.begin() as connection:
            mine = select(proposals).where(proposals.c.id == number)
            row = connection.execute(mine).mappings().first()
            offer = _offer(row) if row else _no_offer()
            if offer.state != "waiting" or now >= (offer.expires or 0):
                said = "has expired" if offer.state == "waiting" else f"is {offer.state}"
                raise Refused(f"this proposal does not wait for an answer: it {said}",
                              hint="Look at the loop's newest one", code="proposal.over",
                              status=409)  # fmt: skip
            if who in offer.persons:
                raise Refused("you said yes to this already", code="proposal.twice", status=409,
                              hint="Another person must say yes too")  # fmt: skip
            yes = [approve(key, who, one, now) for one in offer.commands]
            approvals = [*offer.approvals, *yes]
            state = "approved" if len(offer.persons) + 1 >= needs else "waiting"
            told = json.dumps([asdict(one) for one in approvals])
            ours = update(proposals).where(proposals.c.id == number)
            connection.execute(ours.values(approvals=told, state=state))
        return Offer(offer.id, offer.loop, offer.at, offer.hours, state, offer.expires,
                     offer.commands, approvals, offer.body)  # fmt: skip

    def offer_if_any(self, number: str) -> Offer | None:
        """Return one proposal, None where there is none."""
        with reading(self._engine) as connection:
            mine = select(proposals).where(proposals.c.id == number)
            row = connection.execute(mine).mappings().first()
        return _offer(row) if row else None

    def offer(self, number: str) -> Offer:
        """Return one proposal; raise Refused (404) where there is none."""
        return self.offer_if_any(number) or _no_offer()

    def offers(self, loop: str, limit: int, states: Sequence[str] = ()) -> list[Offer]:
        """Return the newest proposals, of one loop where it is named, newest first."""
        query = select(proposals).order_by(proposals.c.at.desc(), proposals.c.id).limit(limit)
        query = query.where(proposals.c.loop == loop) if loop else query
        query = query.where(proposals.c.state.in_(states)) if states else query
        with reading(self._engine) as connection:
            return [_offer(row) for row in connection.execute(query).mappings()]

    def results(self, loop: str, mode: str, since: int) -> list[Result]:
        """Return what became of a loop's predictions in a mode since then (µs), oldest first."""
        query = select(loop_results).where(
            loop_results.c.loop == loop, loop_results.c.mode == mode, loop_results.c.at >= since
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(loop_results.c.at)).mappings()
            return [_result(row) for row in rows]

    def happened(self, loop: str, at: int) -> Result | None:
        """Return the first settled result after a moment (µs), None before there is one."""
        query = select(loop_results).where(
            loop_results.c.loop == loop, loop_results.c.at > at, loop_results.c.settled.is_(True)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query.order_by(loop_results.c.at).limit(1)).mappings().first()
        return _result(row) if row else None

    def made(self, number: str) -> MoveMade | None:
        """Return one Command, None where there is none."""
        with reading(self._engine) as connection:
            mine = select(commands).where(commands.c.id == number)
            row = connection.execute(mine).mappings().first()
        return _made(row) if row else None

    def get(self, number: str) -> MoveMade:
        """Return one Command; raise Refused (404) where there is none."""
        found = self.made(number)
        if found is None:
            raise Refused("there is no such move", hint="See GET /decisions/moves",
                          code="move.unknown", status=404)  # fmt: skip
        return found

    def moves(self, loop: str, limit: int, after: str = "") -> list[MoveMade]:
        """Return the newest Commands, newest first; `after` is the id of the last one known."""
        query = select(commands).order_by(commands.c.at.desc(), commands.c.id).limit(limit)
        query = query.where(commands.c.loop == loop) if loop else query
        with reading(self._engine) as connection:
            if after:
                at = select(commands.c.at).where(commands.c.id == after)
                edge = connection.execute(at).scalar()
                if edge is None:
                    return []
                same = and_(commands.c.at == edge, commands.c.id > after)
                query = query.where(or_(commands.c.at < edge, same))
            return [_made(row) for row in connection.execute(query).mappings()]


class CommandBook:
    """The steps of Commands as the chain of guards takes them (`engine.journal.Journal`), one
    transaction each. `ended` is called when an Outcome is on disk; it is told to others from there
    (`untold`), so a crash between the two loses nothing."""

    def __init__(self, engine: Engine, ended: Callable[[], None]) -> None:
        self._engine, self._ended = engine, ended
        self._verdicts: dict[str, tuple[Verdict, ...]] = {}

    def judged(self, command: Command, _: object, verdicts: tuple[Verdict, ...]) -> None:
        """Note what the guards said; it is written down with the Outcome."""
        self._verdicts[command.id] = verdicts

    async def open(self, command: Command) -> tuple[Entry, bool]:
        """Write a Command down as decided; False and what stands where its id is known."""
        return await asyncio.to_thread(self._open, command)

    async def send(self, command: str, at: int) -> bool:
        """Take the step from decided to sent, once."""
        return await asyncio.to_thread(self._send, command, at)

    async def end(self, outcome: Outcome) -> Outcome:
        """Take the last step, once; return the Outcome that stands."""
        stands = await asyncio.to_thread(self._end, outcome)
        self._verdicts.pop(outcome.command, None)
        self._ended()
        return stands

    async def pending(self) -> Sequence[Entry]:
        """Return all that have not ended, oldest first."""
        return await asyncio.to_thread(self._pending)

    async def moves(self, sid: int) -> Sequence[Move]:
        """Return what was sent of a signal and not refused by the machine, oldest first."""
        return await asyncio.to_thread(self._moves, sid)

    def _open(self, command: Command) -> tuple[Entry, bool]:
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(commands), _command_row(command))
        except IntegrityError:
            with reading(self._engine) as connection:
                mine = select(commands).where(commands.c.id == command.id)
                return _entry(connection.execute(mine).mappings().one()), False
        return Entry(command), True

    def _send(self, command: str, at: int) -> bool:
        mine = and_(
            commands.c.id == command, commands.c.sent.is_(None), commands.c.ending.is_(None)
        )
        with self._engine.begin() as connection:
            done = connection.execute(update(commands).where(mine).values(sent=at))
            return bool(done.rowcount == 1)

    def untold(self) -> list[MoveMade]:
        """Return the Commands whose Outcome nobody was told yet, oldest first. Blocks."""
        mine = and_(commands.c.ending.is_not(None), commands.c.told.is_(False))
        query = select(commands).where(mine).order_by(commands.c.ended).limit(_MOVES)
        with reading(self._engine) as connection:
            return [_made(row) for row in connection.execute(query).mappings()]

    def tell(self, numbers: Sequence[str]) -> None:
        """Note that the Outcomes of these Commands were told. Blocks."""
        mine = commands.c.id.in_(numbers)
        with self._engine.begin() as connection:
            connection.execute(update(commands).where(mine).values(told=True))

    def _end(self, outcome: Outcome) -> Outcome:
        said = [[one.guard, one.reason] for one in self._verdicts.get(outcome.command, ())]
        mine = and_(commands.c.id == outcome.command, commands.c.ending.is_(None))
        values = {
            "ending": outcome.ending.value, "ended": outcome.at, "reason": outcome.reason,
            "guard": outcome.guard, "read_back": outcome.read_back, "verdicts": json.dumps(said),
        }  # fmt: skip
        with self._engine.begin() as connection:
            connection.execute(update(commands).where(mine).values(values))
            ours = select(commands).where(commands.c.id == outcome.command)
            stands = _entry(connection.execute(ours).mappings().one()).outcome
        assert stands is not None
        return stands

    def _pending(self) -> list[Entry]:
        query = select(commands).where(commands.c.ending.is_(None)).order_by(commands.c.at)
        with reading(self._engine) as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def _moves(self, sid: int) -> list[Move]:
        query = select(commands).where(
            commands.c.sid == sid, commands.c.sent.is_not(None),
            or_(commands.c.ending.is_(None), commands.c.ending != Ending.REFUSED.value),
        ).order_by(commands.c.sent.desc()).limit(_MOVES)  # fmt: skip
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return [Move(row["id"], row["sent"], row["before"], row["value"]) for row in rows[::-1]]


def _remember(connection: Connection, loop: str, known: Known) -> None:
    row = {"token": known.token, "seq": known.seq, "known": known.known, "body": known.body}
    done = connection.execute(update(loop_states).where(loop_states.c.loop == loop).values(row))
    if done.rowcount != 1:
        connection.execute(insert(loop_states), {"loop": loop, **row})


def _no_offer() -> Offer:
    raise Refused("there is no such proposal", hint="See GET /decisions/proposals",
                  code="proposal.unknown", status=404)  # fmt: skip


def _offer_row(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id, "loop": offer.loop, "at": offer.at, "hours": offer.hours,
        "state": offer.state, "expires": offer.expires,
        "commands": json.dumps([asdict(one) for one in offer.commands]),
        "approvals": json.dumps([asdict(one) for one in offer.approvals]),
        "body": json.dumps(offer.body),
    }  # fmt: skip


def _offer(row: RowMapping) -> Offer:
    wanted = [Command(**{**one, "approvals": tuple(one["approvals"])})
              for one in json.loads(row["commands"])]  # fmt: skip
    yes = [Approval(**one) for one in json.loads(row["approvals"])]
    return Offer(row["id"], row["loop"], row["at"], row["hours"], row["state"], row["expires"],
                 wanted, yes, json.loads(row["body"]))  # fmt: skip


def _result(row: RowMapping) -> Result:
    return Result(row["at"], row["hours"], row["mode"], row["predicted"], row["actual"],
                  row["settled"])  # fmt: skip


def _command_row(one: Command) -> dict[str, Any]:
    return {
        "id": one.id, "loop": one.origin, "proposal": one.id.partition("-")[0], "sid": one.sid,
        "value": one.value, "before": one.before, "at": one.at, "expires": one.expires,
        "approvals": json.dumps(one.approvals), "cause": one.cause, "reason": "", "guard": "",
        "verdicts": "[]", "told": False,
    }  # fmt: skip


def _command(row: RowMapping) -> Command:
    return Command(row["id"], row["sid"], row["value"], row["at"], row["expires"], row["loop"],
                   row["before"], tuple(json.loads(row["approvals"])), row["cause"])  # fmt: skip


def _outcome(row: RowMapping) -> Outcome | None:
    if row["ending"] is None:
        return None
    return Outcome(row["id"], Ending(row["ending"]), row["ended"], row["reason"], row["guard"],
                   row["read_back"])  # fmt: skip


def _entry(row: RowMapping) -> Entry:
    outcome = _outcome(row)
    sent = Stage.DECIDED if row["sent"] is None else Stage.SENT
    return Entry(_command(row), Stage.ENDED if outcome else sent, row["sent"], outcome)


def _made(row: RowMapping) -> MoveMade:
    verdicts = tuple(Verdict(*one) for one in json.loads(row["verdicts"]))
    return MoveMade(_command(row), row["loop"], row["proposal"], row["sent"], _outcome(row),
                    verdicts)  # fmt: skip
