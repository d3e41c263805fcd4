"""Tabu search for the pure job shop, and a way between good plans: the strongest that is known.

Rules: a step moves an operation on a critical path to an end of its block, or an end of the block
inside (N7); what a move would give is judged by heads and tails of the moved ones alone; a pair
that was turned may not be turned back for a while. Plans are joined by the mean of their heads: any
such mean obeys both parents' precedence, so it is a plan again. Same seed, same steps.

Sources: Balas and Vazacopoulos (Management Science 44, 1998) for moves and estimates; Zhang, Li,
Guan and Rao (Computers & OR 34, 2007) for N7; Nowicki and Smutnicki (Journal of Scheduling 8,
2005) and Peng, Lü and Cheng (Computers & OR 53, 2015) for elite plans and ways between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lineshaft.rooms.decide.schedule.engine.chance import seeded
from lineshaft.rooms.decide.schedule.engine.moves import Work, search
from lineshaft.rooms.decide.schedule.engine.problem import Floats, Ints, Plan
from lineshaft.rooms.decide.schedule.engine.pure import Pure, lengths

__all__ = ["Tabu", "plan_by_keys"]

_ELITE: Final = 8
_FIRST, _LATER = 8_000, 6_000  # steps without gain after which a plan is left


@dataclass(frozen=True, slots=True)
class _Elite:
    cost: int
    plan: Plan
    head: Ints


def plan_by_keys(q: Pure, keys: Ints | Floats) -> Plan:
    """Return the plan in which every machine works in the order of the keys (n,)."""
    plan = _blank(len(keys))
    order = np.argsort(keys, kind="stable")
    for m in range(len(q.free)):
        line = order[q.machine[order] == m]
        plan.previous[line[1:]], plan.following[line[:-1]] = line[:-1], line[1:]
    return plan


def _blank(n: int) -> Plan:
    return Plan(np.zeros(n, np.int64), np.full(n, -1), np.full(n, -1))


class Tabu:
    """A search that goes on as long as it is asked: `cost` (makespan) and `keys` (starts, (n,)) are
    the best it has. `starts` are plans to begin with, as keys (n,) each."""

    def __init__(self, q: Pure, starts: Sequence[Ints | Floats], seed: int) -> None:
        n = len(q.time)
        self._q, self._chance, self._numbers = q, seeded(seed), np.random.default_rng(seed)
        self._now, self._local = _blank(n), _blank(n)
        self._pairs = np.zeros(int(q.pairs_at[-1]), np.int64)
        self._work = Work(*(np.zeros(n, np.int64) for _ in Work._fields))
        self._state = np.zeros(4, np.int64)  # step, step of the last gain, best since, present
        self._elite = list[_Elite]()
        self._starts = list(starts)
        self._patience = _FIRST
        self._best = self._measured(plan_by_keys(q, starts[0]))
        self._begin(plan_by_keys(q, self._starts.pop(0)))

    @property
    def cost(self) -> int:
        """The least makespan so far."""
        return self._best.cost

    @property
    def keys(self) -> Ints:
        """The starts (n,) of the best plan so far."""
        return self._best.head

    @property
    def steps(self) -> int:
        """How many moves were made."""
        return int(self._state[0])

    def offer(self, keys: Ints) -> None:
        """Take in a plan that somebody else found, as the starts (n,)."""
        plan = self._measured(plan_by_keys(self._q, keys))
        self._keep(plan)
        if plan.cost < self.cost:
            self._best = plan

    def run(self, steps: int) -> int:
        """Go some steps on and return the least makespan so far."""
        end = self.steps + steps
        while self.steps < end:
            is_stale = search(
                self._q, self._now, self._local, self._work, self._pairs, self._state,
                self._chance, end - self.steps, self._patience,
            )  # fmt: skip
            if self._state[2] < self.cost:
                self._best = self._measured(self._local)
            if is_stale:
                self._keep(self._measured(self._local))
                self._leave()
        return self.cost

    def _measured(self, plan: Plan) -> _Elite:
        topo, head, tail = np.zeros((3, len(self._q.time)), np.int64)
        cost = lengths(self._q, plan, topo, head, tail)
        if cost < 0:
            raise ValueError("these keys do not obey the jobs")
        return _Elite(cost, Plan(*(part.copy() for part in plan)), head)

    def _begin(self, plan: Plan) -> None:
        """Go on from a plan."""
        w = self._work
        for mine, local, part in zip(self._now, self._local, plan, strict=True):
            mine[:] = local[:] = part
        cost = lengths(self._q, plan, w.topo, w.head, w.tail)
        w.place[w.topo] = np.arange(len(w.topo))
        self._state[1:] = self._state[0], cost, cost
        self._pairs[:] = 0

    def _keep(self, made: _Elite) -> None:
        """Put a plan among the elite where it is better than the worst there, and new."""
        if not any((one.head == made.head).all() for one in self._elite):
            self._elite = sorted([*self._elite, made], key=lambda one: one.cost)[:_ELITE]

    def _leave(self) -> None:
        """Begin somewhere else: at the next start, then between two of the elite."""
        if self._starts:
            self._begin(plan_by_keys(self._q, self._starts.pop(0)))
            return
        self._patience = _LATER
        some = self._numbers.permutation(len(self._elite))
        one, other = self._elite[some[0]], self._elite[some[-1]]
        between = self._numbers.uniform(0.3, 0.7)
        self._begin(plan_by_keys(self._q, (1 - between) * one.head + between * other.head))
