"""The hands of scheduling: plans kept, solved in the background, adopted, repaired at once.

Rules: a schedule holds only once somebody adopted it, but for repairs: what cannot be done any more
is replaced at once, and its improvement adopts itself where it costs less. While a plan runs, what
will have begun before a search ends is taken as begun, so that what it finds can still be done.
Nothing is adopted that costs more than what holds, both seen from the same moment.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lineshaft.clock import now_us
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.ports import FactSink
from lineshaft.rooms.decide.schedule.engine.moments import at_moment, with_breakdown
from lineshaft.rooms.decide.schedule.model import Cost, Schedule, Shop, Window
from lineshaft.rooms.decide.schedule.reading import read_shop, stamp_of
from lineshaft.rooms.decide.schedule.store import Clock, Planned, ScheduleStore, Version
from lineshaft.rooms.decide.schedule.work import Worker, solve

__all__ = ["Progress", "ScheduleService", "standing"]

_LOG: Final = logging.getLogger(__name__)
_LATE_S: Final = 8.0  # of the wall: the search's process begins, what it found is put in force
_DECIDE_S: Final = 60.0  # of the wall, in which a person may adopt what was found
_REPAIR_S: Final = 10.0
_LONGEST: Final = 600.0
_POINTS: Final = 400
_MOST: Final = 200


@dataclass(slots=True)
class Progress:
    """How a search goes: `points` are (seconds since its begin, cost), falling; `first` is what it
    began at, seen from where it stands, `last` the best it has."""

    seconds: float
    points: list[tuple[float, float]] = field(default_factory=list)
    first: Cost | None = None
    last: Cost | None = None
    steps: int = 0
    done: bool = False
    proved: bool = False
    problem: str = ""


def standing(plan: Planned, wall: int, ahead_s: float = 0.0) -> Shop:
    """Return the shop of a plan as it stands `ahead_s` of wall time after a moment (µs): what
    should have begun before has. No plan begins before its clock does."""
    if plan.adopted is None:
        return plan.shop
    now = max(plan.clock.at(wall + int(ahead_s * 1e6)), plan.clock.shop)
    return at_moment(plan.shop, plan.adopted, now)


class ScheduleService:
    """All that the doors ask of schedules."""

    def __init__(
        self, store: ScheduleStore, facts: FactSink, wall: Callable[[], int] = now_us
    ) -> None:
        self._store, self._facts, self._wall = store, facts, wall
        self._worker = Worker()
        self._locks = dict[str, asyncio.Lock]()
        self._searches = dict[str, asyncio.Task[None]]()
        self._ending = set[asyncio.Task[None]]()
        self.progress = dict[str, Progress]()
        self.asked = asyncio.Event()  # somebody has looked at schedules

    async def _close(self) -> None:
        for number in list(self._searches):
            self.stop(number)
        self._worker.close()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def run(self) -> None:
        """Have answers to breakdowns ready where anything is planned, until this is cancelled; all
        that was begun ends with it."""
        try:
            if await asyncio.to_thread(self._store.all):
                await self.warm()
            await asyncio.Event().wait()
        finally:
            await self._close()

    async def warm(self) -> None:
        """Compile what answers need, in the worker."""
        try:
            await self._worker.warm()
        except LineshaftError as error:
            _LOG.warning("the scheduling worker is not warm: %s", error)

    async def all(self) -> list[Planned]:
        """Return all plans."""
        self.asked.set()
        return await asyncio.to_thread(self._store.all)

    async def get(self, number: str) -> Planned:
        """Return one; Refused (404) where there is none."""
        return await asyncio.to_thread(self._store.get, number)

    async def versions(self, number: str) -> Sequence[Version]:
        """Return what held, the newest first."""
        await self.get(number)
        return await asyncio.to_thread(self._store.versions, number)

    def wall(self) -> int:
        """Return the wall's time, µs."""
        return self._wall()

    def now(self, plan: Planned) -> int:
        """Return the time in a plan's shop, µs."""
        return plan.clock.at(self._wall())

    async def add(self, body: Mapping[str, Any]) -> Planned:
        """Plan a shop as people wrote it; a rule's schedule is proposed. Refused names what is
        wrong, and where."""
        if len(await self.all()) >= _MOST:
            raise Refused(f"there are {_MOST} schedules already", code="schedule.many",
                          hint="Forget one that is over")  # fmt: skip
        shop = await asyncio.to_thread(read_shop, body, self._wall())
        return await self.put(shop, Clock(shop.start, shop.start))

    async def put(self, shop: Shop, clock: Clock, kind: str = "") -> Planned:
        """Plan a shop; a rule's schedule is proposed."""
        first: Schedule = await self._worker.run("first", shop)
        plan = Planned(uuid.uuid4().hex[:16], shop.name or "Schedule", shop, kind, 1, clock,
                       None, shop, first)  # fmt: skip
        await asyncio.to_thread(self._store.add, plan)
        return plan

    async def remove(self, number: str) -> None:
        """Forget a plan."""
        await self.get(number)
        self.stop(number)
        await asyncio.to_thread(self._store.remove, number)

    def stop(self, number: str) -> None:
        """End a search; what it found stays proposed."""
        task = self._searches.pop(number, None)
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def solve(
        self, number: str, seconds: float, seed: int = 1, *, adopts: bool = False,
        partner: bool = True,
    ) -> Planned:  # fmt: skip
        """Begin to search for a better schedule in the background; what is found is proposed, or
        adopted at the end. A search that runs is ended."""
        if not 0 < seconds <= _LONGEST:
            raise Refused(f"a search of {seconds:g} s", code="schedule.seconds",
                          hint=f"At most {_LONGEST:g} s")  # fmt: skip
        self.stop(number)
        plan = await self.get(number)
        shop = standing(plan, self._wall(), seconds + (_LATE_S if adopts else _DECIDE_S))
        if len(shop.started) == sum(len(order.operations) for order in shop.orders):
            raise Refused("nothing of this schedule is left to plan", code="schedule.over",
                          hint="Bring in new orders")  # fmt: skip
        begin = plan.adopted or plan.proposal
        self.progress[number] = Progress(seconds)
        self._searches[number] = asyncio.create_task(
            self._search(number, shop, begin, seconds, seed, adopts, partner)
        )
        return plan

    async def searched(self, number: str) -> None:
        """Return once no search of a plan runs."""
        task = self._searches.get(number)
        if task is not None:
            await asyncio.wait({task})

    async def _search(
        self, number: str, shop: Shop, begin: Schedule | None, seconds: float, seed: int,
        adopts: bool, partner: bool,
    ) -> None:  # fmt: skip
        progress, last = self.progress[number], None
        end = seconds + (_LATE_S - 1 if adopts else _LONGEST)
        try:
            steps = solve(shop, begin, seconds, seed, partner=partner)
            with suppress(TimeoutError):
                async with aclosing(steps), asyncio.timeout(end):
                    async for step in steps:
                        last, progress.last = step.schedule, step.schedule.cost
                        progress.first = progress.first or last.cost
                        progress.points = [*progress.points, (step.at, last.cost.total)][-_POINTS:]
                        progress.steps, progress.proved = step.steps, step.proved
                        if not adopts:
                            await asyncio.shield(self._propose(number, shop, last))
            if adopts and last and progress.first and last.cost.total < progress.first.total - 1e-9:
                await asyncio.shield(self._improved(number, shop, last))
        except LineshaftError as error:
            progress.problem = str(error)
        finally:
            progress.done = True

    async def _improved(self, number: str, shop: Shop, schedule: Schedule) -> None:
        await self._propose(number, shop, schedule)
        await self.adopt(number, why="improved")

    def _lock(self, number: str) -> asyncio.Lock:
        return self._locks.setdefault(number, asyncio.Lock())

    async def _propose(self, number: str, shop: Shop, schedule: Schedule) -> None:
        async with self._lock(number):
            plan = await self.get(number)
            await asyncio.to_thread(self._store.change, plan.with_proposal(shop, schedule))

    async def adopt(
        self, number: str, why: str = "adopted", revision: int | None = None
    ) -> Planned:
        """Put what is proposed in force. Refused where nothing is, where it is not what was looked
        at (`revision`), where the shop has gone on, or where it costs more than what holds."""
        async with self._lock(number):
            plan = await self.get(number)
            if revision not in (None, plan.revision):
                raise Refused(f"the schedule '{plan.name}' was changed meanwhile", status=409,
                              hint="Look at it again", code="schedule.revision")  # fmt: skip
            shop, schedule = plan.proposal_shop, plan.proposal
            if shop is None or schedule is None:
                raise Refused("nothing is proposed", hint="Solve first", code="schedule.nothing",
                              status=409)  # fmt: skip
            held = None
            if plan.adopted is not None:
                self._check_current(plan, plan.adopted, schedule)
                _, held = await self._worker.run("repair", shop, plan.adopted)
                if schedule.cost.total > held + 1e-6:
                    raise Refused("what is proposed costs more than what holds", status=409,
                                  hint="Solve again", code="schedule.worse")  # fmt: skip
            return await self._adopt(plan, shop, schedule, why, held)

    def _check_current(self, plan: Planned, adopted: Schedule, schedule: Schedule) -> None:
        now = self.now(plan)
        wanted = {(r.order, r.operation): (r.machine, r.start) for r in schedule.rows}
        for row in adopted.rows:
            key = (row.order, row.operation)
            if row.start < now and wanted.get(key) != (row.machine, row.start):
                raise Refused("the shop has gone on since this was found", status=409,
                              hint="Solve again", code="schedule.stale")  # fmt: skip

    async def _adopt(
        self, plan: Planned, shop: Shop, schedule: Schedule, why: str,
        held: float | None = None, cause: str | None = None,
    ) -> Planned:  # fmt: skip
        """Put a schedule in force and say so; `held` is what it would cost without it."""
        at = self._wall()
        changed = plan.with_adopted(shop, schedule)
        made = await asyncio.to_thread(self._store.change, changed, why, at)
        cost = schedule.cost
        body = {
            "id": plan.id, "why": why, "method": schedule.method, "cost": cost.total,
            "tardiness_s": cost.tardiness, "makespan_s": cost.makespan, "setup_s": cost.setup,
            "late": cost.late, "cost_before": held,
        }  # fmt: skip
        kind = "schedule.repaired" if why == "repaired" else "schedule.adopted"
        await self._facts.tell(Fact(kind, at, plan.name, body, cause))
        return made

    async def breakdown(
        self, number: str, machine: str, minutes: float, start: int | str | None = None
    ) -> Planned:
        """Take a machine out from now (or `start`) for some minutes: what holds is repaired and in
        force when this returns, and improved in the background."""
        self.stop(number)
        async with self._lock(number):
            plan = await self.get(number)
            if plan.adopted is None:
                raise Refused("no schedule is in force here", hint="Adopt one first", status=409,
                              code="schedule.nothing")  # fmt: skip
            if machine not in {one.id for one in plan.shop.machines}:
                raise Refused(f"there is no machine '{machine}'", code="shop.machine",
                              hint="Name one of the shop's machines")  # fmt: skip
            now = max(self.now(plan), plan.clock.shop)
            begin = now if start is None else stamp_of(start, plan.shop.zone, "start")
            begin = max(begin // 1_000_000 * 1_000_000, now)
            window = Window(begin, begin + max(round(minutes * 60), 1) * 1_000_000, "breakdown")
            shop = standing(plan, self._wall())
            broken = with_breakdown(shop, machine, window)
            best, right = await self._worker.run("repair", broken, plan.adopted)
            body = {"id": plan.id, "machine": machine, "from": window.start, "to": window.end}
            down = Fact("machine.down", self._wall(), plan.name, body)
            await self._facts.tell(down)
            made = await self._adopt(plan, broken, best, "repaired", right, down.id)
        await self._improve(number, made.kind)
        return await self.get(number)

    async def _improve(self, number: str, kind: str) -> None:
        try:
            await self.solve(number, _REPAIR_S, adopts=True, partner=not kind)
        except Refused as error:
            if error.code != "schedule.over":
                raise

    async def renew(self, plan: Planned, shop: Shop) -> Planned:
        """Put other orders in a plan that runs: what holds goes on, the new is placed at once."""
        self.stop(plan.id)
        async with self._lock(plan.id):
            now = await self.get(plan.id)
            if now.adopted is None or now.revision != plan.revision:
                return now
            best, right = await self._worker.run("repair", shop, now.adopted)
            made = await self._adopt(now, shop, best, "orders", right)
        await self._improve(plan.id, plan.kind)
        return made

    async def restart_clock(self, plan: Planned) -> Planned:
        """Have a plan's shop go on from where it stood, whatever time the platform slept."""
        clock = replace(plan.clock, wall=self._wall(), shop=max(plan.shop.start, plan.clock.shop))
        return await asyncio.to_thread(self._store.change, replace(plan, clock=clock))
