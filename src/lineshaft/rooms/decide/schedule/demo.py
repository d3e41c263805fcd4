"""The demo's machine shop: six machines, some thirty orders, hours that pass in seconds.

Rules: it runs as its schedule says, but for breakdowns, which come by chance or when somebody
presses the button; orders that are done leave, new ones come, so that it never runs dry. Chance is
drawn from a seed, so two demos live alike.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np

from lineshaft.core.errors import LineshaftError
from lineshaft.rooms.decide.schedule.model import (
    Machine,
    Operation,
    Order,
    Schedule,
    Shift,
    Shop,
    Started,
    Weights,
    check_shop,
)
from lineshaft.rooms.decide.schedule.service import ScheduleService, standing
from lineshaft.rooms.decide.schedule.store import DEMO, Clock, Planned

__all__ = ["DemoShop", "first_shop", "renewed"]

_LOG: Final = logging.getLogger(__name__)
_SPEED: Final = 120.0
_LOOK_S: Final = 2.0
_UNSEEN_S: Final = 120.0
_ORDERS: Final = 30
_REFILL: Final = 24  # orders in the shop below which new ones come
_BREAKDOWN_EVERY_S: Final = 300.0  # of the wall, in the mean
_HOUR: Final = 3_600_000_000
_FAMILIES: Final = ("steel", "brass", "alloy")
_MACHINES: Final = (
    ("saw", "Band saw"), ("lathe-1", "Lathe 1"), ("lathe-2", "Lathe 2"), ("mill-1", "Mill 1"),
    ("mill-2", "Mill 2"), ("grinder", "Grinder"),
)  # fmt: skip
_ROUTES: Final = (
    (("saw",), ("lathe-1", "lathe-2"), ("grinder",)),
    (("saw",), ("mill-1", "mill-2"), ("grinder",)),
    (("saw",), ("lathe-1", "lathe-2"), ("mill-1", "mill-2"), ("grinder",)),
    (("saw",), ("mill-1", "mill-2"), ("lathe-1", "lathe-2")),
    (("lathe-1", "lathe-2"), ("mill-1", "mill-2"), ("grinder",)),
)
_WORK_MIN: Final = {
    "saw": (8, 20), "lathe-1": (30, 90), "lathe-2": (35, 100), "mill-1": (30, 100),
    "mill-2": (35, 110), "grinder": (12, 35),
}  # fmt: skip


def first_shop(now: int, seed: int = 1) -> Shop:
    """Return the shop as the demo begins it; the grinder has nights off."""
    machines = tuple(
        Machine(id, name, (Shift((1, 2, 3, 4, 5, 6, 7), 5 * 3600, 23 * 3600),)
                if id == "grinder" else ())
        for id, name in _MACHINES
    )  # fmt: skip
    start = now // 1_000_000 * 1_000_000
    setups = {
        id: {("*", "*"): 900} for id, _ in _MACHINES if id.startswith(("lathe", "mill"))
    }  # fmt: skip
    shop = Shop("Machine shop", start, machines, tuple(_orders(start, 0, _ORDERS, seed)), setups,
                (), Weights(1.0, 0.2, 0.2))  # fmt: skip
    check_shop(shop)
    return shop


def _orders(now: int, first: int, count: int, seed: int) -> Sequence[Order]:
    """Return new orders, numbered from `first`; the same for the same numbers and seed."""
    found = []
    for number in range(first, first + count):
        dice = np.random.default_rng((seed, number))
        family = str(dice.choice(_FAMILIES))
        route = _ROUTES[int(dice.integers(len(_ROUTES)))]
        steps = list[Operation]()
        for k, able in enumerate(route):
            share = float(dice.random())
            choices = {m: int(60 * (_WORK_MIN[m][0] + share * (_WORK_MIN[m][1] - _WORK_MIN[m][0])))
                       for m in able}  # fmt: skip
            after = (str(10 * k),) if k else ()
            steps.append(Operation(str(10 * k + 10), choices, after, family))
        due = now + int(dice.uniform(6, 30) * _HOUR)
        weight = float(dice.choice((1.0, 1.0, 1.0, 3.0)))
        found.append(Order(f"W{1000 + number}", tuple(steps), "", None, due, weight))
    return found


def renewed(plan: Planned, shop: Shop, adopted: Schedule, now: int, seed: int = 1) -> Shop | None:
    """Return the shop without the orders that are done and with new ones in their place; None where
    there are enough. `shop` is how it stands now."""
    ends = dict[str, int]()
    for row in adopted.rows:
        ends[row.order] = max(ends.get(row.order, 0), row.end)
    kept = tuple(order for order in shop.orders if ends[order.id] > now)
    if len(kept) >= _REFILL:
        return None
    names = {order.id for order in kept}
    begun = tuple(one for one in shop.started if one.order in names)
    number = max(int(order.id[1:]) for order in shop.orders) - 999
    orders = (*kept, *_orders(now, number, _ORDERS - len(kept), seed))
    machines = tuple(_left(one, shop, begun, now) for one in shop.machines)
    return replace(shop, start=now, orders=orders, started=begun, machines=machines)


def _left(machine: Machine, shop: Shop, begun: Sequence[Started], now: int) -> Machine:
    """Return a machine set up for what it did last, its old closures forgotten."""
    families = {(o.id, one.id): one.family for o in shop.orders for one in o.operations}
    mine = [one for one in shop.started if one.machine == machine.id]
    family = machine.family
    if mine:
        last = max(mine, key=lambda one: one.start)
        family = families[last.order, last.operation]
    since = min([now, *(one.start for one in begun)])
    closed = tuple(window for window in machine.closed if window.end > since)
    return replace(machine, family=family, closed=closed)


class DemoShop:
    """Makes the shop where there is none, and lives its life once somebody looks, or soon anyhow:
    the start of the platform is not for it."""

    def __init__(self, service: ScheduleService, seed: int = 1) -> None:
        self._service, self._seed = service, seed
        self._dice = np.random.default_rng(seed)

    async def run(self) -> None:
        """Live, for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_UNSEEN_S):
                await self._service.asked.wait()
        is_new = True
        while True:
            try:
                plan = await self._found(is_new)
                is_new = False
                await self._live(plan)
            except LineshaftError as error:
                _LOG.warning("the demo's machine shop stumbled: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def _found(self, is_new: bool) -> Planned:
        plans = [one for one in await self._service.all() if one.kind == DEMO]
        if plans:
            return await self._service.restart_clock(plans[0]) if is_new else plans[0]
        wall = self._service.wall()
        shop = first_shop(wall, self._seed)
        made = await self._service.put(shop, Clock(wall, shop.start, _SPEED), DEMO)
        adopted = await self._service.adopt(made.id)
        await self._service.solve(made.id, 8.0, adopts=True)
        return adopted

    async def _live(self, plan: Planned) -> None:
        if plan.adopted is None:
            return
        wall = self._service.wall()
        shop, now = standing(plan, wall), plan.clock.at(wall)
        fresh = renewed(plan, shop, plan.adopted, now, self._seed)
        if fresh is not None:
            await self._service.renew(plan, fresh)
        elif self._dice.random() < _LOOK_S / _BREAKDOWN_EVERY_S:
            machine = _MACHINES[int(self._dice.integers(len(_MACHINES)))][0]
            await self._service.breakdown(plan.id, machine, float(self._dice.uniform(40, 160)))
