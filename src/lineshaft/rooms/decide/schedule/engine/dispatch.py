"""A schedule at once: operations placed one after another, by a rule or in a given order.

Sources: active schedules after Giffler and Thompson (Operations Research 8, 1960); the rules as in
Panwalkar and Iskander (Operations Research 25, 1977); ATC with set-ups after Lee, Bhaskaran and
Pinedo (IIE Transactions 29, 1997).
"""

from math import exp, inf
from typing import Final

import numpy as np

from lineshaft.rooms.decide.schedule.engine.compiled import compiled
from lineshaft.rooms.decide.schedule.engine.problem import (
    NEVER,
    Floats,
    Ints,
    Plan,
    Problem,
)
from lineshaft.rooms.decide.schedule.engine.timing import advance, cost_of, place, setup_of

__all__ = ["RULES", "Timed", "best_rule", "by_rule", "in_order"]

#: Shortest operation, most work left in the job, first come, due first, what lateness would cost.
RULES: Final = ("SPT", "MWKR", "FIFO", "EDD", "ATC")
_PATIENCE: Final = 2.0  # k of ATC: how many mean operations ahead of its due date a job may be

Timed = tuple[Plan, Ints, Ints, float]


def by_rule(p: Problem, rule: str, shake: Floats | None = None, active: float = 1.0) -> Timed:
    """Return the plan that a rule makes, its starts and ends (n,), and its cost. `shake` (n,)
    multiplies the rule's figures; `active` 1 weighs all that can begin before the next could be
    done, 0 lets no machine wait."""
    shake = np.ones(len(p.job)) if shake is None else shake
    plan, start, end = _blank(p)
    _by_rule(p, RULES.index(rule), shake, active, plan, start, end)
    return plan, start, end, cost_of(p, plan, end, np.empty(len(p.due), np.int64))


def best_rule(p: Problem) -> tuple[Timed, str]:
    """Return the cheapest of what the rules make, and its rule."""
    made = [(by_rule(p, rule, active=active), rule) for rule in RULES for active in (1.0, 0.0)]
    return min(made, key=lambda one: one[0][3])


def in_order(p: Problem, order: Ints, choice: Ints) -> Timed:
    """Return the plan in which operations are placed in a given order (n,), each on its choice
    (-1: on that where it is done first); what an operation follows must stand before it."""
    plan, start, end = _blank(p)
    plan.choice[:] = choice
    _in_order(p, order, plan, start, end)
    return plan, start, end, cost_of(p, plan, end, np.empty(len(p.due), np.int64))


def _blank(p: Problem) -> tuple[Plan, Ints, Ints]:
    n = len(p.job)
    plan = Plan(np.full(n, -1), np.full(n, -1), np.full(n, -1))
    return plan, np.zeros(n, np.int64), np.zeros(n, np.int64)


@compiled
def _append(p: Problem, plan: Plan, i: int, k: int, last: Ints) -> None:
    m = p.choice_machine[k]
    plan.choice[i], plan.previous[i] = k, last[m]
    if last[m] >= 0:
        plan.following[last[m]] = i
    last[m] = i


@compiled
def _place_fixed(p: Problem, plan: Plan, start: Ints, end: Ints, last: Ints, free: Ints) -> int:
    """Put what has begun at the head of its machines' lines; return how many there are."""
    count = 0
    for i in np.argsort(p.fixed_start):
        if p.fixed[i] >= 0:
            start[i], end[i] = p.fixed_start[i], p.fixed_end[i]
            _append(p, plan, i, p.fixed[i], last)
            m = p.choice_machine[p.fixed[i]]
            free[m] = max(free[m], end[i])
            count += 1
    return count


@compiled
def _earliest(p: Problem, i: int, k: int, t: int, last: Ints, free: Ints) -> tuple[int, int]:
    m = p.choice_machine[k]
    setup = setup_of(p, m, last[m], i)
    return place(p, i, k, max(t, advance(p, m, free[m], setup)))


@compiled
def _in_order(p: Problem, order: Ints, plan: Plan, start: Ints, end: Ints) -> None:
    machines = len(p.closed_at) - 1
    last, free = np.full(machines, -1), np.zeros(machines, np.int64)
    _place_fixed(p, plan, start, end, last, free)
    for i in order:
        if p.fixed[i] >= 0:
            continue
        t, chosen = p.ready[i], plan.choice[i]
        for x in range(p.before_at[i], p.before_at[i + 1]):
            t = max(t, end[p.before[x]])
        if chosen < 0:
            soonest = NEVER
            for k in range(p.choice_at[i], p.choice_at[i + 1]):
                done = _earliest(p, i, k, t, last, free)[1]
                if done < soonest:
                    soonest, chosen = done, k
        start[i], end[i] = _earliest(p, i, chosen, t, last, free)
        _append(p, plan, i, chosen, last)
        free[p.choice_machine[chosen]] = end[i]


@compiled
def _figure(p: Problem, rule: int, i: int, k: int, t: int, since: int, setup: int, mean: float,
            mean_setup: float) -> float:  # fmt: skip
    """Return what a rule goes by, the greatest first; `since` is when the job could go on."""
    j, work = p.job[i], p.choice_time[k]
    if rule == 0:
        return -float(work + setup)
    if rule == 1:
        return float(p.left[i])
    if rule == 2:
        return -float(since + 1e-9 * work)
    if rule == 3:
        return -float(min(p.due[j], NEVER >> 8) + 1e-9 * work)
    slack = max(float(p.due[j] - p.left[i] - max(t, 0)), 0.0)
    wish = (p.weight[j] + 1e-6) / work * exp(-min(slack / (_PATIENCE * mean), 500.0))
    return float(wish * exp(-setup / (0.5 * mean_setup + 1e-9)) if setup > 0 else wish)


@compiled
def _next(p: Problem, rule: int, shake: Floats, active: float, open_ones: Ints, begin: Ints,
          done: Ints, since: Ints, last: Ints, mean: float,
          mean_setup: float) -> tuple[int, int]:  # fmt: skip
    """Return the choice that a rule takes next, and the place of its operation among the open."""
    soonest, first, at = NEVER, NEVER, -1
    for x in range(len(open_ones)):
        for k in range(p.choice_at[open_ones[x]], p.choice_at[open_ones[x] + 1]):
            if done[k] < soonest:
                soonest, at = done[k], p.choice_machine[k]
    for x in range(len(open_ones)):
        for k in range(p.choice_at[open_ones[x]], p.choice_at[open_ones[x] + 1]):
            if p.choice_machine[k] == at:
                first = min(first, begin[k])
    best, chosen, where = -inf, -1, -1
    for x in range(len(open_ones)):
        i = open_ones[x]
        for k in range(p.choice_at[i], p.choice_at[i + 1]):
            if p.choice_machine[k] == at and begin[k] <= first + active * (soonest - first - 1):
                setup = setup_of(p, at, last[at], i)
                figure = _figure(p, rule, i, k, begin[k], since[i], setup, mean, mean_setup)
                figure *= shake[i]
                if figure > best:
                    best, chosen, where = figure, k, x
    return chosen, where


@compiled
def _by_rule(p: Problem, rule: int, shake: Floats, active: float, plan: Plan, start: Ints,
             end: Ints) -> None:  # fmt: skip
    n, machines = len(p.job), len(p.closed_at) - 1
    last, free = np.full(machines, -1), np.zeros(machines, np.int64)
    mean, mean_setup = p.choice_time.mean(), 0.0
    if p.setup.size:
        mean_setup = p.setup.mean()
    waits, since = p.before_at[1:] - p.before_at[:-1], p.ready.copy()
    begin, done = np.empty(len(p.choice_time), np.int64), np.empty(len(p.choice_time), np.int64)
    open_ones, count = np.empty(n, np.int64), 0
    left = n - _place_fixed(p, plan, start, end, last, free)
    for i in range(n):
        if p.fixed[i] >= 0:
            for x in range(p.after_at[i], p.after_at[i + 1]):
                waits[p.after[x]] -= 1
                since[p.after[x]] = max(since[p.after[x]], end[i])
    for i in range(n):
        if p.fixed[i] < 0 and waits[i] == 0:
            open_ones[count] = i
            count += 1
            for k in range(p.choice_at[i], p.choice_at[i + 1]):
                begin[k], done[k] = _earliest(p, i, k, since[i], last, free)
    while left:
        chosen, where = _next(p, rule, shake, active, open_ones[:count], begin, done, since, last,
                              mean, mean_setup)  # fmt: skip
        at = p.choice_machine[chosen]
        i = open_ones[where]
        start[i], end[i] = begin[chosen], done[chosen]
        _append(p, plan, i, chosen, last)
        free[at] = end[i]
        left -= 1
        count -= 1
        open_ones[where] = open_ones[count]
        fresh = count
        for x in range(p.after_at[i], p.after_at[i + 1]):
            a = p.after[x]
            waits[a] -= 1
            since[a] = max(since[a], end[i])
            if waits[a] == 0:
                open_ones[count] = a
                count += 1
        for x in range(count):
            a = open_ones[x]
            for k in range(p.choice_at[a], p.choice_at[a + 1]):
                if x >= fresh or p.choice_machine[k] == at:
                    begin[k], done[k] = _earliest(p, a, k, since[a], last, free)
