"""Fit: a behaviour's parameters from history, each with how well the history knows it.

Output error: the machine is simulated from its start and compared with what was measured (L. Ljung:
System Identification, ch. 7 and 16). Rules: every residual counts in standard deviations of its
sensor, a large one only linearly (P. Huber, Ann. Math. Stat. 35 (1964) 73); residuals of one output
may hang together in time, which widens the intervals (they are white noise and a first-order
process); what the history cannot tell is named, its deviation infinite. The last fifth is never
fitted, only predicted.
"""

import itertools
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import stdtrit

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.compiled import compile_behaviour
from lineshaft.rooms.twins.engine.simulate import simulate_each

__all__ = ["Fitted", "fit"]

Floats = NDArray[np.float64]

_HUBER: Final = 2.0
_CLIPPED: Final = 0.9205  # variance of a standard normal that is clipped there
_SCREENED: Final = 600  # rows on which starts are compared
_SHAPE: Final = 0.1  # of the noise: what hangs together in time is more than chance
_DELAYS: Final = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0)  # in sample periods
_TURNS: Final = 8  # outliers spoil the first estimate of what is large
_FEWEST: Final = 20
_MOST_STEPS: Final = 1e6
_SINGULAR: Final = 1e-5  # differences know a derivative to about 1e-7
_PRIOR: Final = 1e-4  # of a start in its spreads: just enough to hold what is never seen
_MAD: Final = 1.4826


@dataclass(frozen=True, slots=True)
class Fitted:
    """Parameters `(k,)` in the form's order, `sigma` their standard deviations (0 where not
    fitted), `low` and `high` of the 95 % interval, `unknown` the names of those that the history
    cannot tell (sigma infinite). By state: `start` and `walks`, the random walk per √s. By output:
    `noises` of the sensors, and of the simulation `rmse`, on the last fifth `rmse_held`, `r2`."""

    parameters: Floats
    sigma: Floats
    low: Floats
    high: Floats
    unknown: tuple[str, ...]
    start: Floats
    walks: Floats
    noises: Floats
    rmse: Floats
    rmse_held: Floats
    r2: Floats


def fit(
    behaviour: Behaviour, times_s: Floats, u: Floats, y: Floats, start: Floats,
    free: Collection[str] | None = None,
) -> Fitted:  # fmt: skip
    """Return the parameters under which the machine does what was measured.

    `times_s (T,)` ascending, `u (T, m)` inputs from each time on (NaN: as before), `y (T, r)`
    outputs (NaN: none), `start (k,)` parameters to begin with, `free` names of those to fit (all
    that the form allows). Raises Refused where the history fits nothing.
    """
    task = _Task(behaviour, behaviour.checked(start), *_series(behaviour, times_s, u, y), free)
    theta = _settle(task, _screen(task))
    if _has_shape(task, theta):
        theta = _settle(task, _roam(task, theta, 2.0))
    theta = _canonical(task, theta)
    sigma, left, noises, walks = _certainty(task, theta)
    k = len(task.free)
    with np.errstate(over="ignore"):
        reach = stdtrit(left, 0.975) * np.minimum(sigma, 1e300)
        sides = [task.split(theta + sign * np.pad(reach, (0, len(theta) - k)))[0]
                 for sign in (-1.0, 1.0)]  # fmt: skip
    parameters, x0 = task.split(theta)
    deviations = np.zeros(parameters.size)
    deviations[task.free] = sigma * np.where(task.is_log, parameters[task.free], 1.0)
    is_vague = deviations > np.where(task.low > 0, parameters, (task.high - task.low) / 4)
    deviations[is_vague] = math.inf
    unknown = tuple(behaviour.parameters[i].name for i in np.flatnonzero(is_vague))
    if len(unknown) == k:
        raise Refused(f"this history of '{behaviour.name}' cannot tell {', '.join(unknown)}: "
                      "not identifiable", code="twin.fit",
                      hint="Take a period in which the inputs move")  # fmt: skip
    return Fitted(
        parameters, deviations, np.where(is_vague, task.low, np.maximum(sides[0], task.low)),
        np.where(is_vague, task.high, np.minimum(sides[1], task.high)), unknown, x0, walks, noises,
        *task.errors(theta),
    )  # fmt: skip


def _settle(task: "_Task", theta: Floats) -> Floats:
    """Return the minimum next to here, with the deviations that belong to it."""
    theta = task.search(theta, 60)[1]
    for _ in range(_TURNS):
        before = task.scale
        task.rescale(theta)
        theta = task.search(theta, 60)[1]
        if (np.abs(task.scale / before - 1.0) < 0.01).all():
            break
    return theta


def _canonical(task: "_Task", theta: Floats) -> Floats:
    """Return the minimum that the form prefers to this one, as both show the same; this one where
    that would move what is not fitted."""
    found, x0 = task.split(theta)
    preferred = found if task.behaviour.canonical is None else task.behaviour.canonical(found)
    moved = np.flatnonzero(preferred != found)
    if not moved.size or not np.isin(moved, task.free).all():
        return theta
    return task.search(task.joined(preferred, x0), 60)[1]  # the states at the start follow


def _series(
    behaviour: Behaviour, times: Floats, u: Floats, y: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the history as the simulation takes it: every input held, no infinite output."""
    ports = (len(behaviour.inputs), len(behaviour.outputs))
    if u.shape != (times.size, ports[0]) or y.shape != (times.size, ports[1]):
        raise Refused(f"'{behaviour.name}' has {ports[0]} inputs and {ports[1]} outputs; the "
                      f"history has {u.shape} and {y.shape} for {times.size} times",
                      code="twin.fit")  # fmt: skip
    if not (np.isfinite(times).all() and (np.diff(times) >= 0).all()):
        raise Refused("the history's times do not ascend", code="twin.fit")
    if (np.isfinite(y).any(axis=1)).sum() < _FEWEST or times[-1] <= times[0]:
        raise Refused(f"a fit needs at least {_FEWEST} rows of outputs", code="twin.fit",
                      hint="Take a longer period")  # fmt: skip
    if (times[-1] - times[0]) / behaviour.longest_s > _MOST_STEPS:
        raise Refused("the history is too long to be simulated", code="twin.fit",
                      hint="Take a shorter period")  # fmt: skip
    known = np.where(np.isfinite(u), np.arange(times.size)[:, None], -1)
    last = np.maximum.accumulate(known, axis=0)
    held = np.where(last >= 0, np.take_along_axis(u, np.maximum(last, 0), 0), behaviour.resting())
    outputs = np.where(np.isfinite(y), y, np.nan)
    return np.ascontiguousarray(times, float), np.ascontiguousarray(held), outputs


class _Task:
    """What is fitted: `theta` holds the free parameters, positive ones as logarithms, then the
    states at the start."""

    def __init__(
        self, behaviour: Behaviour, base: Floats, times: Floats, u: Floats, y: Floats,
        free: Collection[str] | None,
    ) -> None:  # fmt: skip
        form = behaviour.parameters
        wanted = {one.name for one in form if one.is_fitted} if free is None else set(free)
        if not wanted or wanted - {one.name for one in form}:
            raise Refused(f"'{behaviour.name}' has no such parameters to fit: "
                          f"{', '.join(sorted(wanted))}", code="twin.fit")  # fmt: skip
        self.behaviour, self.base, self.times, self.u, self.y = behaviour, base, times, u, y
        self.free = np.array([i for i, one in enumerate(form) if one.name in wanted])
        self.low = np.array([one.low for one in form])
        self.high = np.array([one.high for one in form])
        self.is_log = self.low[self.free] > 0
        self.delays = np.array(behaviour.delays(), np.int64)
        self.kernels = compile_behaviour(behaviour)
        self.window = slice(0, max(_FEWEST, times.size * 4 // 5))
        self.kept = np.isfinite(y[self.window])
        states = behaviour.states
        # States at the start are held, by very little, to what the form says.
        self.least = self.joined(self.low, np.array([one.low for one in states]))
        self.most = self.joined(self.high, np.array([one.high for one in states]))
        self.rest = self.joined(base, behaviour.start())
        held = _PRIOR / np.array([one.spread for one in states])
        self.pull = np.append(np.zeros(len(self.free)), held)
        middle = [np.median(column[kept]) if kept.any() else 0.0
                  for column, kept in zip(y[self.window].T, self.kept.T, strict=True)]  # fmt: skip
        self.scale = self._deviation(y[self.window] - np.array(middle))

    def split(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return all parameters and the states at the start."""
        found, k = self.base.copy(), len(self.free)
        found[self.free] = np.where(self.is_log, np.exp(np.where(self.is_log, theta[:k], 0.0)),
                                    theta[:k])  # fmt: skip
        return found, np.ascontiguousarray(theta[k:])

    def joined(self, parameters: Floats, x0: Floats) -> Floats:
        """Return the theta of parameters and states."""
        own = parameters[self.free]
        return np.append(np.where(self.is_log, np.log(np.where(self.is_log, own, 1.0)), own), x0)

    def run(self, thetas: Floats, rows: slice) -> tuple[Floats, Floats]:
        """Return the outputs (S, T, r) of simulations from `thetas (S, ...)` in these rows, and the
        states (T, n) of the last."""
        pairs = [self.split(theta) for theta in thetas]
        parameters, x0 = (np.array(column) for column in zip(*pairs, strict=True))
        times = self.times[rows]
        states = np.empty((times.size, x0.shape[1]))
        outputs = np.empty((len(pairs), times.size, self.y.shape[1]))
        simulate_each(self.kernels.advance, self.kernels.measure, x0, parameters, times,
                      self.u[rows], self.delays, self.behaviour.longest_s, states,
                      outputs)  # fmt: skip
        return outputs, states

    def wrong(self, theta: Floats, rows: slice) -> Floats:
        """Return what was measured less what is simulated, (T, r)."""
        return np.asarray(self.y[rows] - self.run(theta[None], rows)[0][0])

    def residuals(self, thetas: Floats) -> Floats:
        """Return for each theta, output by output, how many deviations the simulation is off."""
        found = (self.y[self.window] - self.run(thetas, self.window)[0]) / self.scale
        flat = found.transpose(0, 2, 1)[:, self.kept.T]  # a simulation may not be finite either
        return np.clip(np.nan_to_num(flat, nan=1e6), -1e6, 1e6)

    def slopes(self, theta: Floats) -> Floats:
        """Return how residuals change with theta, by differences."""
        steps = 1e-7 * np.maximum(np.abs(theta), 1.0)
        found = self.residuals(np.vstack([theta, theta + np.diag(steps)]))
        return np.asarray((found[1:] - found[0]).T / steps)

    def search(self, theta: Floats, most: int) -> tuple[float, Floats]:
        """Return the least robust cost found from here in `most` steps, and its theta.

        Reweighted least squares with Levenberg and Marquardt's damping; a theta at a bound that
        wants to leave stays (normal equations, as few unknowns face thousands of residuals).
        """
        theta = np.clip(theta, self.least, self.most)
        cost, damping = self.cost(theta), 1e-3
        for _ in range(most):
            off, slopes = self.residuals(theta[None])[0], self.slopes(theta)
            weighted = slopes * np.minimum(1.0, _HUBER / np.maximum(np.abs(off), _HUBER))[:, None]
            normal = weighted.T @ slopes + np.diag(self.pull**2)
            descent = -(weighted.T @ off) - self.pull**2 * (theta - self.rest)
            moves = ~((theta <= self.least) & (descent < 0) | (theta >= self.most) & (descent > 0))
            normal, size = normal[np.ix_(moves, moves)], np.diag(normal)[moves]
            before = cost
            while damping < 1e9:
                damped = normal + np.diag(damping * size + 1e-12 * size.max(initial=1e-12))
                other = theta.copy()
                other[moves] += np.linalg.solve(damped, descent[moves])
                other = np.clip(other, self.least, self.most)
                reached = self.cost(other)
                if reached < cost:
                    theta, cost, damping = other, reached, damping / 8
                    break
                damping *= 4
            if not cost < before * (1 - 1e-9):
                break
            damping = max(damping, 1e-9)
        return cost, theta

    def cost(self, theta: Floats) -> float:
        """Return half the sum of squares, large residuals counted linearly."""
        off = np.abs(self.residuals(theta[None])[0])
        near = np.minimum(off, _HUBER)
        pulled = (theta - self.rest) * self.pull
        return float((near * (off - near / 2)).sum() + pulled @ pulled / 2)

    def rescale(self, theta: Floats) -> None:
        """Take the deviations of the residuals here for those of the sensors."""
        self.scale = self._deviation(self.wrong(theta, self.window))

    def _deviation(self, errors: Floats) -> Floats:
        found = np.ones(errors.shape[1])
        for r, column in enumerate(errors.T):
            if (known := np.isfinite(column)).any():
                least = 1e-9 * np.abs(self.y[self.window][known, r]).max() + 1e-12
                found[r] = max(_MAD * float(np.median(np.abs(column[known]))), least)
        return found

    def errors(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return rmse of the fitted and of the held-out rows, and r² of the latter."""
        off, cut = self.wrong(theta, slice(None)), self.window.stop
        found = np.full((3, off.shape[1]), math.nan)
        for r, column in enumerate(off.T):
            known = np.isfinite(column)
            fitted, held = column[:cut][known[:cut]], column[cut:][known[cut:]]
            found[0, r] = math.sqrt((fitted @ fitted) / max(fitted.size, 1))
            if held.size:
                shown = self.y[cut:, r][known[cut:]]
                found[1, r] = math.sqrt(held @ held / held.size)
                found[2, r] = 1.0 - found[1, r] ** 2 / max(float(shown.var()), 1e-300)
        return found[0], found[1], found[2]


def _screen(task: _Task) -> Floats:
    """Return the best of a few starts, judged where the inputs move most."""
    whole, kept, rows = task.window, task.kept, task.window.stop
    if rows > _SCREENED:
        size = task.u.std(axis=0) + 1e-300
        moved = np.cumsum(np.abs(np.diff(task.u[:rows], axis=0, prepend=task.u[:1])) / size, axis=0)
        at = int(np.argmax((moved[_SCREENED:] - moved[:-_SCREENED]).sum(axis=1)))
        if kept[at : at + _SCREENED].sum() >= _FEWEST:
            task.window = slice(at, at + _SCREENED)
            task.kept = kept[task.window]
    best = _roam(task, task.joined(task.base, task.behaviour.start()), 5.0)
    if task.window.start:
        best[len(task.free) :] = task.behaviour.start()
    task.window, task.kept = whole, kept
    return best


def _roam(task: _Task, theta: Floats, factor: float) -> Floats:
    """Return the best that is found from here and around: from the form's own state, over dead
    times, and, while what is left has a shape, with each positive parameter by a factor less and
    more."""
    k, period = len(task.free), float(np.median(np.diff(task.times)))
    tries = [theta, np.append(theta[:k], task.behaviour.start())]
    for place in np.flatnonzero(np.isin(task.free, task.delays)):
        for n in _DELAYS:
            tries.append(theta.copy())
            tries[-1][place] = n * period
    cost, best = min((task.search(one, 12) for one in tries), key=lambda pair: pair[0])
    for place, sign in itertools.product(np.flatnonzero(task.is_log), (-1.0, 1.0)):
        if not _has_shape(task, best):
            break
        other = np.append(best[:k], task.behaviour.start())
        other[place] += sign * math.log(factor)
        cost, best = min((cost, best), task.search(other, 12), key=lambda pair: pair[0])
    return best


def _has_shape(task: _Task, theta: Floats) -> bool:
    """Say whether residuals hang together in time: the machine wanders, or this is no minimum but
    a hollow on the way."""
    return any(slow > _SHAPE * white for _, white, slow, _ in _colours(task, theta))


def _certainty(task: _Task, theta: Floats) -> tuple[Floats, float, Floats, Floats]:
    """Return the deviations of the free part of theta, how many independent residuals are left to
    tell them, the sensors' noises and the states' walks (the sandwich estimator of M-estimates,
    Huber 1964, with the residuals' covariance)."""
    here, slopes = task.residuals(theta[None])[0], task.slopes(theta)
    size = np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    slopes /= size
    inner = slopes * (np.abs(here) < _HUBER)[:, None]
    lengths, axes = np.linalg.svd(inner.T @ inner, hermitian=True)[1:]
    is_seen = lengths > _SINGULAR**2 * lengths[0]
    inverse = (axes[is_seen].T / lengths[is_seen]) @ axes[is_seen]
    spread, independent = np.zeros_like(inverse), 0.0
    noises, walks = np.array([port.noise for port in task.behaviour.outputs]), []
    for r, (rows, white, slow, kept) in enumerate(_colours(task, theta)):
        own = slopes[rows]
        carried = slow * (1.0 + kept) / (1.0 - kept)
        independent += (rows.stop - rows.start) * (white + slow) / max(white + carried, 1e-300)
        past = own.T @ lfilter([1.0], [1.0, -kept], own, axis=0)
        spread += white * own.T @ own + slow * (past + past.T - own.T @ own)
        if rows.stop > rows.start:
            noises[r] = task.scale[r] * math.sqrt(max(white, 1e-6) / _CLIPPED)
        walks.append(slow * (1.0 - kept * kept) * task.scale[r] ** 2)
    left = max(independent - theta.size, 1.0)
    sigma = np.sqrt(np.diag(inverse @ spread @ inverse) * (left + theta.size) / left) / size
    sigma[(np.abs(axes[~is_seen]) > 0.1).any(axis=0)] = math.inf
    return sigma[: len(task.free)], left, noises, _walks(task, theta, noises, np.array(walks))


def _colours(task: _Task, theta: Floats) -> list[tuple[slice, float, float, float]]:
    """Return for each output where its residuals are, and their colour."""
    here = np.clip(task.residuals(theta[None])[0], -_HUBER, _HUBER)
    ends = [0, *np.cumsum(task.kept.sum(axis=0)).tolist()]
    places = [slice(*pair) for pair in itertools.pairwise(ends)]
    return [(rows, *_colour(here[rows])) for rows in places]


def _colour(psi: Floats) -> tuple[float, float, float]:
    """Return the variances of white noise and of a first-order process in a series, and how much
    of the latter is kept from row to row."""
    if psi.size < _FEWEST:
        return 1.0, 0.0, 0.0
    lags = np.array([psi[: psi.size - i] @ psi[i:] / psi.size for i in range(6)])
    kept = min(max(lags[2:].sum() / max(lags[1:-1].sum(), 1e-300), 0.0), 0.999)
    if lags[1] < 2.0 * lags[0] / math.sqrt(psi.size) or kept == 0.0:
        return float(lags[0]), 0.0, 0.0
    slow = min(lags[1] / kept, 0.98 * lags[0])
    return float(lags[0] - slow), float(slow), float(kept)


def _walks(task: _Task, theta: Floats, noises: Floats, moved: Floats) -> Floats:
    """Return the states' random walks: the form's, times what explains how much the simulation's
    error moves from row to row (`moved`, variances by output), 1 % of the noise at least."""
    states, form = task.run(theta[None], task.window)[1], task.behaviour.states
    x, u = np.median(states, axis=0), np.median(task.u, axis=0)
    own = np.array([one.noise for one in form])
    parameters = task.split(theta)[0]
    shown = np.empty((len(form) + 1, noises.size))
    for i, row in enumerate(shown):
        moving = x.copy()
        if i:
            moving[i - 1] += 1e-4 * form[i - 1].spread
        task.behaviour.measure(moving, u, parameters, row)
    seen = (shown[1:] - shown[0]) / (1e-4 * np.array([[one.spread] for one in form]))
    period = float(np.median(np.diff(task.times)))
    asked = (np.maximum(moved, (0.01 * noises) ** 2) / noises**2).sum() / max(period, 1e-9)
    told = ((seen * own[:, None]) ** 2 / noises**2).sum()
    return np.asarray(own * math.sqrt(asked / told) if told > 0 else own)
