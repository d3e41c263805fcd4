"""The general search: any shop, any cost, by small moves on whatever makes a plan dear.

Rules: a step goes back from an order that costs along what it waited for, and moves one operation
of that chain: past its neighbour, some places on, or to another machine; the plan is then timed
exactly, calendars and set-ups included. Worse plans are taken by chance, ever more seldom, and each
round begins again at the best. Same seed, same steps.

Source: simulated annealing for job shops after van Laarhoven, Aarts and Lenstra (Operations
Research 40, 1992), the chain of delays in the place of the critical path.
"""

from math import exp
from typing import Final, NamedTuple

import numpy as np

from lineshaft.rooms.decide.schedule.engine.chance import Chance, below, seeded, share
from lineshaft.rooms.decide.schedule.engine.compiled import compiled
from lineshaft.rooms.decide.schedule.engine.dispatch import Timed
from lineshaft.rooms.decide.schedule.engine.problem import Floats, Ints, Plan, Problem
from lineshaft.rooms.decide.schedule.engine.timing import advance, cost_of, setup_of, time_plan

__all__ = ["Anneal"]

_HOT: Final = 2e-2  # of the cost
_COLD: Final = 1e-4
_ROUND: Final = 60  # steps an operation in the first round


class _Scratch(NamedTuple):
    start: Ints
    end: Ints
    queue: Ints
    waits: Ints
    chain: Ints
    ends: Ints
    done: Ints


class Anneal:
    """A search that goes on as long as it is asked; `cost` is the least it found."""

    def __init__(self, p: Problem, seed_plan: Timed, seed: int) -> None:
        n = len(p.job)
        self._p, self._chance = p, seeded(seed)
        self._best = _copied(seed_plan)
        self._now = _copied(seed_plan)[0]
        self._work = _Scratch(*(np.zeros(n, np.int64) for _ in range(5)),
                              *(np.zeros(len(p.due), np.int64) for _ in range(2)))  # fmt: skip
        self._found = _copied(seed_plan)[0]
        self._state = np.zeros(3)  # cost of the present, of the best of this round, heat
        self._left = self._length = max(_ROUND * n, 4000)
        self.steps = 0
        self._begin()

    @property
    def cost(self) -> float:
        """The least cost so far."""
        return self._best[3]

    @property
    def best(self) -> Timed:
        """The cheapest plan so far."""
        return self._best

    def offer(self, other: Timed) -> None:
        """Take in a plan that somebody else found."""
        if other[3] < self.cost:
            self._best = _copied(other)
            self._begin()

    def run(self, steps: int) -> float:
        """Go some steps on and return the least cost so far."""
        end = self.steps + steps
        while self.steps < end:
            count = min(end - self.steps, self._left)
            cooling = (_COLD / _HOT) ** (1.0 / self._length)
            _anneal(self._p, self._now, self._found, self._work, self._state, cooling,
                    self._chance, count)  # fmt: skip
            self.steps += count
            self._left -= count
            if self._state[1] < self.cost - 1e-9:
                self._keep()
            if self._left <= 0:
                self._left = self._length = self._length * 3 // 2
                self._begin()
        return self.cost

    def _begin(self) -> None:
        for mine, part in zip(self._now, self._best[0], strict=True):
            mine[:] = part
        self._state[:] = self.cost, self.cost, _HOT * max(self.cost, 1e-6)

    def _keep(self) -> None:
        w = self._work
        start, end = np.zeros_like(w.start), np.zeros_like(w.end)
        time_plan(self._p, self._found, start, end, w.queue, w.waits)
        cost = cost_of(self._p, self._found, end, w.done)
        self._best = _copied((self._found, start, end, cost))


def _copied(timed: Timed) -> Timed:
    plan, start, end, cost = timed
    return Plan(*(part.copy() for part in plan)), start.copy(), end.copy(), cost


@compiled
def _anneal(p: Problem, now: Plan, found: Plan, w: _Scratch, state: Floats, cooling: float,
            chance: Chance, steps: int) -> None:  # fmt: skip
    """Make steps; `state` is (cost of `now`, least cost, kept in `found`, heat)."""
    n = len(p.job)
    time_plan(p, now, w.start, w.end, w.queue, w.waits)
    for _ in range(steps):
        state[2] *= cooling
        i, k, behind = _draw(p, now, w, chance)
        if i < 0:
            continue
        old, before = now.choice[i], now.previous[i]
        _shift(p, now, i, k, behind)
        fits = time_plan(p, now, w.start, w.end, w.queue, w.waits) == n
        cost = cost_of(p, now, w.end, w.done) if fits else state[0]
        worse = cost - state[0]
        if fits and (worse <= 0 or share(chance) < exp(-worse / state[2])):
            state[0] = cost
            if cost < state[1] - 1e-9:
                state[1] = cost
                found.choice[:], found.previous[:] = now.choice, now.previous
                found.following[:] = now.following
        else:
            _shift(p, now, i, old, before)
            time_plan(p, now, w.start, w.end, w.queue, w.waits)


@compiled
def _draw(p: Problem, now: Plan, w: _Scratch, chance: Chance) -> tuple[int, int, int]:
    """Return an operation, its choice, and behind whom it goes there (-1: first); -1 for none."""
    i = _dear(p, w, chance)
    length = 0
    if below(chance, 20) == 0:
        w.chain[0], length = below(chance, len(p.job)), 1
    while i >= 0 and below(chance, 20) > 0 and length < len(p.job):
        w.chain[length] = i
        length += 1
        i = _cause(p, now, w, i)
    if length == 0:
        return -1, 0, 0
    i = w.chain[below(chance, length)]
    if p.fixed[i] >= 0:
        return -1, 0, 0
    choices = p.choice_at[i + 1] - p.choice_at[i]
    if choices > 1 and below(chance, 2) == 0:
        k = p.choice_at[i] + below(chance, choices)
        if k != now.choice[i]:
            return i, k, _slot(p, now, w, k, w.start[i], chance)
    if below(chance, 4) == 0 and now.previous[i] >= 0:
        i = now.previous[i]  # the one in the way goes back
        if p.fixed[i] >= 0:
            return -1, 0, 0
        behind = now.following[i]
        for _ in range(below(chance, 4)):
            if now.following[behind] >= 0:
                behind = now.following[behind]
        return i, now.choice[i], behind
    behind = now.previous[i]
    if behind < 0 or p.fixed[behind] >= 0:
        return -1, 0, 0
    for _ in range(1 + below(chance, 4)):
        if behind >= 0 and p.fixed[behind] < 0:
            behind = now.previous[behind]
    return i, now.choice[i], behind


@compiled
def _dear(p: Problem, w: _Scratch, chance: Chance) -> int:
    """Return the last operation of an order that costs: one that is late, or the last of all."""
    w.done[:], last, seen, at = -1, 0, 0, -1
    for i in range(len(p.job)):
        j = p.job[i]
        if w.done[j] < 0 or w.end[i] > w.end[w.done[j]]:
            w.done[j] = i
        if w.end[i] > w.end[last]:
            last = i
    if p.weights[0] > 0 and (p.weights[1] <= 0 or below(chance, 4) > 0):
        for j in range(len(p.due)):
            if p.weight[j] > 0 and w.end[w.done[j]] > p.due[j]:
                seen += 1
                if below(chance, seen) == 0:
                    at = w.done[j]
    return at if at >= 0 else last


@compiled
def _cause(p: Problem, now: Plan, w: _Scratch, i: int) -> int:
    """Return what an operation waited for: one before it in its order or on its machine."""
    if p.fixed[i] >= 0:
        return -1
    t, cause = p.ready[i], -1
    for x in range(p.before_at[i], p.before_at[i + 1]):
        if w.end[p.before[x]] > t:
            t, cause = w.end[p.before[x]], p.before[x]
    b = now.previous[i]
    if b >= 0:
        m = p.choice_machine[now.choice[i]]
        if advance(p, m, max(w.end[b], 0), setup_of(p, m, b, i)) >= t:
            return int(b)
    return cause


@compiled
def _slot(p: Problem, now: Plan, w: _Scratch, k: int, t: int, chance: Chance) -> int:
    """Return behind whom an operation that begins about `t` goes on another machine."""
    m, behind = p.choice_machine[k], -1
    for i in range(len(p.job)):
        if p.choice_machine[now.choice[i]] == m and (p.fixed[i] >= 0 or w.start[i] < t) and (
            behind < 0 or w.start[i] >= w.start[behind]
        ):  # fmt: skip
            behind = i
    if behind >= 0 and below(chance, 3) == 0 and p.fixed[behind] < 0:
        return int(now.previous[behind])
    if behind >= 0 and below(chance, 3) == 0 and now.following[behind] >= 0:
        return int(now.following[behind])
    return behind


@compiled
def _shift(p: Problem, plan: Plan, i: int, k: int, behind: int) -> None:
    """Take an operation out of its line and put it on choice `k` behind another (-1: first)."""
    b, a = plan.previous[i], plan.following[i]
    if b >= 0:
        plan.following[b] = a
    if a >= 0:
        plan.previous[a] = b
    m, first = p.choice_machine[k], -1
    if behind < 0:
        for x in range(len(p.job)):
            if x != i and plan.previous[x] < 0 and p.choice_machine[plan.choice[x]] == m:
                first = x
    else:
        first = plan.following[behind]
        plan.following[behind] = i
    if first >= 0:
        plan.previous[first] = i
    plan.choice[i], plan.previous[i], plan.following[i] = k, behind, first
