"""The search that fits a shop: tabu where it is a pure job shop, the general one elsewhere."""

from typing import Final

import numpy as np

from lineshaft.rooms.decide.schedule.engine.anneal import Anneal
from lineshaft.rooms.decide.schedule.engine.dispatch import (
    RULES,
    Timed,
    best_rule,
    by_rule,
    in_order,
)
from lineshaft.rooms.decide.schedule.engine.problem import Ints, Problem
from lineshaft.rooms.decide.schedule.engine.pure import Pure, pure_of
from lineshaft.rooms.decide.schedule.engine.tabu import Tabu

__all__ = ["Improve"]

_SHAKEN: Final = 6
_MOST_PAIRS: Final = 20_000_000  # of the tabu search's table


class Improve:
    """A search for a shop, from a plan that is possible; it never comes back with a dearer one.
    `method` names what searches."""

    def __init__(self, p: Problem, seed_plan: Timed, seed: int) -> None:
        self._p, self._best = p, seed_plan
        self._pure, self._tabu, self._anneal = pure_of(p), None, None
        if self._pure is not None and self._pure.pairs_at[-1] <= _MOST_PAIRS:
            self._tabu = Tabu(self._pure, _starts(p, self._pure, seed_plan, seed), seed)
            self.method = "tabu"
        else:
            self._anneal = Anneal(p, min(seed_plan, best_rule(p)[0], key=lambda one: one[3]), seed)
            self.method = "anneal"
        self._look()

    @property
    def best(self) -> Timed:
        """The cheapest plan so far."""
        return self._best

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return self._tabu.steps if self._tabu is not None else self._inner.steps

    @property
    def _inner(self) -> Anneal:
        assert self._anneal is not None
        return self._anneal

    def run(self, steps: int) -> bool:
        """Go some steps on; return whether a cheaper plan was found."""
        if self._tabu is not None:
            self._tabu.run(steps)
        else:
            self._inner.run(steps)
        return self._look()

    def ordered(self) -> tuple[Ints, Ints]:
        """Return the cheapest plan as `offer` takes it."""
        return np.argsort(self._best[1], kind="stable"), self._best[0].choice

    def _look(self) -> bool:
        if self._tabu is not None and self._pure is not None:
            if self._tabu.cost >= self._best[2].max():
                return False
            made = _made(self._p, self._pure, self._tabu.keys)
        else:
            made = self._inner.best
        if made[3] >= self._best[3] - 1e-9:
            return False
        self._best = made
        return True

    def offer(self, order: Ints, choice: Ints) -> bool:
        """Take in what somebody else found, as an order of all operations and their choices; return
        whether it is cheaper than what was here."""
        other = in_order(self._p, order, choice)
        is_better = other[3] < self._best[3] - 1e-9
        if is_better:
            self._best = other
        if self._tabu is not None and self._pure is not None:
            self._tabu.offer(other[1][self._pure.number])
        else:
            self._inner.offer(other)
        return is_better


def _made(p: Problem, q: Pure, keys: Ints) -> Timed:
    choice = np.where(p.fixed >= 0, p.fixed, -1)
    choice[q.number] = p.choice_at[q.number]
    return in_order(p, q.number[np.argsort(keys, kind="stable")], choice)


def _starts(p: Problem, q: Pure, seed_plan: Timed, seed: int) -> list[Ints]:
    """Return plans to begin with as keys: the given one, the best of the rules, shaken ones."""
    numbers = np.random.default_rng(seed)
    found = [seed_plan[1], best_rule(p)[0][1]]
    for number in range(_SHAKEN):
        shake = numbers.uniform(0.6, 1.4, len(p.job))
        found.append(by_rule(p, RULES[number % 2], shake)[1])
    return [start[q.number] for start in found]
