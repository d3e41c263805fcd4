"""What-if: many futures of machines that feed one another, from one moment on.

Rules: a future is drawn once (what is not known of states and parameters, the random walk of the
states) and then runs without chance; the same seed gives the same futures. Machines are joined
where the output of one is the input of another; such an input has the value of the step before.
A band is what the given share of futures stays within, at each time by itself.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numba import float64, int64, typed, types

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Vector
from lineshaft.rooms.twins.engine.compiled import (
    A1,
    A2,
    A3,
    ADVANCE,
    I1,
    MEASURE,
    compile_behaviour,
    kernel,
)

__all__ = ["Change", "Futures", "Member", "Source", "moved", "run_futures"]

_MOST_STEPS: Final = 20_000
_MOST_VALUES: Final = 40_000_000
_PARTS: Final = 4  # of the futures, each in a thread of its own
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an input comes from: the output (`member`, `output`) of another machine, or, where
    `member` is negative, from outside."""

    member: int = -1
    output: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """A machine as it is known at the moment the futures begin: mean and covariance of its states
    `x (n,)`, `p (n, n)`, parameters with their deviations `(k,)`, random `walk (n,)`, inputs held
    `(m,)` and where each comes from."""

    behaviour: Behaviour
    x: Vector
    p: Array
    parameters: Vector
    sigma: Vector
    walk: Vector
    inputs: Vector
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """From `at_s` on an input from outside has another value, reached along a straight line in
    `ramp_s` seconds."""

    member: int
    input: int
    at_s: float
    value: float
    ramp_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Futures:
    """`times (T,)` s from the beginning; for each member's outputs one after the other `y`
    `(F, T, outputs)`."""

    times: Array
    y: Array

    def bands(self, share: float = 0.9) -> Array:
        """Return the low edge, median and high edge `(3, T, outputs)`."""
        edge = (1 - share) / 2
        # Of few futures the outermost half-ranks are left out, which a quantile that interpolates
        # between the least and the greatest would cut off.
        # As numpy's "weibull" quantiles; sorted along memory, all at once, in half the time.
        futures, *shape = self.y.shape
        ranked = np.sort(np.ascontiguousarray(self.y.reshape(futures, -1).T), axis=1)
        rank = np.clip(np.array([edge, 0.5, 1 - edge]) * (futures + 1) - 1, 0, futures - 1)
        low = np.floor(rank).astype(int)
        high = np.minimum(low + 1, futures - 1)
        found: Array = ranked[:, low] + (rank - low) * (ranked[:, high] - ranked[:, low])
        found[np.isnan(ranked[:, -1])] = np.nan  # sorted last: some future is no number
        return found.T.reshape(3, *shape)


def run_futures(
    members: Sequence[Member], changes: Sequence[Change], *, horizon_s: float, step_s: float,
    count: int, seed: int,
) -> Futures:  # fmt: skip
    """Run `count` futures over `horizon_s` seconds of plant time, shown every `step_s`.

    Raises Refused where that is too much, or a change means an input that another machine feeds.
    """
    steps = math.ceil(horizon_s / step_s)
    outputs = sum(len(member.behaviour.outputs) for member in members)
    if not (0 < steps <= _MOST_STEPS and count > 0):
        raise Refused(f"{steps} steps of a future", code="twin.whatif",
                      hint=f"1 to {_MOST_STEPS}: take longer steps or look less far")  # fmt: skip
    if (steps + 1) * outputs * count > _MOST_VALUES:
        raise Refused("so many futures, steps and machines do not fit into memory",
                      code="twin.whatif", hint="Take fewer futures or longer steps")  # fmt: skip
    times = np.arange(steps + 1) * step_s
    table, column = _table(members, changes, times)
    random = np.random.default_rng(seed)
    layout = _Layout.of(members, column)
    x, p = _drawn(members, count, random)
    walk = np.concatenate([member.walk for member in members]) * math.sqrt(step_s)
    moving = np.flatnonzero(walk > 0)
    noise = random.standard_normal((steps, count, len(moving))) * walk[moving]
    y = np.zeros((count, steps + 1, outputs))
    advance, measure = typed.List.empty_list(ADVANCE), typed.List.empty_list(MEASURE)
    for member in members:
        kernels = compile_behaviour(member.behaviour)
        advance.append(kernels.advance)
        measure.append(kernels.measure)
    held = np.concatenate([member.inputs for member in members])

    def run(some: slice) -> None:
        _run(advance, measure, layout.longest, layout.states, layout.inputs, layout.outputs,
             layout.parameters, layout.link, layout.column, layout.delay, layout.low, layout.high,
             held, table, step_s, x[some], p[some], moving, np.ascontiguousarray(noise[:, some]),
             y[some])  # fmt: skip

    # No future knows of another, and the kernel lets go of the interpreter.
    parts = min(_PARTS, count)
    cuts = np.linspace(0, count, parts + 1).astype(int).tolist()
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(run, [slice(a, b) for a, b in pairwise(cuts)]))
    return Futures(times, y)


def _table(
    members: Sequence[Member], changes: Sequence[Change], times: Array
) -> tuple[Array, Array]:
    """Return the inputs from outside `(T, columns)` and each input's column, -1 where it is fed."""
    columns, where = list[Vector](), list[int]()
    for member in members:
        for value, source in zip(member.inputs, member.sources, strict=True):
            where.append(len(columns) if source.member < 0 else -1)
            if source.member < 0:
                columns.append(np.full(len(times), value))
    first = np.cumsum([0, *(len(member.inputs) for member in members)])
    for change in sorted(changes, key=lambda one: one.at_s):
        index = where[first[change.member] + change.input]
        if index < 0:
            name = members[change.member].behaviour.inputs[change.input].name
            raise Refused(f"the input '{name}' comes from another machine of this question",
                          code="twin.whatif", hint="Change what moves that one")  # fmt: skip
        moved(columns[index], times, change)
    return np.stack(columns, 1) if columns else np.zeros((len(times), 1)), np.array(where)


def moved(column: Vector, times: Array, change: Change) -> None:
    """Write a change into the values `(T,)` of an input at `times`."""
    late = times >= change.at_s
    before = column[late][0] if late.any() else change.value
    since = times[late] - change.at_s
    along = np.minimum(since / change.ramp_s, 1.0) if change.ramp_s > 0 else np.ones(len(since))
    column[late] = before + (change.value - before) * along


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where each member's numbers begin in the joint vectors, and how inputs are fed."""

    longest: Vector
    states: Array
    inputs: Array
    outputs: Array
    parameters: Array
    link: Array
    column: Array
    delay: Array
    low: Vector
    high: Vector

    @classmethod
    def of(cls, members: Sequence[Member], column: Array) -> "_Layout":
        forms = [member.behaviour for member in members]
        outputs = np.cumsum([0, *(len(form.outputs) for form in forms)])
        parameters = np.cumsum([0, *(len(form.parameters) for form in forms)])
        link, delay = list[int](), list[int]()
        for first, member in zip(parameters, members, strict=False):
            for source, late in zip(member.sources, member.behaviour.delays(), strict=True):
                link.append(outputs[source.member] + source.output if source.member >= 0 else -1)
                delay.append(first + late if late >= 0 else -1)
        return cls(
            np.array([form.longest_s for form in forms]),
            np.cumsum([0, *(len(form.states) for form in forms)]),
            np.cumsum([0, *(len(form.inputs) for form in forms)]),
            outputs, parameters,
            np.array(link, np.int64), column.astype(np.int64), np.array(delay, np.int64),
            np.array([state.low for form in forms for state in form.states]),
            np.array([state.high for form in forms for state in form.states]),
        )  # fmt: skip


def _drawn(
    members: Sequence[Member], count: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return states `(F, n)` and parameters `(F, k)` of each future, within their bounds."""
    states, parameters = [], []
    for member in members:
        form = member.behaviour
        # Also of a covariance that is zero in some direction: what is known exactly.
        size, way = np.linalg.eigh(member.p)
        root = way * np.sqrt(np.maximum(size, 0.0))
        x = member.x + random.standard_normal((count, len(member.x))) @ root.T
        low, high = ([getattr(s, edge) for s in form.states] for edge in ("low", "high"))
        states.append(np.clip(x, low, high))
        p = member.parameters + member.sigma * random.standard_normal((count, len(member.sigma)))
        low, high = ([getattr(s, edge) for s in form.parameters] for edge in ("low", "high"))
        parameters.append(np.clip(p, low, high))
    return np.concatenate(states, 1), np.ascontiguousarray(np.concatenate(parameters, 1))


@kernel(types.void(
    types.ListType(ADVANCE), types.ListType(MEASURE), A1, I1, I1, I1, I1, I1, I1, I1, A1, A1,
    A1, A2, float64, A2, A2, I1, A3, A3,
))  # fmt: skip
def _run(
    advance: Any, measure: Any, longest: Any, states: Any, inputs: Any, outputs: Any,
    parameters: Any, link: Any, column: Any, delay: Any, low: Any, high: Any, held: Any,
    table: Any, step_s: float, x: Any, p: Any, moving: Any, noise: Any, y: Any,
) -> None:  # fmt: skip
    # Step by step and machine by machine, so that a function is fetched once for all futures.
    count, steps = y.shape[:2]
    swap, u = np.zeros(x.shape[1]), np.zeros((count, inputs[-1]))
    u[:] = held
    for k in range(steps):
        for i in range(len(advance)):
            a, b, c, d = states[i], states[i + 1], parameters[i], parameters[i + 1]
            g, h = inputs[i], inputs[i + 1]
            step = advance[i]
            pieces = math.ceil(step_s / longest[i]) if step_s > longest[i] else 1
            for f in range(count):
                for j in range(g, h):
                    back = int64(round(p[f, delay[j]] / step_s)) if delay[j] >= 0 else int64(0)
                    if column[j] >= 0:
                        u[f, j] = table[max(k - back - 1, 0), column[j]]
                    elif k > 0:
                        u[f, j] = y[f, max(k - 1 - back, 0), link[j]]
                for _ in range(pieces if k > 0 else 0):
                    step(x[f, a:b], u[f, g:h], p[f, c:d], step_s / pieces, swap[a:b])
                    x[f, a:b] = swap[a:b]
        for f in range(count if k > 0 else 0):
            for s in range(moving.shape[0]):
                at = moving[s]
                x[f, at] = min(max(x[f, at] + noise[k - 1, f, s], low[at]), high[at])
        for i in range(len(measure)):
            a, b, c, d = states[i], states[i + 1], parameters[i], parameters[i + 1]
            g, h, o, q = inputs[i], inputs[i + 1], outputs[i], outputs[i + 1]
            show = measure[i]
            for f in range(count):
                show(x[f, a:b], u[f, g:h], p[f, c:d], y[f, k, o:q])
