"""A method and a plant in one process, at full speed: what benches of the room `decide` share.

The plant is asked for its signals several times a period; the method sees their means, as a loop
would show them, and what it proposes is in force at once, cut to its bounds and rates as the guards
do (`cut` counts how often that was needed). A violation is a period's mean past a limit. What was
found is judged by a hold: handles stay, and the objective's mean over its end counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats, Method, Problem, Proposal, View

__all__ = ["Process", "Told", "drive", "hold"]


class Process(Protocol):
    """A plant as the driver needs it: outputs are the objective, then the limited signals."""

    @property
    def hours(self) -> float:
        """Plant time."""
        ...

    @property
    def trip(self) -> str | None:
        """Why it stopped, None while it runs."""
        ...

    def u(self) -> Floats:
        """Return the handles in force."""
        ...

    def command(self, u: Floats) -> None:
        """Put handles in force."""
        ...

    def period(self) -> Floats:
        """Run one period; return samples `(samples, outputs)`."""
        ...


@dataclass
class Told:
    """What happened: one entry a period."""

    hours: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    u: list[Floats] = field(default_factory=list)
    y: list[Floats] = field(default_factory=list)
    phase: list[str] = field(default_factory=list)
    past: list[Floats] = field(default_factory=list)
    """For each period the limits passed, 1 or 0."""
    cut: int = 0
    trip: str | None = None
    settled_at: float | None = None

    @property
    def violations(self) -> int:
        """Periods in which any limit was passed."""
        return int(sum(bool(one.any()) for one in self.past))


def drive(process: Process, problem: Problem, method: Method, hours: float, *,
          stop: bool = True, freeze: Callable[[Floats], bool] | None = None,
          told: Told | None = None) -> Told:  # fmt: skip
    """Run until `hours` have passed, the plant trips, or (`stop`) the method says settled."""
    told, end = told or Told(), process.hours + hours
    low, high = _limits(problem)
    while process.hours < end - 1e-9 and told.trip is None:
        u = process.u()
        samples = process.period()
        out = np.nanmean(samples, axis=0)
        y = out[1:]
        frozen = freeze is not None and freeze(y)
        view = View(process.hours, u, float(out[0]), y, samples[-1, 1:], frozen)
        told.trip = process.trip
        proposal = method.step(view)
        told.hours.append(process.hours)
        told.cost.append(view.cost)
        told.u.append(u)
        told.y.append(y)
        told.phase.append(proposal.phase)
        told.past.append((y > high) | (y < low))
        if not frozen:
            told.cut += _apply(process, problem, u, proposal.u)
        if proposal.phase == "settled" and told.settled_at is None:
            told.settled_at = process.hours
            if stop:
                break
    return told


def hold(process: Process, problem: Problem, told: Told, settle_h: float, judge_h: float) -> float:
    """Let the handles stay; return the objective's mean over the last `judge_h`, NaN on a trip."""
    begun = len(told.cost)
    still = drive(process, problem, _Still(), settle_h + judge_h, told=told)
    if still.trip is not None:
        return float("nan")
    last = round(judge_h / problem.period_h)
    return float(np.mean(told.cost[max(begun, len(told.cost) - last) :]))


class _Still:
    """A method that moves nothing."""

    def step(self, view: View) -> Proposal:
        return Proposal(view.u, "held", "Nothing is moved")

    def save(self) -> bytes:
        return b""

    def describe(self) -> dict[str, object]:
        return {}


def _limits(problem: Problem) -> tuple[Floats, Floats]:
    low = np.array([-np.inf if one.low is None else one.low for one in problem.limits])
    high = np.array([np.inf if one.high is None else one.high for one in problem.limits])
    return low, high


def _apply(process: Process, problem: Problem, now: Floats, wished: Floats) -> int:
    """Put in force what bounds and rates allow of it; return 1 where something was cut."""
    low = np.array([one.low for one in problem.handles])
    high = np.array([one.high for one in problem.handles])
    step = np.array([one.rate for one in problem.handles]) * problem.period_h
    allowed = np.clip(np.clip(wished, now - step, now + step), low, high)
    allowed = np.where(np.isfinite(allowed), allowed, now)
    process.command(allowed)
    return int(not np.allclose(allowed, np.where(np.isfinite(wished), wished, now), rtol=1e-9))
