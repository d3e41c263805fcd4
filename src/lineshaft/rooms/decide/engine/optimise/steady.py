"""The steady-state optimiser: it learns a plant from small moves of all handles at once.

Rules: every decision rests on surfaces fitted to the record (see `surface`), so nothing waits for a
plant to settle and nothing that only looks good while it settles is believed; steps stay within a
trust region that grows where the plant did as foretold and shrinks where it did not (A. R. Conn,
N. I. M. Gould and P. L. Toint, "Trust-Region Methods", 2000); limits are kept by the margins of
`watch`; whenever a signal comes near a limit the handles stop, whenever it is past they go back to
the last safe point. A point is called settled only when it was held, without any move, for as long
as the plant needs by its own record, and its objective showed no drift.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lineshaft.rooms.decide.engine.method import Candidate, Floats, Problem, Proposal, View
from lineshaft.rooms.decide.engine.optimise.choose import Bound, Choice, choose
from lineshaft.rooms.decide.engine.optimise.design import probes, turned
from lineshaft.rooms.decide.engine.optimise.modes import START
from lineshaft.rooms.decide.engine.optimise.mover import Mover
from lineshaft.rooms.decide.engine.optimise.record import BLOCK, Record, packed, unpacked
from lineshaft.rooms.decide.engine.optimise.rest import Rest, rest_of
from lineshaft.rooms.decide.engine.optimise.settings import Settings
from lineshaft.rooms.decide.engine.optimise.surface import Surface, find_modes, fit
from lineshaft.rooms.decide.engine.optimise.watch import Watch

__all__ = ["SteadyOptimiser", "make"]

_FIGURES: Final = (
    "phase", "why", "hold", "held", "spent", "radius", "draws", "decisions", "calm", "foretold",
    "fitted", "settle", "first", "searched", "pace", "alarm",
    "close",
)  # fmt: skip
_PLACES: Final = ("centre", "target", "safe", "queue", "fitted_at")
_EDGE: Final = 0.2
"""Share of its margin within which a signal is too near a limit to stay there."""
_UNEASY: Final = 3 * BLOCK
"""Periods near a limit, less those far from all, after which the handles go back."""
_CORNERS: Final = 2
"""Moves of a decision before the next."""
_LEAST_STRIDE, _MOST_STRIDE = 0.01, 0.12
_WIDTH: Final = 1.645
"""Standard deviations of a 90 % interval, one side."""


def make(
    problem: Problem, settings: Mapping[str, Any], seed: int, saved: bytes | None = None
) -> "SteadyOptimiser":
    """Return the method of a loop; Refused where the settings are wrong."""
    made = SteadyOptimiser(problem, Settings.read(settings), seed)
    if saved is not None:
        made.load(saved)
    return made


class SteadyOptimiser:
    """The method (see `method.Method`); phases: observe, explore, improve, hold, settled."""

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        n, m = len(problem.handles), len(problem.limits)
        self._problem, self._settings, self._seed = problem, settings, seed
        self._record = Record(n, 1 + m)
        self._mover = Mover(problem)
        self._watch = Watch(problem, settings.sure)
        self._phase, self._why = "observe", "Watching what the plant does by itself"
        self._centre = np.full(n, np.nan)
        self._target = np.full(n, np.nan)
        self._safe = np.full(n, np.nan)
        self._queue = np.zeros((0, n))
        self._hold, self._held, self._spent = settings.observe, 0, 0
        self._radius, self._draws, self._decisions, self._calm = settings.stride, 0, 0, 0
        self._alarm, self._close = 0, 0
        self._foretold = np.nan
        self._modes, self._searched = START, 0
        self._surfaces: list[Surface | None] = []
        self._fitted, self._fitted_at = 0, self._centre
        self._settle, self._pace = 4 * settings.segment, 1.0
        self._first = np.nan
        self._rests = list[Rest]()
        self._candidates: Sequence[Candidate] = ()

    # --- the contract ------------------------------------------------------------------------

    def step(self, view: View) -> Proposal:
        """See `method.Method`."""
        if not self._mover.see(view.u):
            return self._answer(view, self._mover.raw)
        if not np.isfinite(self._centre).all():
            self._centre = self._target = self._safe = np.clip(self._mover.now, 0, 1)
        outputs = np.append(view.cost, view.y)
        self._record.add(self._mover.now, outputs)
        # It learns by what it moves: of moves that nobody makes it would learn what is not so.
        if view.frozen or view.advice or not np.isfinite(view.u).all():
            return self._answer(view, self._mover.raw)
        near = bool(self._watch.near(view.y, _EDGE).any())
        self._close = self._close + 1 if near else max(0, self._close - 1)
        if self._watch.past(view.y).any() or self._close > _UNEASY:
            self._retreat(view)
        self._advance()
        if self._phase != "observe" and self._must_wait(view):
            return self._answer(view, self._mover.raw)
        return self._answer(view, self._mover.toward(self._target, view.hours, self._pace))

    def save(self) -> bytes:
        """See `method.Method`."""
        state = {
            name: getattr(self, "_" + name)
            for name in _FIGURES
        }  # fmt: skip
        state["modes"] = self._modes
        state["rests"] = [rest.kept() for rest in self._rests]
        state["candidates"] = [
            [c.u.tolist(), c.cost, c.cost_low, c.cost_high, c.why] for c in self._candidates
        ]
        arrays = {"record_" + name: value for name, value in self._record.save().items()}
        arrays |= {name: getattr(self, "_" + name) for name in _PLACES}
        arrays |= {"now": self._mover.now, "raw": self._mover.raw, "moved": self._mover.moved}
        arrays |= {"noise": self._watch.noise, "extra": self._watch.extra}
        return packed(arrays | {"state": np.array(json.dumps(state))})

    def load(self, saved: bytes) -> None:
        """Go on from what `save` gave."""
        kept = unpacked(saved)
        state = json.loads(str(kept["state"]))
        self._modes = tuple((lag, cycle) for lag, cycle in state.pop("modes"))
        self._rests = [Rest.of(one) for one in state.pop("rests")]
        self._candidates = [Candidate(np.array(u), *rest) for u, *rest in state.pop("candidates")]
        for name, value in state.items():
            setattr(self, "_" + name, np.nan if value is None else value)
        self._record.load({k.removeprefix("record_"): v for k, v in kept.items()
                           if k.startswith("record_")})  # fmt: skip
        for name in _PLACES:
            setattr(self, "_" + name, kept[name])
        self._mover.now, self._mover.moved = kept["now"], kept["moved"]
        self._mover.raw = kept["raw"]
        self._watch.noise, self._watch.extra = kept["noise"], kept["extra"]
        if self._fitted:
            self._surfaces = self._fit_all()

    def describe(self) -> dict[str, Any]:
        """See `method.Method`."""
        best = min(self._rests, key=lambda rest: rest.cost, default=None)
        cost = self._surfaces[0] if self._surfaces else None
        keys = [limit.key for limit in self._problem.limits]
        return {
            "phase": self._phase,
            "why": self._why,
            "model_version": self._decisions,
            "settled": self._phase == "settled",
            "settling_hours": self._settle * self._problem.period_h if cost else None,
            "radius": self._radius,
            "best_settled_cost": None if best is None else {
                "cost": best.cost, "low": best.cost - _WIDTH * best.error,
                "high": best.cost + _WIDTH * best.error, "hours": best.hours,
                "u": self._mover.units(np.array(best.x)).tolist()},
            "expected_cost": None if cost is None else {
                "cost": cost.at(self._centre),
                "error": _WIDTH * cost.sure_and_slope(self._centre)[0]},
            "limits_kept": dict(zip(keys, self._watch.margin.tolist(), strict=True)),
            "margins": {key: float(self._watch.room(np.full(len(keys), s.at(self._centre)))[j])
                        for j, (key, s) in enumerate(zip(keys, self._surfaces[1:], strict=False))
                        if s is not None},
        }  # fmt: skip

    # --- what is moved -----------------------------------------------------------------------

    def _must_wait(self, view: View) -> bool:
        """Return whether a signal is so near a limit that handles had better stay for now."""
        moving = not self._mover.there(self._target)
        return moving and self._alarm == 0 and bool(self._watch.near(view.y).any())

    def _retreat(self, view: View) -> None:
        """A limit was passed: keep more distance, go slower, take smaller steps, and go back."""
        self._watch.remember(view.y)
        if self._alarm > 0 or self._phase == "observe":
            return
        close = self._watch.past(view.y) | self._watch.near(view.y, _EDGE)
        past = [one.key for one, over in zip(self._problem.limits, close, strict=True) if over]
        self._alarm, self._close = self._settle, 0
        self._pace = max(0.1, 0.7 * self._pace)
        self._target = self._safe
        if self._phase != "explore":  # there the moves are few and small: it goes on, slower
            self._queue = self._queue[:0]
        self._centre, self._foretold = self._safe, np.nan
        self._radius = max(_LEAST_STRIDE, self._radius / 2)
        self._hold, self._held, self._spent = self._settle, 0, 0
        self._why = f"Back to the last safe point: {', '.join(past)} came too near a limit"

    def _advance(self) -> None:
        """Count the period; where a move has been held for long enough, begin the next."""
        self._spent += 1
        self._alarm = max(0, self._alarm - 1)
        if self._mover.there(self._target):
            self._held += 1
        patience = self._hold + 3 * int(1 / max(float(self._mover.step.min()), 1e-6))
        if self._held < self._hold and self._spent < patience:
            return
        self._held = self._spent = 0
        if len(self._queue):
            self._target, self._queue = self._queue[0], self._queue[1:]
            self._hold = self._segment()
        elif self._phase == "observe":
            self._explore()
        elif self._phase in ("explore", "improve"):
            self._decide()
        else:
            self._judge()

    def _segment(self) -> int:
        """Return for how many periods the next move is held: sometimes short, sometimes long."""
        self._draws += 1
        base = float(np.clip(self._settle / 4, 2 * BLOCK, 2 * self._settings.segment))
        return int(base * self._dice().choice([0.5, 1.0, 1.5]))

    def _dice(self) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._draws])

    # --- what is decided ---------------------------------------------------------------------

    def _explore(self) -> None:
        rows = self._record.rows()
        spread = np.nanstd(rows.out[:, 1:], axis=0) ** 2 + np.nanmean(rows.within[:, 1:], axis=0)
        self._watch.noise = np.sqrt(np.nan_to_num(spread))
        if not self._rests and (begun := self._rest_now(self._settings.observe)) is not None:
            self._rests.append(begun)  # what is found must be better than where it began
        self._phase, self._why = "explore", "Moving all handles a little to learn what they do"
        self._draws += 1
        n = len(self._centre)
        size = np.full(n, self._settings.probe)
        self._queue = probes(self._centre, size, n + 1, self._dice())[: n + 2]
        self._hold = 1

    def _decide(self) -> None:
        """Fit, judge the last step, choose the next centre and the moves round it."""
        self._refit()
        cost = self._surfaces[0]
        if cost is None:
            self._explore()
            return
        if not np.isfinite(self._first):
            self._first = cost.at(self._record.rows().x[0])
        self._trust(cost)
        reach = self._radius * self._reach(cost)
        choice, hoped = self._choose(reach, self._settings.caution), self._choose(reach, 0.0)
        self._tell(cost, choice)
        self._safe = self._centre
        worth = self._worth(cost)
        self._calm = self._calm + 1 if hoped.gain < 2 * worth else 0
        self._foretold = choice.gain
        if choice.gain < worth:  # nothing sure that far away: look closer
            self._radius = max(_LEAST_STRIDE, 0.85 * self._radius)
        self._centre = choice.x
        if self._calm >= 2 or self._radius <= _LEAST_STRIDE:
            self._rest()
            return
        self._phase = "improve"
        self._why = (
            f"A step that should be worth {choice.gain:.4g}, give or take {choice.sure:.2g}"
            if choice.gain > 0
            else f"Learning more here: a step may be worth {hoped.gain:.4g}, but is not sure to"
        )
        self._draws += 1
        size = self._probe(cost)
        corners = probes(self._centre, size, _CORNERS, self._dice())[:_CORNERS]
        self._queue = np.array([turned(c, self._centre, self._bounds()) for c in corners])
        self._pace = self._fit_pace()
        self._hold = 1

    def _rest(self) -> None:
        self._phase, self._why = "hold", "Nothing is moved until the plant has settled"
        self._target, self._queue = self._centre, self._queue[:0]
        self._hold = 2 * max(self._settle, self._settings.segment)

    def _judge(self) -> None:
        """A hold has ended: note what it cost, and settle or look once more."""
        rest = self._rest_now(self._hold // 2)
        if rest is not None and (self._phase == "hold" or not self._rests):
            self._rests.append(rest)
        self._refit()
        cost = self._surfaces[0]
        if cost is None or rest is None:
            return
        if self._phase == "settled":
            if not self._moved_away(rest, cost):
                return
            self._rests, self._why = [], "The plant has changed: looking again"
        best = min(self._rests, key=lambda one: one.cost, default=rest)
        worth = self._worth(cost)
        known = min((one.cost for one in self._rests[:-1]), default=np.inf)
        if self._rests and self._rests[-1].cost > known - worth and self._quiet(cost):
            self._phase, self._why = "settled", "No step is worth making any more"
            self._centre = self._target = np.array(best.x)
            return
        if rest.cost > best.cost + 2 * float(np.hypot(rest.error, best.error)) + worth:
            self._centre = self._safe = np.array(best.x)  # worse than what was known: from there on
        self._phase, self._calm = "improve", 0
        self._radius = max(self._radius, self._settings.stride / 2)
        self._foretold = np.nan
        self._decide()

    def _rest_now(self, periods: int) -> Rest | None:
        """Return the centre with what it cost over the last periods."""
        hours = self._record.periods * self._problem.period_h
        return rest_of(self._record.rows(), max(2, periods // BLOCK), self._centre, hours)

    def _quiet(self, cost: Surface) -> bool:
        """Return whether nothing is hoped for any more, or two looks after a rest found nothing."""
        hoped = self._choose(self._radius * self._reach(cost), 0.0).gain
        return hoped < 2 * self._worth(cost) or len(self._rests) >= 4

    def _moved_away(self, rest: Rest, cost: Surface) -> bool:
        """Return whether a settled plant costs something else than it did."""
        known = min(self._rests, key=lambda one: one.cost)
        gap = abs(rest.cost - known.cost)
        return gap > 5 * float(np.hypot(rest.error, known.error)) and gap > 3 * self._worth(cost)

    def _trust(self, cost: Surface) -> None:
        """Grow or shrink the trust region by how much of what was foretold came true."""
        if not np.isfinite(self._foretold) or self._foretold <= 0:
            return
        came = cost.at(self._safe) - cost.at(self._centre)
        error = cost.sure_of_change(self._centre, self._safe)[0]
        if came + error < 0.3 * self._foretold:
            self._radius = max(_LEAST_STRIDE, 0.6 * self._radius)
        elif came > 0.6 * self._foretold:
            self._radius = min(_MOST_STRIDE, 1.3 * self._radius)

    def _worth(self, cost: Surface) -> float:
        """Return what a step must bring to be worth making."""
        so_far = abs(self._first - cost.at(self._centre)) if np.isfinite(self._first) else 0.0
        return max(self._settings.worth * so_far, 0.05 * cost.error)

    def _choose(self, radius: Floats, caution: float) -> Choice:
        low = np.clip(self._centre - radius, 0, 1)
        high = np.clip(self._centre + radius, 0, 1)
        cost = self._surfaces[0]
        assert cost is not None
        return choose(cost, self._bounds(), self._centre, low, high, caution)

    def _fit_pace(self) -> float:
        """Return the share of the allowed rate at which no signal should come near a limit."""
        before, margin = self._record.rows().x, self._watch.margin / 2
        for pace in (1.0, 0.7, 0.5, 0.35, 0.25, 0.15):
            path = self._path(pace)
            told = [s if s is None else s.ahead(before, path) for s in self._surfaces[1:]]
            inside = [
                bool((one < self._watch.high[j] - margin[j]).all()
                     and (one > self._watch.low[j] + margin[j]).all())
                for j, one in enumerate(told) if one is not None
            ]  # fmt: skip
            if all(inside):
                return pace
        return 0.1

    def _path(self, pace: float) -> Floats:
        """Return the handles block by block on the way to the queued targets, and for a while."""
        x, blocks = self._mover.now, list[Floats]()
        for target in self._queue:
            gap = np.abs(target - x) / (pace * BLOCK * self._mover.step)
            count = max(1, int(np.ceil(gap.max())))
            way = np.linspace(0, 1, count + 1)[1:, None]
            blocks.append(x + way * (target - x))
            blocks.append(np.repeat(target[None, :], max(1, self._settle // (4 * BLOCK)), axis=0))
            x = target
        return np.vstack(blocks)

    def _reach(self, cost: Surface) -> Floats:
        """Return how much further than others each handle may go: the weak ones further."""
        n = len(self._centre)
        effect = np.hypot(cost.slope(self._centre), np.sqrt(np.diag(cost.cov)[1 : n + 1]))
        weak = np.sqrt(np.median(effect) / np.maximum(effect, 1e-12))
        return np.asarray(np.clip(weak, 0.7, 1.5), np.float64)

    def _probe(self, cost: Surface) -> Floats:
        """Return by how much each handle is moved to learn: less as the steps get smaller."""
        size = min(self._settings.probe, 0.5 * self._radius)
        return size * self._reach(cost)

    def _bounds(self) -> list[Bound]:
        """Return all sides of all limits that have a surface."""
        found = list[Bound]()
        margin = self._watch.margin
        for j, surface in enumerate(self._surfaces[1:]):
            if surface is None:
                continue
            if np.isfinite(self._watch.high[j]):
                found.append(Bound(surface, 1.0, float(self._watch.high[j] - margin[j])))
            if np.isfinite(self._watch.low[j]):
                found.append(Bound(surface, -1.0, -float(self._watch.low[j] + margin[j])))
        return found

    def _refit(self) -> None:
        self._decisions += 1
        self._fitted, self._fitted_at = self._record.blocks, self._centre
        if self._fitted > 1.6 * self._searched:
            self._modes, self._searched = find_modes(self._record.rows()), self._fitted
        self._surfaces = self._fit_all()
        cost = self._surfaces[0]
        if cost is not None:
            self._settle = BLOCK * cost.settles()
        for j, surface in enumerate(self._surfaces[1:]):
            if surface is not None:
                self._watch.noise[j] = surface.noise

    def _fit_all(self) -> list[Surface | None]:
        rows, at = self._record.rows(self._fitted), self._fitted_at
        return [fit(rows, j, at, self._modes) for j in range(1 + len(self._problem.limits))]

    def _tell(self, cost: Surface, choice: Choice) -> None:
        """Keep what was weighed, for people."""

        def told(x: Floats, why: str) -> Candidate:
            value, error = cost.at(x), _WIDTH * cost.sure_and_slope(x)[0]
            return Candidate(self._mover.units(x), value, value - error, value + error, why)

        better = choice.gain > self._worth(cost)
        self._candidates = (
            told(choice.x, "chosen: the best point that the trust region and the limits allow"),
            told(self._centre, "left: staying here costs more" if better else
                 "nearly as good: staying here"),
        )  # fmt: skip

    def _answer(self, view: View, u: Floats) -> Proposal:
        cost = self._surfaces[0] if self._surfaces else None
        if cost is None:
            return Proposal(u, self._phase, self._why, candidates=self._candidates)
        y = np.array([np.nan if s is None else s.at(self._target) for s in self._surfaces[1:]])
        return Proposal(u, self._phase, self._why, cost.at(self._target), y, self._candidates)
