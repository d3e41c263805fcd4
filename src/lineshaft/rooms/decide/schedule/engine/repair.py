"""What holds after something went otherwise: the old plan shifted right, or a rule where better.

Rules: a repair keeps what has begun; the shifted plan keeps every machine's order, so it is always
possible, and nothing that is handed out costs more than it.
"""

from typing import Final

import numpy as np

from lineshaft.core.errors import Broken
from lineshaft.rooms.decide.schedule.engine.check import faults
from lineshaft.rooms.decide.schedule.engine.dispatch import Timed, by_rule, in_order
from lineshaft.rooms.decide.schedule.engine.problem import NEVER, Compiled
from lineshaft.rooms.decide.schedule.model import Schedule, Shop

__all__ = ["repaired", "shifted", "sound"]

RIGHT_SHIFT: Final = "right-shift"
_QUICK: Final = ("SPT", "MWKR", "ATC")


def shifted(compiled: Compiled, old: Schedule) -> Timed:
    """Return the old plan in the new shop: same machines, same order, as early as it goes; orders
    that are new come last, each operation where it is done first."""
    p = compiled.problem
    plan = compiled.plan_of(old)
    before = {(row.order, row.operation): row.start for row in old.rows}
    names = [(o.id, one.id) for o in compiled.shop.orders for one in o.operations]
    # An operation that is new comes after what it follows: those have more work left.
    key = np.array([before.get(name, NEVER - int(left)) for name, left in zip(names, p.left,
                    strict=True)])  # fmt: skip
    return in_order(p, np.argsort(key, kind="stable"), plan.choice)


def repaired(compiled: Compiled, old: Schedule) -> tuple[Schedule, float]:
    """Return at once what to do now, and what the old plan shifted right costs: never less."""
    best, method = shifted(compiled, old), RIGHT_SHIFT
    right = best[3]
    for rule in _QUICK:
        made = by_rule(compiled.problem, rule)
        if made[3] < best[3] - 1e-9:
            best, method = made, rule
    return sound(compiled.shop, compiled.schedule(*best[:3], method)), right


def sound(shop: Shop, schedule: Schedule) -> Schedule:
    """Return a schedule that was checked; raise Broken where it is not one, which is our fault."""
    if found := faults(shop, schedule):
        raise Broken(f"a schedule by '{schedule.method}' is not possible: {found[0]}",
                     hint="Please report this with the shop", code="schedule.invalid",
                     retryable=False)  # fmt: skip
    return schedule
