"""Whether a schedule is one: every rule of a Shop looked at again, trusting no method.

Rules: this module shares nothing with the methods but the words and the calendars; it is plain
Python, reads the schedule row by row, and says what is wrong in words. A schedule that costs
another sum than it says is wrong too.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import isclose

from lineshaft.rooms.decide.schedule.engine.calendar import closures
from lineshaft.rooms.decide.schedule.model import Machine, Operation, Order, Placed, Schedule, Shop

__all__ = ["faults"]

_S = 1_000_000


class _Calendar:
    """The gaps of one machine, and how much of a stretch of time is open (seconds UTC)."""

    def __init__(self, gaps: Sequence[tuple[int, int]]) -> None:
        self._gaps, self._ends = gaps, [b for _, b in gaps]

    def closed(self, begin: int, end: int) -> int:
        """Return the closed seconds between two moments."""
        total = 0
        for k in range(bisect_right(self._ends, begin), len(self._gaps)):
            a, b = self._gaps[k]
            if a >= end:
                break
            total += min(b, end) - max(a, begin)
        return total


def faults(shop: Shop, schedule: Schedule) -> list[str]:
    """Return what is wrong with a schedule; nothing where it is sound."""
    orders = {order.id: order for order in shop.orders}
    steps = {(o.id, one.id): one for o in shop.orders for one in o.operations}
    rows = {(row.order, row.operation): row for row in schedule.rows}
    if rows.keys() != steps.keys() or len(rows) != len(schedule.rows):
        return ["an operation is missing, is there twice or does not belong to the shop"]
    machines = {one.id: one for one in shop.machines}
    for key, row in rows.items():
        if row.machine not in steps[key].choices:
            return [f"{_name(row)} runs on '{row.machine}', which is not one of its choices"]
    begin = min(row.start for row in rows.values()) // _S - 1
    end = max(row.end for row in rows.values()) // _S + 1
    calendars = {m: _Calendar(closures(one, shop.zone, begin, end)) for m, one in machines.items()}
    found = list(_begun(shop, rows))
    fixed = {(one.order, one.operation): one.end for one in shop.started}
    for key, row in rows.items():
        order, step = orders[row.order], steps[key]
        found += _timely(shop, order, step, row, rows, key in fixed)
        if fixed.get(key) is None:
            found += _worked(shop, step, row, calendars[row.machine], key in fixed)
    lines = defaultdict[str, list[Placed]](list)
    for row in sorted(rows.values(), key=lambda row: row.start):
        lines[row.machine].append(row)
    for name, line in lines.items():
        found += _alone(shop, machines[name], line, steps, calendars[name], set(fixed))
    return found + list(_costs(shop, schedule, rows))


def _name(row: Placed) -> str:
    return f"operation '{row.operation}' of '{row.order}'"


def _begun(shop: Shop, rows: dict[tuple[str, str], Placed]) -> Iterator[str]:
    for one in shop.started:
        row = rows[one.order, one.operation]
        if (row.machine, row.start) != (one.machine, one.start):
            yield f"{_name(row)} has begun elsewhere or at another time"
        if one.end is not None and row.end != -(-one.end // _S) * _S:
            yield f"{_name(row)} ended at another time"


def _timely(
    shop: Shop, order: Order, step: Operation, row: Placed, rows: dict[tuple[str, str], Placed],
    has_begun: bool,
) -> Iterator[str]:  # fmt: skip
    if not has_begun and row.start < max(shop.start, order.release or shop.start):
        yield f"{_name(row)} begins before it may"
    for name in step.after:
        if not has_begun and row.start < rows[order.id, name].end:
            yield f"{_name(row)} begins before '{name}' is done"


def _worked(
    shop: Shop, step: Operation, row: Placed, calendar: _Calendar, has_begun: bool
) -> Iterator[str]:
    begin, end, work = row.start // _S, row.end // _S, step.choices[row.machine]
    closed = calendar.closed(begin, end)
    done = end - begin - closed
    if has_begun and row.end == shop.start and done >= work:
        return  # overdue: it ends at any moment
    if done != work:
        yield f"{_name(row)} works {done} s instead of {work} s"
    if not has_begun and closed and not step.may_pause:
        yield f"{_name(row)} pauses, which it may not"
    if calendar.closed(end - 1, end) or (not has_begun and calendar.closed(begin, begin + 1)):
        yield f"{_name(row)} begins or ends while '{row.machine}' is closed"


def _alone(
    shop: Shop, machine: Machine, line: Sequence[Placed], steps: dict[tuple[str, str], Operation],
    calendar: _Calendar, fixed: set[tuple[str, str]],
) -> Iterator[str]:  # fmt: skip
    family, free = machine.family, shop.start
    for row in line:
        key = (row.order, row.operation)
        after = steps[key].family
        setup = 0 if key in fixed else shop.setup_s(machine.id, family, after)
        if row.setup != setup:
            yield f"{_name(row)} says {row.setup} s of set-up instead of {setup} s"
        if key not in fixed:
            begin, end = free // _S, row.start // _S
            if row.start < free:
                yield f"{_name(row)} begins while '{machine.id}' is at something else"
            elif end - begin - calendar.closed(begin, end) < setup:
                yield f"{_name(row)} begins before '{machine.id}' is set up"
        family, free = after, max(free, row.end)


def _costs(shop: Shop, schedule: Schedule, rows: dict[tuple[str, str], Placed]) -> Iterator[str]:
    done = defaultdict[str, int](int)
    for row in rows.values():
        done[row.order] = max(done[row.order], row.end)
    late = {o.id: max(0, (done[o.id] - o.due) // _S) for o in shop.orders if o.due is not None}
    tardiness = sum(o.weight * late.get(o.id, 0) for o in shop.orders)
    makespan = max((max(done.values()) - shop.start) // _S, 0)
    setup, cost, w = sum(row.setup for row in rows.values()), schedule.cost, shop.weights
    total = w.tardiness * tardiness + w.makespan * makespan + w.setup * setup
    if (cost.makespan, cost.setup) != (makespan, setup) or not (
        isclose(cost.tardiness, tardiness, rel_tol=1e-9, abs_tol=1e-6)
        and isclose(cost.total, total, rel_tol=1e-9, abs_tol=1e-6)
    ):
        yield f"it costs {total:g}, not {cost.total:g}"
    if cost.late != sum(seconds > 0 for seconds in late.values()):
        yield "another number of orders is late than it says"
