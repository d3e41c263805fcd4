"""Drafts: how a connected machine is looked at, its candidates fitted one by one, and judged.

Rules: plain functions of what they are given, done in the worker: first the look, then a fit for
each candidate, so that others get their turn between and progress can be told; then the judgement.
A candidate whose fit is refused is no error: that one is not proposed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Signal
from lineshaft.rooms.twins.engine.draft.judge import Trial, as_plain, judge, told_of
from lineshaft.rooms.twins.engine.draft.look import Candidate, Look, look
from lineshaft.rooms.twins.engine.draft.ports import Bound, Lines
from lineshaft.rooms.twins.engine.draft.tables import Rows
from lineshaft.rooms.twins.engine.series import Series
from lineshaft.rooms.twins.jobs import fit_twin
from lineshaft.rooms.twins.model import Binding, Figure, Twin
from lineshaft.rooms.twins.plugins import behaviours

__all__ = ["draft_candidate", "draft_judge", "draft_look"]

Array = np.ndarray[Any, Any]
_LINEAR: Final = ("lag",)  # of the library, what a Kalman filter follows exactly


def draft_look(
    base: str, signals: Sequence[Signal], columns: tuple[Array, Array, Array, Array], lines: Lines,
    clocks: Mapping[int, float], speeds: Sequence[int],
) -> Look:  # fmt: skip
    """Return what the signals below a path propose; `columns` are sid, ts, v, q of their rows."""
    rows = Rows.of(*columns)
    return look(base, signals, rows, lines, behaviours(), clocks=clocks, speeds=speeds)


def draft_candidate(candidate: Candidate, clock: int | None) -> Trial | None:
    """Return a candidate with figures fitted to its table; None where that tells nothing."""
    twin = _twin(candidate, clock)
    behaviour = behaviours()[twin.behaviour]
    series = Series(candidate.wall, candidate.seconds, candidate.values)
    try:
        fitted, quality = fit_twin(twin, series, None)
    except Refused:
        return None
    told = told_of(candidate, quality["outputs"], len(behaviour.inputs),
                         [one.name for one in behaviour.outputs])  # fmt: skip
    return Trial(candidate, fitted, told, quality["unknown"])


def _twin(candidate: Candidate, clock: int | None) -> Twin:
    way = candidate.way

    def bound(ports: Mapping[str, Bound], side: str) -> dict[str, Binding]:
        return {name: Binding(one.sid, *candidate.lines[f"{side}.{name}"])
                for name, one in ports.items()}  # fmt: skip

    return Twin(
        "", candidate.name, candidate.machine, way.behaviour,
        "kalman" if way.behaviour in _LINEAR else "unscented",
        bound(way.inputs, "input"), bound(way.outputs, "output"),
        {name: Figure(value) for name, value in candidate.starts.items()}, clock=clock,
    )  # fmt: skip


def draft_judge(
    found: Look, trials: Sequence[Trial], signals: Sequence[Signal]
) -> list[dict[str, Any]]:
    """Return the drafts as the door hands them out, the surest first."""
    drafts = judge(found, trials, behaviours(), {one.sid: one for one in signals})
    return [
        {"twin": one.twin, "confidence": one.confidence, "told": one.told,
         "fields": as_plain(one)}
        for one in drafts
    ]  # fmt: skip
