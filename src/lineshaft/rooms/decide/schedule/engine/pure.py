"""The part of a shop that is a pure job shop: one machine an operation, chains, makespan alone.

Rules: what has begun, breakdowns that last and releases become moments before which a machine or a
job is not free; a shop with more to it (choices, set-ups, due dates that cost, gaps to come) has no
pure form, and the general search takes it.
"""

from typing import NamedTuple

import numpy as np

from lineshaft.rooms.decide.schedule.engine.compiled import compiled
from lineshaft.rooms.decide.schedule.engine.problem import NEVER, Ints, Plan, Problem

__all__ = ["Pure", "lengths", "pure_of"]


class Pure(NamedTuple):
    """By operation (n): its number in the Problem, work, machine, those before and after it in its
    job (-1: none), when its job is free; `place` among its machine's. By machine: when it is
    `free`, how many it has (`many`), where its table of pairs begins (`pairs_at`)."""

    number: Ints
    time: Ints
    machine: Ints
    before: Ints
    after: Ints
    ready: Ints
    place: Ints
    free: Ints
    many: Ints
    pairs_at: Ints


def pure_of(p: Problem) -> Pure | None:
    """Return the pure form of a shop, None where it has none."""
    number = np.flatnonzero(p.fixed < 0)
    counts = [p.before_at[1:] - p.before_at[:-1], p.after_at[1:] - p.after_at[:-1]]
    choices = p.choice_at[1:] - p.choice_at[:-1]
    free = _free(p)
    if (not number.size or p.setup.size or free is None or p.weights[1] <= 0
            or (p.weights[0] > 0 and (p.due < NEVER).any())
            or max(some.max() for some in counts) > 1 or choices[number].max() > 1):  # fmt: skip
        return None
    where = np.full(len(p.job), -1)
    where[number] = np.arange(len(number))
    before, after = (np.full(len(number), -1) for _ in range(2))
    ready = np.maximum(p.ready[number], 0)
    for at, i in enumerate(number):
        for b in p.before[p.before_at[i] : p.before_at[i + 1]]:
            if where[b] >= 0:
                before[at], after[where[b]] = where[b], at
            else:
                ready[at] = max(ready[at], p.fixed_end[b])
    machine = p.choice_machine[p.choice_at[number]]
    count = np.bincount(machine, minlength=len(free))
    place = np.zeros(len(number), np.int64)
    for m in range(len(free)):
        place[machine == m] = np.arange(count[m])
    pairs_at = np.concatenate([[0], np.cumsum(count**2)])
    return Pure(number, p.choice_time[p.choice_at[number]], machine, before, after, ready, place,
                free, count, pairs_at)  # fmt: skip


def _free(p: Problem) -> Ints | None:
    """Return when each machine is free for good; None where one is closed again later."""
    free = np.zeros(len(p.closed_at) - 1, np.int64)
    for i in np.flatnonzero(p.fixed >= 0):
        m = p.choice_machine[p.fixed[i]]
        free[m] = max(free[m], p.fixed_end[i])
    for m in range(len(free)):
        for k in range(p.closed_at[m], p.closed_at[m + 1]):
            if p.closed_to[k] > free[m] >= p.closed_from[k]:
                free[m] = p.closed_to[k]
            elif p.closed_from[k] > free[m]:
                return None
    return free


@compiled
def lengths(q: Pure, plan: Plan, topo: Ints, head: Ints, tail: Ints) -> int:
    """Fill an order of time, heads (the earliest start) and tails (the longest way to the end,
    own work included) of a plan; return its makespan, -1 where it goes round in a ring."""
    n, at, reached = len(q.time), 0, 0
    waits = np.empty(n, np.int64)
    for i in range(n):
        waits[i] = (q.before[i] >= 0) + (plan.previous[i] >= 0)
        if waits[i] == 0:
            topo[reached] = i
            reached += 1
    while at < reached:
        i = topo[at]
        at += 1
        for a in (q.after[i], plan.following[i]):
            if a >= 0:
                waits[a] -= 1
                if waits[a] == 0:
                    topo[reached] = a
                    reached += 1
    if reached < n:
        return -1
    heads(q, plan, topo, head, 0)
    return tails(q, plan, topo, head, tail, n - 1)


@compiled
def heads(q: Pure, plan: Plan, topo: Ints, head: Ints, begin: int) -> None:
    """Fill the heads from a place of the order of time on."""
    for x in range(begin, len(topo)):
        i = topo[x]
        t, b, c = q.ready[i], q.before[i], plan.previous[i]
        if b >= 0:
            t = max(t, head[b] + q.time[b])
        t = max(t, head[c] + q.time[c] if c >= 0 else q.free[q.machine[i]])
        head[i] = t


@compiled
def tails(q: Pure, plan: Plan, topo: Ints, head: Ints, tail: Ints, end: int) -> int:
    """Fill the tails from a place of the order of time down; return the makespan."""
    for x in range(end, -1, -1):
        i = topo[x]
        t, a, c = 0, q.after[i], plan.following[i]
        if a >= 0:
            t = tail[a]
        if c >= 0:
            t = max(t, tail[c])
        tail[i] = t + q.time[i]
    longest = 0
    for i in range(len(topo)):
        longest = max(longest, head[i] + tail[i])
    return longest
