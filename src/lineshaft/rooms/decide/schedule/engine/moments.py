"""A shop at another moment of its schedule, and with a machine that fails."""

from dataclasses import replace

from lineshaft.rooms.decide.schedule.model import Schedule, Shop, Started, Window

__all__ = ["at_moment", "with_breakdown"]


def at_moment(shop: Shop, schedule: Schedule, now: int) -> Shop:
    """Return the shop as it stands at a moment (µs, a whole second) of its schedule: what should
    have begun before has."""
    begun = tuple(
        Started(row.order, row.operation, row.machine, row.start,
                row.end if row.end <= now else None)
        for row in schedule.rows if row.start < now
    )  # fmt: skip
    return replace(shop, start=now, started=begun)


def with_breakdown(shop: Shop, machine: str, window: Window) -> Shop:
    """Return the shop with a machine closed for a while. What it was doing goes on afterwards, or
    begins anew where it may not pause."""
    machines = tuple(
        replace(one, closed=(*one.closed, window)) if one.id == machine else one
        for one in shop.machines
    )
    lasting = {(o.id, one.id) for o in shop.orders for one in o.operations if not one.may_pause}
    begun = tuple(
        one for one in shop.started
        if one.machine != machine or one.end is not None
        or (one.order, one.operation) not in lasting
    )  # fmt: skip
    return replace(shop, machines=machines, started=begun)
