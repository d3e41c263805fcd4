"""Shops drawn by chance: small, and with everything a shop may have."""

import random

from lineshaft.rooms.decide.schedule.model import (
    Machine,
    Operation,
    Order,
    Shift,
    Shop,
    Weights,
    Window,
    check_shop,
)

T0 = 1_764_460_800_000_000  # 2025-11-30, a Sunday
HOUR = 3_600_000_000
_H = 3600


def drawn(seed: int) -> Shop:
    """Return a shop for a seed: 1 to 5 machines, up to 8 orders."""
    dice = random.Random(seed)
    families = ["", "A", "B", "C"][: dice.randint(1, 4)]
    machines = tuple(_machine(dice, m, families) for m in range(dice.randint(1, 5)))
    orders = tuple(_order(dice, j, len(machines), families) for j in range(dice.randint(1, 8)))
    setups: dict[str, dict[tuple[str, str], int]] = {}
    if len(families) > 1 and dice.random() < 0.7:
        pairs = [(a, b) for a in families for b in families if a != b]
        setups["*"] = {pair: dice.randint(0, 2 * _H) for pair in pairs}
        if dice.random() < 0.5:
            setups["M0"] = {("*", "*"): 600}
    shop = Shop(
        "drawn", T0, machines, orders, setups, (),
        Weights(1.0, dice.choice([0.0, 1.0]), dice.choice([0.0, 0.5])),
        dice.choice(["UTC", "Asia/Shanghai", "Europe/Berlin"]),
    )  # fmt: skip
    check_shop(shop)
    return shop


def _machine(dice: random.Random, number: int, families: list[str]) -> Machine:
    shifts: tuple[Shift, ...] = ()
    if dice.random() < 0.5:
        shifts = (Shift((1, 2, 3, 4, 5), 6 * _H, 14 * _H),)
        if dice.random() < 0.4:
            shifts += (Shift((1, 2, 3, 4, 5, 6), 22 * _H, 5 * _H),)
    closed = []
    for _ in range(dice.randint(0, 2)):
        begin = T0 + dice.randint(0, 80) * HOUR
        closed.append(Window(begin, begin + dice.randint(1, 6) * HOUR, "maintenance"))
    return Machine(f"M{number}", "", shifts, tuple(closed), dice.choice([None, *families]))


def _order(dice: random.Random, number: int, machines: int, families: list[str]) -> Order:
    steps = []
    for k in range(dice.randint(1, 5)):
        able = dice.sample(range(machines), dice.randint(1, machines))
        chain = (str(k - 1),) if k else ()
        free = tuple(str(x) for x in range(k) if dice.random() < 0.4)
        steps.append(
            Operation(str(k), {f"M{m}": dice.randint(60, 3 * _H) for m in able},
                      chain if dice.random() < 0.6 else free, dice.choice(families),
                      dice.random() < 0.7)
        )  # fmt: skip
    release = T0 + dice.randint(0, 40) * HOUR + dice.randint(0, 5)
    due = T0 + dice.randint(1, 100) * HOUR
    return Order(
        f"O{number}", tuple(steps), "", release if dice.random() < 0.5 else None,
        due if dice.random() < 0.7 else None, dice.choice([0.5, 1.0, 2.0]),
    )  # fmt: skip


def pure(seed: int, jobs: int, machines: int) -> Shop:
    """Return a job shop with makespan alone: every job once on every machine."""
    dice = random.Random(seed)
    orders = []
    for j in range(jobs):
        way = dice.sample(range(machines), machines)
        steps = tuple(
            Operation(str(k), {f"M{m}": dice.randint(1, 99)}, (str(k - 1),) if k else ())
            for k, m in enumerate(way)
        )
        orders.append(Order(f"J{j}", steps))
    return Shop("pure", 0, tuple(Machine(f"M{m}") for m in range(machines)), tuple(orders))
