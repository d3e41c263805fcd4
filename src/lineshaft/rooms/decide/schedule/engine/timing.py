"""When things run, given who follows whom: the kernels under every method.

Rules: every operation begins as early as its machine, its order and the calendar allow (what comes
later can only cost more); machines without closures and set-ups pay nothing for those that have.
"""

from lineshaft.rooms.decide.schedule.engine.compiled import compiled
from lineshaft.rooms.decide.schedule.engine.problem import NEVER, Ints, Plan, Problem

__all__ = ["advance", "cost_of", "first_gap", "place", "setup_of", "time_plan"]


@compiled
def first_gap(p: Problem, m: int, t: int) -> int:
    """Return the number of the first gap of a machine that ends after a moment."""
    low, high = p.closed_at[m], p.closed_at[m + 1]
    while low < high:
        middle = (low + high) // 2
        if p.closed_to[middle] > t:
            high = middle
        else:
            low = middle + 1
    return int(low)


@compiled
def advance(p: Problem, m: int, t: int, work: int) -> int:
    """Return when work begun on a machine at a moment is done."""
    if work == 0:
        return t
    for k in range(first_gap(p, m, t), p.closed_at[m + 1]):
        opened = p.closed_from[k] - t
        if work <= opened:
            break
        if opened > 0:
            work -= opened
        t = p.closed_to[k]
    return t + work


@compiled
def place(p: Problem, i: int, k: int, t: int) -> tuple[int, int]:
    """Return start and end of an operation on its choice `k`, begun at `t` or as soon after it as
    the machine allows."""
    m, work = p.choice_machine[k], p.choice_time[k]
    if p.closed_at[m] == p.closed_at[m + 1]:
        return t, t + work
    g, last = first_gap(p, m, t), p.closed_at[m + 1]
    if p.pauses[i]:
        if g < last and p.closed_from[g] <= t:
            t = p.closed_to[g]
        return t, advance(p, m, t, work)
    while g < last and p.closed_from[g] < t + work:
        t = max(t, p.closed_to[g])
        g += 1
    return t, t + work


@compiled
def setup_of(p: Problem, m: int, before: int, i: int) -> int:
    """Return the seconds of set-up for an operation after another (-1: none) on a machine."""
    row = p.setup_of[m]
    if row < 0 or p.fixed[i] >= 0:
        return 0
    family = p.first_family[m] if before < 0 else p.family[before]
    return int(p.setup[row, family, p.family[i]])


@compiled
def time_plan(p: Problem, plan: Plan, start: Ints, end: Ints, queue: Ints, waits: Ints) -> int:
    """Fill `start` and `end`, and `queue` with the operations in an order of time; return how many
    were reached: fewer than there are where the plan goes round in a ring. Set-ups are done before
    the operation is there, in the machine's open time. All arrays (n,)."""
    n, head, tail = len(p.job), 0, 0
    for i in range(n):
        waits[i] = p.before_at[i + 1] - p.before_at[i] + (plan.previous[i] >= 0)
        if waits[i] == 0:
            queue[tail] = i
            tail += 1
    while head < tail:
        i = queue[head]
        head += 1
        if p.fixed[i] >= 0:
            start[i], end[i] = p.fixed_start[i], p.fixed_end[i]
        else:
            k, t, b = plan.choice[i], p.ready[i], plan.previous[i]
            m = p.choice_machine[k]
            for x in range(p.before_at[i], p.before_at[i + 1]):
                t = max(t, end[p.before[x]])
            setup = setup_of(p, m, b, i)
            free = max(end[b], 0) if b >= 0 else 0
            t = max(t, advance(p, m, free, setup))
            start[i], end[i] = place(p, i, k, t)
        for x in range(p.after_at[i], p.after_at[i + 1]):
            a = p.after[x]
            waits[a] -= 1
            if waits[a] == 0:
                queue[tail] = a
                tail += 1
        a = plan.following[i]
        if a >= 0:
            waits[a] -= 1
            if waits[a] == 0:
                queue[tail] = a
                tail += 1
    return tail


@compiled
def cost_of(p: Problem, plan: Plan, end: Ints, done: Ints) -> float:
    """Return what a timed plan costs; `done` (jobs,) is filled with their ends."""
    done[:] = -NEVER
    setups, last = 0, 0
    for i in range(len(p.job)):
        done[p.job[i]] = max(done[p.job[i]], end[i])
        last = max(last, end[i])
        setups += setup_of(p, p.choice_machine[plan.choice[i]], plan.previous[i], i)
    late = 0.0
    for j in range(len(p.due)):
        if done[j] > p.due[j]:
            late += p.weight[j] * (done[j] - p.due[j])
    return float(p.weights[0] * late + p.weights[1] * last + p.weights[2] * setups)
