"""Twins that were identified: how they are learned from history, run and asked.

Rules: the ports of such a twin are its own, by name; their order is that of the alphabet. Its state
at a moment is that of its model over what was heard before, so a model learned later answers for
the past too. Its futures are alone: it feeds no other twin of a question and is fed by none; what
is not changed stays as it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.twins.engine import kept
from lineshaft.rooms.twins.engine.identify import identify
from lineshaft.rooms.twins.engine.linear import follow
from lineshaft.rooms.twins.engine.series import Series
from lineshaft.rooms.twins.engine.state_space import band, model_of
from lineshaft.rooms.twins.engine.whatif import Change, moved
from lineshaft.rooms.twins.model import Asked, Twin

__all__ = ["asked_of", "futures_of", "identify_twin"]

Array = np.ndarray[Any, Any]
_MOST_ROWS: Final = 50_000
_MOST_STEPS: Final = 20_000
_AHEAD, _FURTHEST, _LONGEST_HOLD = 30, 500, 60  # steps


def identify_twin(
    twin: Twin, series: Series, sample_s: float | None, horizon_s: float | None
) -> tuple[Twin, Mapping[str, Any]]:
    """Return the twin with a model of a period, and how good that is on the part held back.

    The step is that of the outputs' samples where `sample_s` is None, the horizon 30 steps.
    """
    inputs, outputs = sorted(twin.inputs), sorted(twin.outputs)
    gaps = [_gaps(series, len(inputs) + column) for column in range(len(outputs))]
    if sample_s is None:
        usual = float(np.median([np.median(gap) for gap in gaps]))
        sample_s = max(usual, float(series.seconds[-1]) / _MOST_ROWS)
    ahead = _AHEAD if horizon_s is None else round(horizon_s / sample_s)
    rows = series.seconds[-1] / sample_s
    if not (1 <= ahead <= _FURTHEST and rows <= _MOST_ROWS):
        raise Refused(
            f"that is {rows:.0f} steps, of which {ahead} ahead are to be foretold",
            code="twin.identify",
            hint=f"At most {_MOST_ROWS} steps and 1 to {_FURTHEST} ahead: choose another step",
        )  # fmt: skip
    hold = np.array([math.ceil(np.quantile(gap, 0.95) / sample_s - 1e-6) for gap in gaps])
    hold = np.clip(hold, 1, _LONGEST_HOLD)
    model, found = identify(
        _sampled(series, sample_s, hold), inputs, outputs,
        sample_us=round(sample_s * 1e6), ahead=ahead, hold=hold,
    )  # fmt: skip
    learned = replace(
        twin, model=kept.to_bytes(model), healthy=b"", trained_from=int(series.wall[0]),
        trained_to=int(series.wall[-1]),
    )  # fmt: skip
    names = ("rmse", "r2", "rmse_ahead", "r2_ahead", "persistence")
    quality = {
        output: {name: float(getattr(found, name)[column]) for name in names}
        for column, output in enumerate(outputs)
    }
    return learned, {"outputs": quality, "states": len(model.a), "sample_s": sample_s,
                     "horizon_s": ahead * sample_s}  # fmt: skip


def _gaps(series: Series, column: int) -> Array:
    """Return the seconds between samples of a column; without two of them, all there are."""
    at = series.seconds[np.isfinite(series.values[:, column])]
    return np.diff(at) if len(at) > 1 else series.seconds[-1:]


def _sampled(series: Series, sample_s: float, hold: Array) -> Array:
    """Return the values at even steps up to the last row: inputs as they stood, outputs (the last
    `len(hold)` columns) for as many steps as they stand."""
    count = int(series.seconds[-1] / sample_s + 1e-6) + 1
    ticks = series.seconds[-1] - sample_s * np.arange(count)[::-1]
    table = np.full((count, series.values.shape[1]), np.nan)
    stands = np.append(np.full(table.shape[1] - len(hold), np.inf), (hold + 1e-6) * sample_s)
    for column, longest in enumerate(stands):
        known = np.flatnonzero(np.isfinite(series.values[:, column]))
        at = series.seconds[known]
        newest = np.searchsorted(at, ticks + 1e-6, "right") - 1
        fresh = newest >= 0
        fresh[fresh] &= ticks[fresh] - at[newest[fresh]] <= longest
        table[fresh, column] = series.values[known[newest[fresh]], column]
    return table


def asked_of(twin: Twin, series: Series | None) -> Asked:
    """Return a twin as what was heard up to a moment shows it (None: nothing was)."""
    model = model_of(twin)
    n, m = len(model.a), len(model.inputs)
    if series is None or series.seconds[-1] <= 0:
        return Asked(twin, np.zeros(n), np.eye(n), model.centre[:m])
    table = _sampled(series, int(model.sample_us) * 1e-6, model.hold)
    inputs = np.where(np.isfinite(table[-1, :m]), table[-1, :m], model.centre[:m])
    scaled = np.clip((table - model.centre) / model.scale, -1e3, 1e3)
    # One more row, of which nothing is known yet: the state after the newest.
    x, _ = follow(model, np.vstack([scaled, np.full(table.shape[1], np.nan)]))
    return Asked(twin, x[-1], np.zeros((n, n)), inputs)


def futures_of(
    one: Asked, changes: Sequence[tuple[int, float, float, float]], times: Array, share: float
) -> list[Mapping[str, Any]]:
    """Return the band of each output at `times` (s) where the inputs change as told."""
    model, twin = model_of(one.twin), one.twin
    step = int(model.sample_us) * 1e-6
    count = math.ceil(float(times[-1]) / step) + 1
    if count > _MOST_STEPS:
        raise Refused(f"{count} steps of '{twin.name}'", code="twin.whatif",
                      hint=f"At most {_MOST_STEPS}: look less far ahead")  # fmt: skip
    ticks = step * np.arange(1, count + 1)
    u = np.tile(one.inputs, (count, 1))
    for sid, at_s, value, ramp_s in sorted(changes, key=lambda change: change[1]):
        for column, name in enumerate(model.inputs):
            if twin.inputs[name].sid == sid:
                moved(u[:, column], ticks, Change(0, column, at_s, value, ramp_s))
    found = band(model, one.x, u, share, one.p)
    return [
        {"twin": twin.id, "output": name, "sid": twin.outputs[name].sid,
         **{edge: np.interp(times, ticks, getattr(found, edge)[:, column])
            for edge in ("low", "middle", "high")}}
        for column, name in enumerate(model.outputs)
    ]  # fmt: skip
