"""A shop as arrays: what the kernels work on, and back.

Rules: operations are numbered in the shop's order; times are seconds from the shop's start, so what
has begun has a start below zero; calendars are laid out as far as any sensible schedule reaches,
and one that would need more is refused.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.schedule.engine.calendar import closures, ended
from lineshaft.rooms.decide.schedule.model import Cost, Placed, Schedule, Shop

__all__ = ["NEVER", "Compiled", "Ints", "Plan", "Problem", "compile_shop"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NEVER: Final = 1 << 60
_SLACK_S: Final = 14 * 86_400
_FAR_S: Final = 3 * 366 * 86_400
_STEP_S: Final = 60 * 86_400


class Problem(NamedTuple):
    """A shop as arrays; lists of lists are cut by their `_at`, one longer than what they belong to.

    By operation (n): `job`, `choice_at`, `before_at`, `after_at`, `pauses`, `family`, `ready`,
    `fixed` (the choice of what has begun, else -1) with `fixed_start` and `fixed_end`, `left`
    (the longest way of work to its job's end, itself included). By job: `due` (NEVER: none),
    `weight`. By machine: `closed_at`, `setup_of` (row of `setup`, -1: none), `first_family`."""

    job: Ints
    choice_at: Ints
    choice_machine: Ints
    choice_time: Ints
    before_at: Ints
    before: Ints
    after_at: Ints
    after: Ints
    pauses: Ints
    family: Ints
    ready: Ints
    fixed: Ints
    fixed_start: Ints
    fixed_end: Ints
    left: Ints
    due: Ints
    weight: Floats
    closed_at: Ints
    closed_from: Ints
    closed_to: Ints
    setup: Ints
    setup_of: Ints
    first_family: Ints
    weights: Floats


class Plan(NamedTuple):
    """By operation: its `choice`, and `previous` and `following` on that machine (-1: none)."""

    choice: Ints
    previous: Ints
    following: Ints


@dataclass(frozen=True, slots=True)
class Compiled:
    """A shop, its arrays, and the moment (seconds from its start) to which calendars reach."""

    shop: Shop
    problem: Problem
    reach: int

    def schedule(self, plan: Plan, start: Ints, end: Ints, method: str) -> Schedule:
        """Return a timed plan as a schedule; Refused where it runs out of the calendars."""
        p, shop, origin = self.problem, self.shop, self.shop.start
        if end.max() > self.reach:
            raise Refused("the work does not end within three years", code="shop.calendar",
                          hint="Open the machines longer, or plan less")  # fmt: skip
        rows, setups = [], 0
        names = [(o.id, one.id) for o in shop.orders for one in o.operations]
        families = [one.family for o in shop.orders for one in o.operations]
        for i, (order, operation) in enumerate(names):
            machine = shop.machines[p.choice_machine[plan.choice[i]]]
            before = families[plan.previous[i]] if plan.previous[i] >= 0 else machine.family
            setup = 0 if p.fixed[i] >= 0 else shop.setup_s(machine.id, before, families[i])
            setups += setup
            rows.append(Placed(order, operation, machine.id, origin + int(start[i]) * 1_000_000,
                               origin + int(end[i]) * 1_000_000, setup))  # fmt: skip
        rows.sort(key=lambda row: (row.machine, row.start))
        return Schedule(tuple(rows), self._cost(end, setups), method)

    def _cost(self, end: Ints, setups: int) -> Cost:
        p = self.problem
        done = np.full(len(p.due), -NEVER)
        np.maximum.at(done, p.job, end)
        late = np.maximum(done - p.due, 0)
        tardiness, makespan = float(late @ p.weight), max(int(end.max()), 0)
        total = float(p.weights @ np.array([tardiness, makespan, setups], float))
        return Cost(total, tardiness, makespan, setups, int((late > 0).sum()))

    def plan_of(self, schedule: Schedule) -> Plan:
        """Return the choices and orders on machines of a schedule of this shop, or of one that had
        the same operations."""
        p, shop = self.problem, self.shop
        index = {(o.id, one.id): i for i, (o, one) in enumerate(
            (o, one) for o in shop.orders for one in o.operations)}  # fmt: skip
        number = {machine.id: m for m, machine in enumerate(shop.machines)}
        of = np.repeat(np.arange(len(p.job)), np.diff(p.choice_at))
        known = zip(of.tolist(), p.choice_machine.tolist(), strict=True)
        choices = {key: k for k, key in enumerate(known)}
        choice, lines = np.full(len(index), -1), [list[int]() for _ in shop.machines]
        for row in sorted(schedule.rows, key=lambda row: row.start):
            i = index.get((row.order, row.operation))
            if i is None:
                continue  # an order that has left the shop
            m = number.get(row.machine, -1)
            if (i, m) in choices:
                choice[i] = choices[i, m]
                lines[m].append(i)
        return _linked(choice, lines)


def _linked(choice: Ints, lines: list[list[int]]) -> Plan:
    plan = Plan(choice, np.full(len(choice), -1), np.full(len(choice), -1))
    for line in lines:
        plan.previous[line[1:]], plan.following[line[:-1]] = line[:-1], line[1:]
    return plan


def compile_shop(shop: Shop) -> Compiled:
    """Return a checked shop as arrays; Refused where an operation fits in no open time."""
    steps = [(j, one) for j, order in enumerate(shop.orders) for one in order.operations]
    number = {machine.id: m for m, machine in enumerate(shop.machines)}
    families = {f: i for i, f in enumerate(sorted({one.family for _, one in steps}))}
    index = {(j, one.id): i for i, (j, one) in enumerate(steps)}
    before = [[index[j, name] for name in one.after] for j, one in steps]
    after = [list[int]() for _ in steps]
    for i, some in enumerate(before):
        for b in some:
            after[b].append(i)
    choices = [[(number[m], s) for m, s in one.choices.items()] for _, one in steps]
    gaps, reach = _calendars(shop, sum(max(s for _, s in some) for some in choices))
    release = [-NEVER if o.release is None else _after(o.release, shop) for o in shop.orders]
    flat = [pair for some in choices for pair in some]
    choice_at = _at(choices)
    fixed, fixed_start, fixed_end = _started(shop, index, number, choices, choice_at, gaps)
    tables, setup_of, first = _setups(shop, families)
    begin, wait = np.zeros(len(steps), np.int64), np.array([release[j] for j, _ in steps])
    problem = Problem(
        job=np.array([j for j, _ in steps]), choice_at=choice_at,
        choice_machine=np.array([m for m, _ in flat]), choice_time=np.array([s for _, s in flat]),
        before_at=_at(before), before=_flat(before), after_at=_at(after), after=_flat(after),
        pauses=np.array([int(one.may_pause) for _, one in steps]),
        family=np.array([families[one.family] for _, one in steps]),
        ready=np.maximum(begin, wait), fixed=fixed, fixed_start=fixed_start, fixed_end=fixed_end,
        left=_left(choices, after, before),
        due=np.array([NEVER if o.due is None else _after(o.due, shop) for o in shop.orders]),
        weight=np.array([o.weight for o in shop.orders], float),
        closed_at=_at(gaps), closed_from=_flat([[a for a, _ in some] for some in gaps]),
        closed_to=_flat([[b for _, b in some] for some in gaps]),
        setup=tables, setup_of=setup_of, first_family=first,
        weights=np.array([shop.weights.tardiness, shop.weights.makespan, shop.weights.setup]),
    )  # fmt: skip
    _check_fits(shop, problem, reach)
    return Compiled(shop, problem, reach)


def _after(stamp: int, shop: Shop) -> int:
    """Return the first whole second from the shop's start on that is not before a stamp."""
    return -(-(stamp - shop.start) // 1_000_000)


def _at(lists: list[Any]) -> Ints:
    return np.cumsum([0, *(len(some) for some in lists)]).astype(np.int64)


def _flat(lists: list[list[int]]) -> Ints:
    return np.array([one for some in lists for one in some], np.int64)


def _calendars(shop: Shop, work: int) -> tuple[list[list[tuple[int, int]]], int]:
    """Return every machine's gaps and how far they reach: until all the work, one after the other,
    were done on the machine that is closed most."""
    origin = shop.start // 1_000_000
    begin = min([origin, *(one.start // 1_000_000 for one in shop.started)]) - 86_400
    setups = max((s for table in shop.setups.values() for s in table.values()), default=0)
    steps = sum(len(order.operations) for order in shop.orders)
    last = max([origin, *(o.release // 1_000_000 for o in shop.orders if o.release is not None)])
    last = max([last, *(-(-w.end // 1_000_000) for m in shop.machines for w in m.closed)])
    work, reach = work + setups * steps, _SLACK_S + work + setups * steps
    if not any(machine.shifts for machine in shop.machines):
        reach += last - origin
        found = [closures(one, shop.zone, begin, origin + reach) for one in shop.machines]
        return [[(a - origin, b - origin) for a, b in some] for some in found], reach
    while True:
        end = last + reach
        found = [closures(one, shop.zone, begin, end) for one in shop.machines]
        if all(ended(some, last, work) < end for some in found) or reach > _FAR_S:
            return [[(a - origin, b - origin) for a, b in some] for some in found], end - origin
        reach += max(_STEP_S, reach)


def _left(
    choices: list[list[tuple[int, int]]], after: list[list[int]], before: list[list[int]]
) -> Ints:
    left, waits = [0] * len(choices), [len(some) for some in after]
    ready = [i for i, count in enumerate(waits) if not count]
    while ready:
        i = ready.pop()
        left[i] = min(s for _, s in choices[i]) + max((left[a] for a in after[i]), default=0)
        for b in before[i]:
            waits[b] -= 1
            if not waits[b]:
                ready.append(b)
    return np.array(left, np.int64)


def _started(
    shop: Shop, index: dict[tuple[int, str], int], number: dict[str, int],
    choices: list[list[tuple[int, int]]], choice_at: Ints, gaps: list[list[tuple[int, int]]],
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    fixed = np.full(len(choices), -1)
    start, end = np.zeros((2, len(choices)), np.int64)
    jobs = {order.id: j for j, order in enumerate(shop.orders)}
    for one in shop.started:
        i, m = index[jobs[one.order], one.operation], number[one.machine]
        k = next(k for k, (machine, _) in enumerate(choices[i]) if machine == m)
        fixed[i] = choice_at[i] + k
        start[i] = (one.start - shop.start) // 1_000_000
        if one.end is None:
            end[i] = max(ended(gaps[m], int(start[i]), choices[i][k][1]), 0)
        else:
            end[i] = _after(one.end, shop)
    return fixed, start, end


def _setups(shop: Shop, families: dict[str, int]) -> tuple[Ints, Ints, Ints]:
    """Return the tables (k, families and one for what nobody makes, families), the row of each
    machine, and its first family."""
    names, count = list(families), len(families)
    tables, rows, first = list[Ints](), [], []
    for machine in shop.machines:
        held = [*names, machine.family]
        table = np.array([[shop.setup_s(machine.id, a, b) for b in names] for a in held])
        known = next((k for k, other in enumerate(tables) if (other == table).all()), None)
        if not table.any():
            known = -1
        elif known is None:
            tables.append(table)
            known = len(tables) - 1
        rows.append(known)
        first.append(count)
    shape = (len(tables), count + 1, count)
    return np.array(tables, np.int64).reshape(shape), np.array(rows), np.array(first)


def _check_fits(shop: Shop, p: Problem, reach: int) -> None:
    """Raise Refused where an operation that may not pause is longer than any open time."""
    longest = np.zeros(len(shop.machines), np.int64)
    for m in range(len(longest)):
        some = slice(p.closed_at[m], p.closed_at[m + 1])
        edges = np.concatenate([[0], p.closed_to[some], p.closed_from[some], [reach]])
        opened = np.sort(edges[: len(edges) // 2]), np.sort(edges[len(edges) // 2 :])
        longest[m] = (opened[1] - opened[0]).max()
    of = np.repeat(np.arange(len(p.job)), np.diff(p.choice_at))
    lasting = (p.pauses[of] == 0) & (p.fixed[of] < 0)
    for k in np.flatnonzero(lasting & (p.choice_time > longest[p.choice_machine]))[:1]:
        m = p.choice_machine[k]
        raise Refused(
            f"an operation of the order '{shop.orders[p.job[of[k]]].id}' may not pause and needs "
            f"{p.choice_time[k]} s, but '{shop.machines[m].id}' is open for {longest[m]} s at most",
            code="shop.calendar", hint="Let it pause, or open the machine longer",
        )  # fmt: skip
