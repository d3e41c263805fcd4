"""The jobs of the warm worker: plain functions of shops and schedules."""

from lineshaft.rooms.decide.schedule.engine.dispatch import best_rule
from lineshaft.rooms.decide.schedule.engine.moments import with_breakdown
from lineshaft.rooms.decide.schedule.engine.problem import compile_shop
from lineshaft.rooms.decide.schedule.engine.repair import repaired, sound
from lineshaft.rooms.decide.schedule.model import (
    Machine,
    Operation,
    Order,
    Schedule,
    Shop,
    Window,
)

__all__ = ["first", "repair", "warm"]


def first(shop: Shop) -> Schedule:
    """Return the schedule that the rules make."""
    compiled = compile_shop(shop)
    (plan, start, end, _), rule = best_rule(compiled.problem)
    return sound(shop, compiled.schedule(plan, start, end, rule))


def repair(shop: Shop, old: Schedule) -> tuple[Schedule, float]:
    """Return what to do in a shop that is another than a schedule was made for, and what that
    schedule shifted right would cost."""
    return repaired(compile_shop(shop), old)


def warm() -> None:
    """Have everything compiled that an answer in time needs."""
    machines = (Machine("a", closed=(Window(0, 60_000_000),)), Machine("b", family="x"))
    steps = (
        Operation("1", {"a": 60, "b": 90}, (), "x"), Operation("2", {"b": 60}, ("1",), "y", False)
    )  # fmt: skip
    shop = Shop("", 0, machines, (Order("o", steps, due=60_000_000),), {"b": {("x", "y"): 60}})
    repair(with_breakdown(shop, "b", Window(30_000_000, 90_000_000)), first(shop))
