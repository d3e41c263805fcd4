"""Plans over their life: proposed, adopted, running, broken down, repaired, improved; real tables,
a real worker and a real solver."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.records import open_records
from lineshaft.records.migrate import migrate
from lineshaft.rooms.decide.schedule.chart import chart_of
from lineshaft.rooms.decide.schedule.demo import first_shop, renewed
from lineshaft.rooms.decide.schedule.engine.check import faults
from lineshaft.rooms.decide.schedule.service import ScheduleService, standing
from lineshaft.rooms.decide.schedule.store import DEMO, Clock, ScheduleStore

_S = 1_000_000
_NOW = 1_796_083_200 * _S


class Told:
    """Keeps the Facts that were told."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    async def tell(self, fact: Fact) -> None:
        self.facts.append(fact)


class Wall:
    """The wall's time, moved by hand."""

    def __init__(self) -> None:
        self.now = _NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[ScheduleService, Told, Wall]]:
    migrate(tmp_path / "records.sqlite")
    engine = open_records(tmp_path / "records.sqlite")
    told, wall = Told(), Wall()
    service = ScheduleService(ScheduleStore(engine), told, wall)
    running = asyncio.ensure_future(service.run())
    yield service, told, wall
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    engine.dispose()


def _body() -> dict[str, Any]:
    dice = np.random.default_rng(4)
    orders = [
        {"id": f"O{j}", "due": (_NOW + 6 * 3600 * _S), "operations": [
            {"id": str(k), "minutes": {m: int(dice.integers(5, 40)) for m in ("A", "B", "C")}}
            for k in range(3)
        ]} for j in range(8)
    ]  # fmt: skip
    return {"name": "shop", "start": _NOW, "orders": orders,
            "machines": [{"id": "A"}, {"id": "B"}, {"id": "C"}]}  # fmt: skip


async def test_a_plan_lives(house: tuple[ScheduleService, Told, Wall]) -> None:
    service, told, wall = house
    plan = await service.add(_body())
    assert plan.adopted is None
    with pytest.raises(Refused, match="no schedule is in force"):
        await service.breakdown(plan.id, "A", 30)
    await service.solve(plan.id, 0.7)
    await service.searched(plan.id)
    progress = service.progress[plan.id]
    assert progress.problem == ""
    costs = [cost for _, cost in progress.points]
    assert costs == sorted(costs, reverse=True)
    with pytest.raises(Refused, match="changed meanwhile"):
        await service.adopt(plan.id, revision=plan.revision)
    held = await service.adopt(plan.id)
    assert held.adopted is not None
    assert faults(held.shop, held.adopted) == []
    assert held.adopted.cost.total == pytest.approx(costs[-1])
    wall.now += 40 * 60 * _S
    broken = await service.breakdown(plan.id, "B", 120)
    service.stop(plan.id)
    assert broken.adopted is not None
    assert faults(broken.shop, broken.adopted) == []
    assert broken.shop.start == wall.now
    kept = {(r.order, r.operation): (r.machine, r.start) for r in held.adopted.rows}
    for one in broken.shop.started:
        assert kept[one.order, one.operation] == (one.machine, one.start)
    down, repaired = (next(f for f in told.facts if f.kind == kind)
                      for kind in ("machine.down", "schedule.repaired"))  # fmt: skip
    assert repaired.cause == down.id
    assert repaired.body["cost"] <= repaired.body["cost_before"]
    chart = chart_of(broken, "adopted", service.now(broken))
    assert any(gap.down for line in chart.machines for gap in line.gaps)
    assert sum(state == 2 for state in chart.rows.state) > 0
    assert [one.why for one in await service.versions(plan.id)] == ["repaired", "adopted"]


async def test_what_is_stale_or_worse_is_not_adopted(
    house: tuple[ScheduleService, Told, Wall],
) -> None:
    service, _, wall = house
    plan = await service.add(_body())
    first = plan.proposal
    assert first is not None
    held = await service.adopt(plan.id)
    dear = replace(first, cost=replace(first.cost, total=first.cost.total + 100))
    await service._propose(plan.id, held.shop, dear)
    with pytest.raises(Refused, match="costs more"):
        await service.adopt(plan.id)
    moved = {row: replace(row, start=row.start + 1800 * _S, end=row.end + 1800 * _S)
             for row in first.rows}  # fmt: skip
    await service._propose(plan.id, held.shop, replace(first, rows=tuple(moved.values())))
    wall.now += 3600 * _S
    with pytest.raises(Refused, match="gone on"):
        await service.adopt(plan.id)
    wall.now += 1000 * 3600 * _S
    with pytest.raises(Refused, match="nothing of this schedule"):
        await service.solve(plan.id, 1)


async def test_the_demo_shop_never_runs_dry(house: tuple[ScheduleService, Told, Wall]) -> None:
    service, _, wall = house
    shop = first_shop(wall.now)
    plan = await service.put(shop, Clock(wall.now, shop.start, 120.0), DEMO)
    plan = await service.adopt(plan.id)
    numbers = {order.id for order in plan.shop.orders}
    for _ in range(4):
        wall.now += 240 * _S  # eight hours there
        assert plan.adopted is not None
        now = plan.clock.at(wall.now)
        fresh = renewed(plan, standing(plan, wall.now), plan.adopted, now)
        if fresh is not None:
            plan = await service.renew(plan, fresh)
            service.stop(plan.id)
            assert plan.adopted is not None
            assert faults(plan.shop, plan.adopted) == []
            assert len(plan.shop.orders) == 30
    assert {order.id for order in plan.shop.orders} - numbers
