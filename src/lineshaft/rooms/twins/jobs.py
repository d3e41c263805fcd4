"""The jobs that the worker does: fit, learn, futures. Plain functions of what they are given."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine import drift, filters, kept, monitor
from lineshaft.rooms.twins.engine.failures import counted
from lineshaft.rooms.twins.engine.fit import fit
from lineshaft.rooms.twins.engine.runtime import Kind
from lineshaft.rooms.twins.engine.series import Series
from lineshaft.rooms.twins.engine.setup import setup_of
from lineshaft.rooms.twins.engine.watch import Watch
from lineshaft.rooms.twins.engine.whatif import Change, Member, Source, run_futures
from lineshaft.rooms.twins.fmi.shelf import FmuShelf
from lineshaft.rooms.twins.identified import asked_of, futures_of, identify_twin
from lineshaft.rooms.twins.kinds import kind_of
from lineshaft.rooms.twins.model import IDENTIFIED, Asked, Figure, Future, Twin
from lineshaft.rooms.twins.plugins import behaviours

__all__ = ["asked_of", "fit_twin", "identify_twin", "learn_twin", "run_whatif"]

Array = np.ndarray[Any, Any]
_MONITOR_ROWS = 6000


def _scaled(twin: Twin, kind: Kind, values: Array) -> Array:
    """Return signal values `(T, ports)` in the ports' units."""
    scaled = values.copy()
    for column, name in enumerate((*kind.inputs, *kind.outputs)):
        bound = (twin.inputs if column < len(kind.inputs) else twin.outputs).get(name)
        if bound is not None:
            scaled[:, column] = scaled[:, column] * bound.scale + bound.offset
    return scaled


def fit_twin(
    twin: Twin, series: Series, free: Sequence[str] | None
) -> tuple[Twin, Mapping[str, Any]]:
    """Return the twin with figures fitted to history, and how well they fit."""
    if twin.behaviour == IDENTIFIED:
        raise Refused(f"'{twin.name}' has no figures to fit", code="twin.behaviour",
                      hint="Identify it instead")  # fmt: skip
    kind, behaviour = kind_of(twin), behaviours()[twin.behaviour]
    values, m = _scaled(twin, kind, series.values), len(kind.inputs)
    if free is None:
        free = [p.name for p in behaviour.parameters if p.is_fitted
                and not (p.name in twin.parameters and twin.parameters[p.name].is_set)]  # fmt: skip
    figures = dict(twin.parameters)
    # How often a station fails is counted before the rest is fitted, unless a person said it.
    for name, spell in counted(behaviour, series.seconds, values[:, :m]):
        if name not in free and not (name in figures and figures[name].is_set):
            figures[name] = Figure(spell.mean, spell.sigma)
    setup = setup_of(replace(twin, parameters=figures), behaviour)
    found = fit(behaviour, series.seconds, values[:, :m], values[:, m:], setup.parameters, free)
    for index, parameter in enumerate(behaviour.parameters):
        if parameter.name in free:
            sigma = float(found.sigma[index])
            figures[parameter.name] = Figure(
                float(found.parameters[index]), sigma if np.isfinite(sigma) else None
            )
    fitted = replace(
        twin, parameters=figures, trained_from=int(series.wall[0]), trained_to=int(series.wall[-1]),
        starts=_named(kind.states, found.start), walks=_named(kind.states, found.walks),
        noises=_named(kind.outputs, found.noises), healthy=b"",
    )  # fmt: skip
    quality = {
        name: {"rmse": float(a), "rmse_held": float(b), "r2": float(c)}
        for name, a, b, c in zip(kind.outputs, found.rmse, found.rmse_held, found.r2, strict=True)
    }
    return fitted, {"outputs": quality, "unknown": list(found.unknown)}


def _named(names: Sequence[str], values: Array) -> dict[str, float]:
    return {n: float(v) for n, v in zip(names, values, strict=True) if np.isfinite(v)}


def learn_twin(twin: Twin, series: Series, fmus: FmuShelf | None = None) -> Twin:
    """Return the twin knowing how its innovations look in a good period."""
    kind = kind_of(twin, fmus)
    runner = kind.open()
    row, (count, ports) = runner.add(kind.given), series.values.shape
    values = _scaled(twin, kind, series.values)
    at = np.repeat(np.rint(series.seconds * 1e6).astype(np.int64) + 1, ports)
    port = np.tile(np.arange(ports), count)
    heard = np.isfinite(values).ravel()
    found = runner.process(np.full(int(heard.sum()), row), port[heard], at[heard],
                           values.ravel()[heard])  # fmt: skip
    runner.remove(row)
    told = found.flag == filters.ESTIMATED
    channel = port[heard][told] - len(kind.inputs)
    healthy = drift.learn(channel, found.z[told], at[heard][told], len(kind.outputs),
                          bin_us=_bin_us(series))  # fmt: skip
    if not healthy.ready.any():
        raise Refused("that period is too short to learn from", code="twin.learn",
                      hint="Take at least 300 samples of an output over at least 24 times ten "
                           "minutes of plant time")  # fmt: skip
    return replace(
        twin, healthy=kept.to_bytes(healthy), monitor=_monitor(kind, series.seconds, values),
        trained_from=int(series.wall[0]), trained_to=int(series.wall[-1]),
    )  # fmt: skip


def _monitor(kind: Kind, seconds: Array, values: Array) -> bytes:
    """Return what watches all ports of a twin at once; nothing where they do not tell enough."""
    steps = np.diff(seconds)
    step = float(max(np.median(steps[steps > 0]), seconds[-1] / _MONITOR_ROWS))
    ticks = np.arange(0.0, seconds[-1], step)
    at = np.searchsorted(seconds, ticks + 1e-9, "right") - 1
    known = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    held = np.take_along_axis(values, np.maximum.accumulate(known, axis=0), 0)
    try:
        found = monitor.fit(held[at], (*kind.inputs, *kind.outputs))
    except Refused:
        return b""
    return Watch.pack(found, round(step * 1e6))


def _bin_us(series: Series) -> int:
    """Return the bin of time in which a slow drift is looked for: ten minutes, or less where the
    good period has fewer than 48 of those."""
    return int(min(600e6, max(series.seconds[-1] * 1e6 / 48, 1e6)))


def run_whatif(
    asked: Sequence[Asked], futures: Sequence[Future], horizon_s: float, step_s: float,
    count: int, seed: int, share: float,
) -> Mapping[str, Any]:  # fmt: skip
    """Return times and, by future and twin and output, the band in the signals' units."""
    simulated = [one for one in asked if one.twin.behaviour != IDENTIFIED]
    identified = [one for one in asked if one.twin.behaviour == IDENTIFIED]
    fed = {bound.sid: (i, j) for i, one in enumerate(simulated)
           for j, name in enumerate(kind_of(one.twin).outputs)
           if (bound := one.twin.outputs.get(name)) is not None}  # fmt: skip
    members = [_member(one, index, fed) for index, one in enumerate(simulated)]
    answers, times = [], np.arange(math.ceil(horizon_s / step_s) + 1) * step_s
    for future in futures:
        _check_moves(asked, future)
        changes = [c for change in future.changes for c in _changes(simulated, *change)]
        outputs = list[Mapping[str, Any]]()
        if members:
            found = run_futures(members, changes, horizon_s=horizon_s, step_s=step_s, count=count,
                                seed=seed)  # fmt: skip
            outputs += _shown(simulated, found.bands(share))
        for one in identified:
            outputs += futures_of(one, future.changes, times, share)
        answers.append({"name": future.name, "outputs": outputs})
    return {"times": times, "futures": answers}


def _shown(asked: Sequence[Asked], bands: Array) -> list[Mapping[str, Any]]:
    """Return bands `(3, T, outputs)` by twin and output in the signals' units."""
    outputs, column = list[Mapping[str, Any]](), 0
    for one in asked:
        for name in kind_of(one.twin).outputs:
            bound = one.twin.outputs.get(name)
            if bound is not None:
                edges = (bands[:, :, column] - bound.offset) / bound.scale
                low, middle, high = edges if bound.scale > 0 else edges[::-1]
                outputs.append({"twin": one.twin.id, "output": name, "sid": bound.sid,
                                "low": low, "middle": middle, "high": high})  # fmt: skip
            column += 1
    return outputs


def _check_moves(asked: Sequence[Asked], future: Future) -> None:
    """Raise Refused where a change moves no twin of the question."""
    moving = {bound.sid for one in asked for bound in one.twin.inputs.values()}
    for sid in [change[0] for change in future.changes if change[0] not in moving]:
        raise Refused(f"the signal {sid} moves none of these twins", code="twin.whatif",
                      hint="Change a signal that is an input of one of them")  # fmt: skip


def _member(one: Asked, index: int, fed: Mapping[int, tuple[int, int]]) -> Member:
    behaviour = behaviours()[one.twin.behaviour]
    setup, twin = setup_of(one.twin, behaviour), one.twin
    inputs, sources = setup.inputs.copy(), []
    for j, port in enumerate(behaviour.inputs):
        bound = twin.inputs.get(port.name)
        feeding = fed.get(bound.sid) if bound is not None else None
        is_fed = feeding is not None and feeding[0] != index
        sources.append(Source(*feeding) if feeding is not None and is_fed else Source())
        if bound is not None and np.isfinite(one.inputs[j]):
            inputs[j] = one.inputs[j] * bound.scale + bound.offset
    sigma = np.array([twin.parameters[p.name].sigma or 0.0 if p.name in twin.parameters else 0.0
                      for p in behaviour.parameters])  # fmt: skip
    return Member(behaviour, one.x, one.p, setup.parameters, sigma, setup.walk, inputs,
                  tuple(sources))  # fmt: skip


def _changes(
    asked: Sequence[Asked], sid: int, at_s: float, value: float, ramp_s: float
) -> list[Change]:
    """Return a signal's change at every input that it moves."""
    return [
        Change(i, j, at_s, value * bound.scale + bound.offset, ramp_s)
        for i, one in enumerate(asked)
        for j, port in enumerate(behaviours()[one.twin.behaviour].inputs)
        if (bound := one.twin.inputs.get(port.name)) is not None and bound.sid == sid
    ]
