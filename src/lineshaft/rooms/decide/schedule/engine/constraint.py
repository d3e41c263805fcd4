"""The shop for CP-SAT: always begun at a plan that is possible, every variable hinted.

Rules: loaded only where nothing else of the platform runs (the solver's library brings others with
it that we keep out of our processes). What it finds is an order and choices; `dispatch.in_order`
says what they are worth, so nothing here need be exact where the model would grow too large: a
set-up over closed time counts as if the machine were open.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from ortools.sat.python import cp_model

from lineshaft.rooms.decide.schedule.engine.dispatch import Timed
from lineshaft.rooms.decide.schedule.engine.problem import NEVER, Ints, Problem

__all__ = ["Constraint"]

_MOST_SWITCHES: Final = 40_000
_SCALE: Final = 1000.0
_ROOM: Final = 1.25


class Constraint:
    """CP-SAT on one shop; `fits` says whether the model is of a size worth building."""

    def __init__(self, p: Problem) -> None:
        self._p = p
        self._makespan_alone = p.weights[0] <= 0 or not (p.due < NEVER).any()
        ops = np.flatnonzero(p.fixed < 0)
        machines = [p.choice_machine[p.choice_at[i] : p.choice_at[i + 1]] for i in ops]
        count = np.bincount(np.concatenate(machines), minlength=len(p.setup_of))
        gaps = p.closed_at[1:] - p.closed_at[:-1]
        switches = int(count @ gaps) + int((count**2)[p.setup_of >= 0].sum())
        self.fits = bool(len(ops)) and len(ops) <= 5000 and switches <= _MOST_SWITCHES

    def solve(
        self, seed_plan: Timed, seconds: float, seed: int,
        found: Callable[[Ints, Ints], None], workers: int = 1,
    ) -> bool:  # fmt: skip
        """Search from a plan; call `found(order, choice)` with every better one. Return whether the
        best is proved to be."""
        model = _Model(self._p, seed_plan, self._makespan_alone)
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = workers
        solver.parameters.random_seed = seed % (1 << 31)
        status = solver.solve(model.model, _Teller(model, found))
        return bool(status == cp_model.OPTIMAL)


class _Teller(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
    def __init__(self, model: "_Model", found: Callable[[Ints, Ints], None]) -> None:
        super().__init__()
        self._model, self._found = model, found

    def on_solution_callback(self) -> None:
        """Hand on what was found."""
        start, choice = self._model.read(self.value, self.boolean_value)
        self._found(np.argsort(start, kind="stable"), choice)


class _Model:
    """The variables by operation, all hinted with the seed plan's values."""

    def __init__(self, p: Problem, seed_plan: Timed, makespan_alone: bool) -> None:
        self.model, self._p = cp_model.CpModel(), p
        self._plan, self._start, self._end, _ = seed_plan
        top = int(self._end.max())
        self._top = top if makespan_alone else int(top * _ROOM) + 1
        n = len(p.job)
        self._s: list[Any] = [None] * n
        self._e: list[Any] = [None] * n
        self._present = dict[int, Any]()
        self._paid = list[tuple[Any, int]]()
        lines = [list[Any]() for _ in p.setup_of]
        for i in range(n):
            self._operation(i, lines)
        for m, line in enumerate(lines):
            self.model.add_no_overlap([interval for _, _, interval in line])
            if p.setup_of[m] >= 0:
                self._setups(m, [(i, k) for i, k, _ in line])
        self._order_of_jobs()
        self._objective()

    def _whole(self, low: int, high: int, hint: int, name: str) -> Any:
        made = self.model.new_int_var(low, high, name)
        self.model.add_hint(made, hint)
        return made

    def _switch(self, hint: bool) -> Any:
        made = self.model.new_bool_var("")
        self.model.add_hint(made, hint)
        return made

    def _operation(self, i: int, lines: list[list[Any]]) -> None:
        p = self._p
        if p.fixed[i] >= 0:
            self._s[i], self._e[i] = int(p.fixed_start[i]), int(p.fixed_end[i])
            return
        ready = max(int(p.ready[i]), 0)
        self._s[i] = s = self._whole(ready, self._top, int(self._start[i]), f"s{i}")
        self._e[i] = e = self._whole(ready, self._top, int(self._end[i]), f"e{i}")
        ks = range(p.choice_at[i], p.choice_at[i + 1])
        present = [self._switch(k == self._plan.choice[i]) for k in ks] if len(ks) > 1 else [True]
        if len(ks) > 1:
            self.model.add_exactly_one(present)
        for k, here in zip(ks, present, strict=True):
            self._present[k] = here
            m, work = int(p.choice_machine[k]), int(p.choice_time[k])
            gaps = [(int(a), int(b)) for a, b in zip(
                p.closed_from[p.closed_at[m] : p.closed_at[m + 1]],
                p.closed_to[p.closed_at[m] : p.closed_at[m + 1]], strict=True)
                if b > 0 and a < self._top]  # fmt: skip
            size: Any = work
            if gaps and p.pauses[i]:
                size = self._paused(i, k, here, work, gaps)
            interval = self.model.new_optional_interval_var(s, size, e, here, f"i{k}")
            lines[m].append((i, k, interval))
            if gaps and not p.pauses[i]:
                closed = [self.model.new_fixed_size_interval_var(max(a, 0), b - max(a, 0), "")
                          for a, b in gaps]  # fmt: skip
                self.model.add_no_overlap([interval, *closed])
            free = self._free(m)
            if free > 0:
                self.model.add(s >= free).only_enforce_if(here)

    def _free(self, m: int) -> int:
        p = self._p
        mine = (p.fixed >= 0) & (p.choice_machine[p.fixed] == m)
        return int(p.fixed_end[mine].max()) if mine.any() else 0

    def _paused(self, i: int, k: int, here: Any, work: int, gaps: list[tuple[int, int]]) -> Any:
        """Return the span of an operation that waits through gaps: its work, and the closed time
        between the open stretch in which it begins and that in which it ends."""
        opens = [0, *(b for _, b in gaps)]
        closes = [*(max(a, 0) for a, _ in gaps), self._top]
        before = np.concatenate([[0], np.cumsum([b - max(a, 0) for a, b in gaps])]).tolist()
        size = self._whole(work, self._top, int(self._end[i] - self._start[i]), f"d{k}")
        chosen = k == self._plan.choice[i]
        begins = [self._switch(chosen and a <= self._start[i] < b)
                  for a, b in zip(opens, closes, strict=True)]  # fmt: skip
        ends = [self._switch(chosen and a < self._end[i] <= b)
                for a, b in zip(opens, closes, strict=True)]  # fmt: skip
        s, e = self._s[i], self._e[i]
        for some in (begins, ends):
            self.model.add(sum(some) == here)
        for x, (a, b) in enumerate(zip(opens, closes, strict=True)):
            self.model.add(s >= a).only_enforce_if(begins[x])
            self.model.add(s <= max(b - 1, a)).only_enforce_if(begins[x])
            self.model.add(e >= a + 1).only_enforce_if(ends[x])
            self.model.add(e <= b).only_enforce_if(ends[x])
        closed = sum(c * one for c, one in zip(before, ends, strict=True)) - sum(
            c * one for c, one in zip(before, begins, strict=True)
        )
        self.model.add(size == work + closed).only_enforce_if(here)
        return size

    def _setups(self, m: int, line: list[tuple[int, int]]) -> None:
        """Have the machine's operations follow each other with set-ups between."""
        p, row, arcs = self._p, int(self._p.setup_of[m]), []
        mine = np.flatnonzero((p.fixed >= 0) & (p.choice_machine[p.fixed] == m))
        last = int(mine[np.argmax(p.fixed_start[mine])]) if mine.size else -1
        first_family = int(p.first_family[m] if last < 0 else p.family[last])
        free, previous = self._free(m), self._plan.previous
        chosen = [(i, k) for i, k in line if k == self._plan.choice[i]]
        empty = self._switch(not chosen)
        arcs.append((0, 0, empty))
        for x, (i, k) in enumerate(line, 1):
            here, on = self._present[k], k == self._plan.choice[i]
            if here is not True:
                arcs.append((x, x, ~here))
            setup = int(p.setup[row, first_family, p.family[i]])
            first = self._switch(on and previous[i] in (-1, last))
            arcs += [(0, x, first), (x, 0, self._switch(on and self._plan.following[i] < 0))]
            self.model.add(self._s[i] >= free + setup).only_enforce_if(first)
            self._pay(first, setup)
            for y, (j, other) in enumerate(line, 1):
                if j == i:
                    continue
                setup = int(p.setup[row, p.family[i], p.family[j]])
                follows = self._switch(on and other == self._plan.choice[j] and previous[j] == i)
                arcs.append((x, y, follows))
                self.model.add(self._s[j] >= self._e[i] + setup).only_enforce_if(follows)
                self._pay(follows, setup)
        self.model.add_circuit(arcs)

    def _pay(self, switch: Any, setup: int) -> None:
        if setup:
            self._paid.append((switch, setup))

    def _order_of_jobs(self) -> None:
        p = self._p
        for i in range(len(p.job)):
            for x in range(p.before_at[i], p.before_at[i + 1]):
                if p.fixed[i] < 0:
                    self.model.add(self._s[i] >= self._e[p.before[x]])

    def _objective(self) -> None:
        p = self._p
        factor = _SCALE / max(float(p.weights.max()) * max(float(p.weight.max()), 1.0), 1e-9)
        terms = list[Any]()
        last = self._whole(0, self._top, int(self._end.max()), "last")
        for i in range(len(p.job)):
            self.model.add(last >= self._e[i])
        terms.append(round(factor * p.weights[1]) * last)
        done = np.full(len(p.due), -NEVER)
        np.maximum.at(done, p.job, self._end)
        for j in np.flatnonzero((p.due < NEVER) & (p.weight > 0)) if p.weights[0] > 0 else ():
            due = int(p.due[j])
            late = self._whole(0, max(self._top - due, 0) + 1, max(int(done[j]) - due, 0), f"l{j}")
            for i in np.flatnonzero(p.job == j).tolist():
                self.model.add(late >= self._e[i] - due)
            terms.append(round(factor * p.weights[0] * p.weight[j]) * late)
        if p.weights[2] > 0:
            terms += [round(factor * p.weights[2]) * s * switch for switch, s in self._paid]
        self.model.minimize(sum(terms))

    def read(
        self, value: Callable[[Any], int], is_true: Callable[[Any], bool]
    ) -> tuple[Ints, Ints]:
        """Return starts and choices (n,) of a solution."""
        p, n = self._p, len(self._p.job)
        start, choice = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for i in range(n):
            if p.fixed[i] >= 0:
                start[i], choice[i] = p.fixed_start[i], p.fixed[i]
                continue
            start[i] = value(self._s[i])
            for k in range(p.choice_at[i], p.choice_at[i + 1]):
                if self._present[k] is True or is_true(self._present[k]):
                    choice[i] = k
        return start, choice
