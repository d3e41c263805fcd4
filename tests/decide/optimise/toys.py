"""Small plants whose optimum is known, for tests of optimisers."""

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats, Handle, Limit, Method, Problem, View

__all__ = ["Bowl", "drive"]


class Bowl:
    """A plant of `n` handles in 0 … 100 that answers slowly: its objective is a bowl of the settled
    handles, less `false` times how fast the first handle's effect still grows, so that a move
    upward looks good until the plant has settled. The limited signal follows the first handle."""

    def __init__(self, n: int = 3, *, seed: int = 0, slow: float = 40.0, false: float = 8.0,
                 noise: float = 0.5, high: float = 70.0) -> None:  # fmt: skip
        dice = np.random.default_rng(seed)
        self.n, self._slow, self._false, self._noise = n, slow, false, noise
        self.best = dice.uniform(25, 60, n)
        self._curve = dice.uniform(0.5, 1.5, n) * 0.02
        self._dice = dice
        self.u = np.full(n, 35.0)
        self._lag = self.u.copy()
        self.shift = 0.0
        self.problem = Problem(
            tuple(Handle(f"h{i}", 0.0, 100.0, 30.0) for i in range(n)),
            (Limit("temperature", high=high),),
            0.1,
        )
        self.hours = 0.0

    def settled(self, u: Floats) -> float:
        """Return the objective that the plant settles at."""
        return float(100.0 + self.shift + self._curve @ (u - self.best) ** 2)

    def period(self) -> View:
        """Run one period and return what is seen of it."""
        before = self._lag
        self._lag = before + (self.u - before) / self._slow
        growing = float(self._lag[0] - before[0]) * self._slow
        noise = self._dice.normal(0, [self._noise, 0.2])
        cost = self.settled(self._lag) - self._false * 0.1 * growing + noise[0]
        y = np.array([self.u[0] + noise[1]])
        self.hours += self.problem.period_h
        return View(self.hours, self.u.copy(), cost, y, y)


def drive(plant: Bowl, method: Method, periods: int) -> list[str]:
    """Run the loop and return the phases."""
    phases = []
    for _ in range(periods):
        proposal = method.step(plant.period())
        plant.u = np.asarray(proposal.u, float)
        phases.append(proposal.phase)
    return phases
