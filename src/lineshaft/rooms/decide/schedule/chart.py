"""A schedule as a chart: lines of machines with their gaps, bars of operations, orders."""

from dataclasses import dataclass, field

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.schedule.engine.calendar import closures
from lineshaft.rooms.decide.schedule.model import Cost, Machine
from lineshaft.rooms.decide.schedule.store import Planned

__all__ = ["Bars", "Chart", "Gap", "Line", "Lot", "chart_of"]

_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a machine is closed, µs; `down` where it broke down."""

    start: int
    end: int
    down: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A machine."""

    id: str
    name: str
    gaps: list[Gap]


@dataclass(frozen=True, slots=True)
class Lot:
    """An order, its end and lateness."""

    id: str
    name: str
    due: int | None
    end: int
    late_s: int
    weight: float


@dataclass(frozen=True, slots=True)
class Bars:
    """Operations as columns; `state` is 0 to come, 1 running, 2 done."""

    order: list[int] = field(default_factory=list)
    operation: list[str] = field(default_factory=list)
    machine: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    setup: list[int] = field(default_factory=list)
    family: list[str] = field(default_factory=list)
    state: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it; `start` and `end` are what there is to see."""

    which: str
    now: int
    start: int
    end: int
    cost: Cost
    method: str
    machines: list[Line]
    orders: list[Lot]
    rows: Bars


def chart_of(plan: Planned, which: str, now: int) -> Chart:
    """Return what holds, or what is proposed, as a chart; Refused where there is neither."""
    shop, schedule = plan.shop, plan.adopted
    if which == "proposal":
        shop, schedule = plan.proposal_shop or plan.shop, plan.proposal
    if schedule is None:
        raise Refused("there is no such schedule of this plan", code="schedule.nothing",
                      hint="Take the other one: adopted or proposal", status=404)  # fmt: skip
    start = min(shop.start, *(row.start for row in schedule.rows))
    end = max(row.end for row in schedule.rows)
    orders = {order.id: j for j, order in enumerate(shop.orders)}
    machines = {machine.id: m for m, machine in enumerate(shop.machines)}
    families = {(o.id, one.id): one.family for o in shop.orders for one in o.operations}
    rows, ends = Bars(), [0] * len(orders)
    for row in schedule.rows:
        j = orders[row.order]
        ends[j] = max(ends[j], row.end)
        rows.order.append(j)
        rows.operation.append(row.operation)
        rows.machine.append(machines[row.machine])
        rows.start.append(row.start)
        rows.end.append(row.end)
        rows.setup.append(row.setup)
        rows.family.append(families[row.order, row.operation])
        rows.state.append(2 if row.end <= now else int(row.start <= now))
    lots = [Lot(o.id, o.name, o.due, done, max(0, done - o.due) // _S if o.due else 0, o.weight)
            for o, done in zip(shop.orders, ends, strict=True)]  # fmt: skip
    lines = [Line(one.id, one.name or one.id, _gaps(one, shop.zone, start, end))
             for one in shop.machines]  # fmt: skip
    return Chart(which, now, start, end, schedule.cost, schedule.method, lines, lots, rows)


def _gaps(machine: Machine, zone: str, start: int, end: int) -> list[Gap]:
    """Return the gaps of a machine between two moments, breakdowns by themselves."""
    found = [Gap(a * _S, b * _S, False)
             for a, b in closures(machine, zone, start // _S, -(-end // _S))]  # fmt: skip
    down = [Gap(max(w.start, start), min(w.end, end), True) for w in machine.closed
            if w.why == "breakdown" and w.start < end and w.end > start]  # fmt: skip
    return found + down
