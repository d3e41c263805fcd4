"""The process that solves one shop: a search here, a partner on the other core, the best of both.

Rules: standard input brings one line of JSON (shop, schedule to begin at, seconds, seed), standard
output a line for every better schedule and one at the end; every schedule was checked before it is
written, and none costs more than that it began at. The seconds count from when all is compiled.
"""

import json
import multiprocessing
import sys
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import LineshaftError
from lineshaft.rooms.decide.schedule.engine.dispatch import Timed, best_rule
from lineshaft.rooms.decide.schedule.engine.improve import Improve
from lineshaft.rooms.decide.schedule.engine.problem import Compiled, Problem, compile_shop
from lineshaft.rooms.decide.schedule.engine.repair import shifted, sound
from lineshaft.rooms.decide.schedule.kept import schedule_from, schedule_json, shop_from
from lineshaft.rooms.decide.schedule.partner import ASK, FOUND, PROVED, assist

__all__ = ["main"]

_CHUNK_S: Final = 0.05
_TELL_S: Final = 0.25


class _Teller:
    """Writes lines, schedules not too often."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled, self._began, self._last, self._cost = compiled, monotonic_s(), -1.0, np.inf

    def tell(self, best: Timed, method: str, steps: int, done: bool = False, **more: Any) -> None:
        """Say how far it is; with the schedule where it is better than the one told before."""
        now = monotonic_s() - self._began
        better = best[3] < self._cost - 1e-9
        if not done and (not better or now - self._last < _TELL_S):
            return
        body = {"at": round(now, 3), "steps": steps, "done": done, **more}
        schedule = sound(self._compiled.shop, self._compiled.schedule(*best[:3], method))
        body["cost"] = asdict(schedule.cost)
        body["schedule"] = schedule_json(schedule)
        self._last, self._cost = now, best[3]
        print(json.dumps(body), flush=True)


def main() -> None:
    """Solve what standard input describes."""
    try:
        _solve(json.loads(sys.stdin.readline()))
    except LineshaftError as error:
        print(json.dumps({"error": error.as_dict(), "done": True}), flush=True)


def _solve(asked: dict[str, Any]) -> None:
    compiled, seed = compile_shop(shop_from(asked["shop"])), int(asked["seed"])
    begin = best_rule(compiled.problem)[0]
    if asked.get("schedule"):
        old = shifted(compiled, schedule_from(asked["schedule"]))
        begin = old if old[3] <= begin[3] else begin
    search = Improve(compiled.problem, begin, seed)
    search.run(1)  # all is compiled then
    partner = _Partner(compiled.problem, search, seed) if asked.get("partner", True) else None
    teller, chunk = _Teller(compiled), 200
    end = monotonic_s() + float(asked["seconds"])
    teller.tell(search.best, search.method, search.steps)
    while (now := monotonic_s()) < end and not (partner and partner.proved):
        search.run(chunk)
        took = monotonic_s() - now
        chunk = int(np.clip(chunk * _CHUNK_S / max(took, 1e-4), 50, 20_000))
        if partner:
            partner.exchange()
        teller.tell(search.best, search.method, search.steps)
    if partner:
        partner.end()
    proved = bool(partner and partner.proved)
    teller.tell(search.best, search.method, search.steps, done=True, proved=proved)


class _Partner:
    """The other process as this one sees it; one that ended is done without."""

    def __init__(self, p: Problem, search: Improve, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._search, self.proved = search, False
        self._process = context.Process(
            target=assist, args=(theirs, p, *search.ordered(), seed), daemon=True
        )
        self._process.start()
        theirs.close()

    def exchange(self) -> None:
        """Take in what it found, and tell it the best where it asks."""
        try:
            while self._line.poll():
                kind, order, choice = self._line.recv()
                if kind == ASK:
                    self._line.send(self._search.ordered())
                elif kind == FOUND:
                    self._search.offer(order, choice)
                self.proved |= kind == PROVED
        except (EOFError, OSError):
            return

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


if __name__ == "__main__":
    main()
