"""The words of scheduling: a Shop is what there is to do and with what, a Schedule says when.

Rules: stamps are µs UTC, durations whole seconds of work. An operation runs on one of its choices
of machine, after all operations that it names, with nothing else on that machine meanwhile; it
works only while the machine is open, and waits through closed time unless it may not pause: then it
lies between two closures. Between two operations of different families a machine is set up, which
takes open time too. What has begun stays where it is. Nothing else begins before `Shop.start`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lineshaft.core.errors import Refused

__all__ = [
    "ANY", "Cost", "Machine", "Operation", "Order", "Placed", "Schedule", "Shift", "Shop",
    "Started", "Weights", "Window", "check_shop",
]  # fmt: skip

ANY: Final = "*"  # in set-ups: any machine, any family
_MOST_MACHINES: Final = 500
_MOST_OPERATIONS: Final = 20_000
_MOST_FAMILIES: Final = 100
_LONGEST_S: Final = 366 * 86_400

Where = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time in which a machine does not work, µs UTC."""

    start: int
    end: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Shift:
    """Hours in which a machine is open: on these days of the week (1 Monday … 7 Sunday) from
    `begin` to `end`, seconds of the day in the shop's zone; an end before the begin lies in the
    next day."""

    days: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Open in its shifts (none: always) but for the closed windows; `family` is what it is set up
    for now (None: for anything)."""

    id: str
    name: str = ""
    shifts: tuple[Shift, ...] = ()
    closed: tuple[Window, ...] = ()
    family: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A step of an order: seconds of work by machine, and the steps that it follows."""

    id: str
    choices: Mapping[str, int]
    after: tuple[str, ...] = ()
    family: str = ""
    may_pause: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants: not before `release`, by `due` (µs, None: at any time)."""

    id: str
    operations: tuple[Operation, ...]
    name: str = ""
    release: int | None = None
    due: int | None = None
    weight: float = 1.0

    def __reduce__(self) -> tuple[Any, ...]:  # to another process, without an object a step
        steps = [(s.id, dict(s.choices), s.after, s.family, s.may_pause) for s in self.operations]
        return _order, (steps, self.id, self.name, self.release, self.due, self.weight)


def _order(steps: Sequence[Any], id: str, *more: Any) -> Order:
    return Order(id, tuple(Operation(*step) for step in steps), *more)


@dataclass(frozen=True, slots=True)
class Started:
    """An operation that has begun on a machine; `end` where it is done."""

    order: str
    operation: str
    machine: str
    start: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """What a second costs: of lateness (times the order's weight), of makespan, of set-up."""

    tardiness: float = 1.0
    makespan: float = 1.0
    setup: float = 0.0


@dataclass(frozen=True, slots=True)
class Shop:
    """Machines, orders, and what has begun. `setups` holds seconds by machine (or ANY), then by
    the families before and after (or ANY); the more exact entry counts, a machine before ANY."""

    name: str
    start: int
    machines: tuple[Machine, ...]
    orders: tuple[Order, ...]
    setups: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    started: tuple[Started, ...] = ()
    weights: Weights = field(default_factory=Weights)
    zone: str = "UTC"

    def setup_s(self, machine: str, before: str | None, after: str) -> int:
        """Return the seconds of set-up between two families on a machine."""
        if before is None or before == after:
            return 0
        for table in (self.setups.get(machine), self.setups.get(ANY)):
            for key in ((before, after), (before, ANY), (ANY, after), (ANY, ANY)):
                if table is not None and key in table:
                    return table[key]
        return 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a schedule costs, and its parts in seconds: lateness summed (weighted in `tardiness`),
    makespan from the shop's start, set-ups; `late` counts the orders after their due date."""

    total: float
    tardiness: float
    makespan: int
    setup: int
    late: int


@dataclass(frozen=True, slots=True)
class Placed:
    """An operation in a schedule, µs; `setup` seconds of work before it."""

    order: str
    operation: str
    machine: str
    start: int
    end: int
    setup: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where every operation of a shop runs, and when, by machine and start."""

    rows: tuple[Placed, ...]
    cost: Cost
    method: str = ""

    def __reduce__(self) -> tuple[Any, ...]:  # to another process, without an object a row
        rows = [(r.order, r.operation, r.machine, r.start, r.end, r.setup) for r in self.rows]
        return _schedule, (rows, self.cost, self.method)


def _schedule(rows: Sequence[Any], cost: Cost, method: str) -> Schedule:
    return Schedule(tuple(Placed(*row) for row in rows), cost, method)


def _nowhere(key: str, _: str) -> str:
    return key


def check_shop(shop: Shop, where: Where = _nowhere) -> None:
    """Raise Refused where a shop means nothing; `where(thing, column)` says the place in a file of
    a thing (`orders/O1/10`) and one of its columns."""
    machines = {one.id for one in shop.machines}
    if not shop.machines or not shop.orders:
        missing = "orders" if shop.machines else "machines"
        raise Refused(f"the shop is empty: it has no {missing}", code="shop.empty",
                      hint="Give at least one machine and one order")  # fmt: skip
    count = sum(len(order.operations) for order in shop.orders)
    if len(shop.machines) > _MOST_MACHINES or count > _MOST_OPERATIONS:
        raise Refused(f"{len(shop.machines)} machines and {count} operations are too many",
                      hint=f"At most {_MOST_MACHINES} and {_MOST_OPERATIONS}",
                      code="shop.size")  # fmt: skip
    _check_once("machines", [one.id for one in shop.machines], where)
    _check_once("orders", [one.id for one in shop.orders], where)
    for machine in shop.machines:
        _check_machine(machine, where)
    for order in shop.orders:
        _check_order(order, machines, where)
    _check_setups(shop, machines, where)
    _check_started(shop, where)
    for name in ("tardiness", "makespan", "setup"):
        if not 0 <= getattr(shop.weights, name) <= 1e9:
            raise _bad(where("weights", name), "a weight lies between 0 and 1e9", "shop.weights")


def _bad(place: str, what: str, code: str, hint: str = "") -> Refused:
    return Refused(f"{place}: {what}", hint=hint, code=code)


def _check_once(kind: str, names: Sequence[str], where: Where) -> None:
    seen = set[str]()
    for name in names:
        if not name or len(name) > 80:
            raise _bad(where(f"{kind}/{name[:80]}", "id"), "an id has 1 to 80 characters",
                       "shop.id")  # fmt: skip
        if name in seen:
            raise _bad(where(f"{kind}/{name}", "id"), f"'{name}' is there twice", "shop.twice",
                       "Every id stands once")  # fmt: skip
        seen.add(name)


def _check_machine(machine: Machine, where: Where) -> None:
    place = f"machines/{machine.id}"
    for window in machine.closed:
        if window.end <= window.start:
            raise _bad(where(place, "closed"), "a closed window ends before it begins",
                       "shop.window")  # fmt: skip
    for shift in machine.shifts:
        if not (shift.days and set(shift.days) <= set(range(1, 8))
                and 0 <= shift.begin < 86_400 and 0 < shift.end <= 86_400
                and shift.begin != shift.end):  # fmt: skip
            raise _bad(where(place, "shifts"), "a shift needs days 1 to 7 and two different times",
                       "shop.shift")  # fmt: skip


def _check_order(order: Order, machines: set[str], where: Where) -> None:
    place = f"orders/{order.id}"
    if not order.operations:
        raise _bad(where(place, "operations"), f"the order '{order.id}' has no operations",
                   "shop.empty")  # fmt: skip
    if not 0 <= order.weight <= 1e6:
        raise _bad(where(place, "weight"), "a weight lies between 0 and 1e6", "shop.weight")
    _check_once(place, [one.id for one in order.operations], where)
    for one in order.operations:
        _check_operation(f"{place}/{one.id}", one, machines, where)
    _check_precedence(order, where)


def _check_operation(place: str, one: Operation, machines: set[str], where: Where) -> None:
    if not one.choices:
        raise _bad(where(place, "machine"), f"the operation '{one.id}' has no machine",
                   "shop.choice")  # fmt: skip
    for machine, seconds in one.choices.items():
        if machine not in machines:
            raise _bad(where(f"{place}/{machine}", "machine"), f"there is no machine '{machine}'",
                       "shop.machine", "Name one of the shop's machines")  # fmt: skip
        if not 0 < seconds <= _LONGEST_S:
            raise _bad(where(f"{place}/{machine}", "duration"),
                       f"a duration of {seconds} s", "shop.duration",
                       "A duration lies between one second and a year")  # fmt: skip


def _check_precedence(order: Order, where: Where) -> None:
    """Raise Refused where operations follow unknown ones, or each other in a ring."""
    after = {one.id: one.after for one in order.operations}
    for one in order.operations:
        for name in one.after:
            if name not in after:
                raise _bad(where(f"orders/{order.id}/{one.id}", "after"),
                           f"the order '{order.id}' has no operation '{name}'",
                           "shop.after")  # fmt: skip
    open_ones = dict(after)
    while free := [name for name, befores in open_ones.items()
                   if not any(b in open_ones for b in befores)]:  # fmt: skip
        for name in free:
            del open_ones[name]
    if open_ones:
        ring = _ring(open_ones)
        raise _bad(where(f"orders/{order.id}/{ring[0]}", "after"),
                   f"the operations of the order '{order.id}' wait for each other: "
                   + " → ".join([*ring, ring[0]]), "shop.cycle",
                   "Take one of these 'after' away")  # fmt: skip


def _ring(waiting: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one ring among operations that all wait for another of them, in working order."""
    path = [next(iter(waiting))]
    while (following := next(b for b in waiting[path[-1]] if b in waiting)) not in path:
        path.append(following)
    return path[path.index(following) :][::-1]


def _check_setups(shop: Shop, machines: set[str], where: Where) -> None:
    families = {one.family for order in shop.orders for one in order.operations}
    if len(families) > _MOST_FAMILIES:
        raise Refused(f"{len(families)} families are too many", code="shop.size",
                      hint=f"At most {_MOST_FAMILIES}")  # fmt: skip
    for machine, table in shop.setups.items():
        if machine != ANY and machine not in machines:
            raise _bad(where(f"setups/{machine}", "machine"), f"there is no machine '{machine}'",
                       "shop.machine")  # fmt: skip
        for (before, after), seconds in table.items():
            if not 0 <= seconds <= _LONGEST_S:
                raise _bad(where(f"setups/{machine}", "duration"),
                           f"a set-up of {seconds} s from '{before}' to '{after}'",
                           "shop.duration")  # fmt: skip


def _check_started(shop: Shop, where: Where) -> None:
    steps = {(order.id, one.id): one for order in shop.orders for one in order.operations}
    seen = set[tuple[str, str]]()
    if any(stamp % 1_000_000 for stamp in (shop.start, *(one.start for one in shop.started))):
        raise _bad(where("shop", "start"), "a start is a whole second", "shop.start")
    for begun in shop.started:
        key, place = (begun.order, begun.operation), f"started/{begun.order}/{begun.operation}"
        if key not in steps or begun.machine not in steps[key].choices:
            raise _bad(where(place, "machine"), "this operation is not one of the shop's, "
                       "or does not run on that machine", "shop.started")  # fmt: skip
        if begun.start > shop.start or (begun.end is not None and begun.end < begun.start):
            raise _bad(where(place, "start"), "it begins after the shop's start, or ends before it "
                       "begins", "shop.started")  # fmt: skip
        if key in seen:
            raise _bad(where(place, "operation"), "it has begun twice", "shop.twice")
        seen.add(key)
    for order, step in sorted(seen):
        for name in steps[order, step].after:
            if (order, name) not in seen:
                raise _bad(where(f"started/{order}/{step}", "operation"),
                           f"it has begun, but '{name}' before it has not",
                           "shop.started")  # fmt: skip
