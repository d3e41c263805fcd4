"""The second of the two processes that solve: CP-SAT, or another search where that is no help.

Rules: it begins at the plan it is given, takes in what the first process finds, and hands back
orders and choices; what these are worth is decided there. CP-SAT works in slices, each begun at the
best plan there is, all variables hinted; a pure job shop that is too large for it, and any model
that would be, is searched from another seed instead.
"""

from multiprocessing.connection import Connection
from typing import Any, Final

from lineshaft.children import die_with_parent
from lineshaft.rooms.decide.schedule.engine.dispatch import Timed, in_order
from lineshaft.rooms.decide.schedule.engine.improve import Improve
from lineshaft.rooms.decide.schedule.engine.problem import Ints, Problem
from lineshaft.rooms.decide.schedule.engine.pure import pure_of

__all__ = ["ASK", "FOUND", "PROVED", "assist"]

ASK: Final = "ask"
FOUND: Final = "found"
PROVED: Final = "proved"
_LARGE: Final = 250  # operations of a pure job shop that CP-SAT does not get through in time
_SLICES_S: Final = (4.0, 8.0, 16.0, 30.0)
_STEPS: Final = 2000
_CHUNKS: Final = 20


def assist(line: Connection, p: Problem, order: Ints, choice: Ints, seed: int) -> None:
    """Work until the process is ended. Sends (ASK, None, None), which is answered by the best
    (order, choice), (FOUND, order, choice) and (PROVED, None, None)."""
    die_with_parent()
    best = in_order(p, order, choice)
    pure = pure_of(p)
    if pure is None or len(pure.time) <= _LARGE:
        try:
            from lineshaft.rooms.decide.schedule.engine.constraint import Constraint
        except ImportError:  # the extra `schedule` is not installed
            pass
        else:
            solver = Constraint(p)
            if solver.fits:
                _solve(line, p, solver, best, seed)
    _search(line, p, best, seed + 1_000_003)


def _solve(line: Connection, p: Problem, solver: Any, best: Timed, seed: int) -> None:
    """Solve in slices until it is proved that nothing is better; return then."""

    def found(order: Ints, choice: Ints) -> None:
        nonlocal best
        made = in_order(p, order, choice)
        if made[3] < best[3] - 1e-9:
            best = made
            line.send((FOUND, order, choice))

    for number in range(1_000):
        line.send((ASK, None, None))
        best = min(best, in_order(p, *line.recv()), key=lambda one: one[3])
        seconds = _SLICES_S[min(number, len(_SLICES_S) - 1)]
        if solver.solve(best, seconds, seed + number, found):
            line.send((PROVED, None, None))
            return


def _search(line: Connection, p: Problem, best: Timed, seed: int) -> None:
    search = Improve(p, best, seed)
    while True:
        line.send((ASK, None, None))
        search.offer(*line.recv())
        for _ in range(_CHUNKS):
            if search.run(_STEPS):
                line.send((FOUND, *search.ordered()))
