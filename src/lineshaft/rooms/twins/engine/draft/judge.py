"""Judge: what the fits say of the candidates, and how sure each line of a draft is.

Rules: confidence is in [0, 1] and comes from the samples. Of candidates that show the same signals,
each counts by what it tells of the part it did not learn from and by what its names say; the share
it has among them, and one more that nobody thought of, is how sure its behaviour is. A figure is as
sure as the chance that the true one lies within a tenth of it. Every line says why.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lineshaft.core.signals import Signal
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.draft.look import PROCESS, Candidate, Look
from lineshaft.rooms.twins.engine.draft.ports import Bound
from lineshaft.rooms.twins.engine.draft.reasons import Reason
from lineshaft.rooms.twins.engine.draft.starts import REFERENCES
from lineshaft.rooms.twins.model import Twin

__all__ = ["Draft", "Line", "Trial", "as_plain", "judge", "told_of"]

_TOLD, _SAID, _NAMED, _PHYSICS = 6.0, 2.5, 1.5, 1.0  # weights of what speaks for a candidate
_NOBODY: Final = 4.0  # what speaks for one that nobody thought of
_NEAR: Final = 0.1  # a figure is right within a tenth
_ENOUGH: Final = 0.3  # a share told that leaves no doubt that an input moves its output
_UNPROVEN: Final = 0.3  # of its confidence is left of one that names alone speak for
_FEWEST_VARIANCE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Trial:
    """What a fit made of a candidate: the twin with its figures, and by output the share of the
    movement that it tells where it did not learn."""

    candidate: Candidate
    twin: Twin
    told: Mapping[str, float]
    unknown: Sequence[str]

    @property
    def share(self) -> float:
        """Mean share told over the outputs."""
        return float(np.mean(list(self.told.values()))) if self.told else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a draft, to be accepted or changed: `name` is name, class, behaviour, clock,
    inputs.PORT, outputs.PORT, parameters.NAME, or signals.SID.unit, .low, .high."""

    name: str
    value: str | float
    unit: str
    confidence: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Draft:
    """A twin proposed, line by line; `told` is the share of the movement it tells."""

    twin: Twin
    confidence: float
    told: float
    lines: Sequence[Line]


def told_of(candidate: Candidate, quality: Mapping[str, Mapping[str, float]], inputs: int,
            names: Sequence[str]) -> dict[str, float]:  # fmt: skip
    """Return by bound output the share of its movement that a fit tells in the last fifth; where it
    stood still there, of a tenth of all its movement."""
    found = dict[str, float]()
    for column, name in enumerate(names):
        values = candidate.values[:, inputs + column]
        known, held = values[np.isfinite(values)], values[len(values) * 4 // 5 :]
        held = held[np.isfinite(held)]
        line = candidate.lines.get(f"output.{name}")
        if line is None or known.size < 2 or held.size < 2:
            continue
        size = max(float(held.var()), _FEWEST_VARIANCE * float(known.var())) * line[0] ** 2
        off = quality[name]["rmse_held"] ** 2
        found[name] = float(np.clip(1.0 - off / max(size, 1e-300), 0.0, 1.0))
    return found


def judge(
    look: Look, trials: Sequence[Trial], behaviours: Mapping[str, Behaviour],
    signals: Mapping[int, Signal],
) -> list[Draft]:  # fmt: skip
    """Return the drafts, the surest first; of those that show the same, all."""
    weights = [math.exp(_evidence(one)) for one in trials]
    drafts = list[Draft]()
    for trial, weight in zip(trials, weights, strict=True):
        rivals = [(w, other) for w, other in zip(weights, trials, strict=True)
                  if other is not trial and _share_outputs(trial, other)]  # fmt: skip
        total = weight + sum(w for w, _ in rivals) + math.exp(_NOBODY)
        sure = weight / total * (_UNPROVEN + (1.0 - _UNPROVEN) * min(1.0, trial.share / _ENOUGH))
        runner = max(rivals, key=lambda pair: pair[0])[1] if rivals else None
        behaviour = behaviours[trial.twin.behaviour]
        lines = [*_heads(look, trial, sure, runner, behaviours), *_ports(trial),
                 *_figures(trial, behaviour), *_signals(look, trial, signals)]  # fmt: skip
        drafts.append(Draft(trial.twin, round(sure, 4), trial.share, lines))
    return sorted(drafts, key=lambda one: (-one.confidence, one.twin.name))


def _evidence(trial: Trial) -> float:
    """Return how much speaks for a candidate."""
    way = trial.candidate.way
    physics = trial.candidate.kind != PROCESS and way.behaviour != "lag"
    bound = [*way.inputs.values(), *way.outputs.values()]
    said = float(np.mean([one.fit for one in bound])) if physics else 0.5
    more = 0.15 * (len(trial.told) - 1)  # one that tells several signals at once
    return (_TOLD * trial.share + _SAID * said + _NAMED * trial.candidate.is_named * physics
            + _PHYSICS * physics + more)  # fmt: skip


def _share_outputs(one: Trial, other: Trial) -> bool:
    mine, theirs = ({bound.sid for bound in trial.candidate.way.outputs.values()}
                    for trial in (one, other))  # fmt: skip
    return bool(mine & theirs)


def _heads(
    look: Look, trial: Trial, sure: float, runner: Trial | None, behaviours: Mapping[str, Behaviour]
) -> list[Line]:
    told, candidate = trial.share, trial.candidate
    if candidate.way.behaviour == "lag" and candidate.is_named:
        kind = Reason("class.word", {"told": told})
        kind_sure = 0.5 + 0.3 * told
    else:
        kind = Reason("class.named" if candidate.is_named else "class.moves", {"told": told})
        kind_sure = 1.0 - (1.0 - sure) * (0.6 if candidate.is_named else 1.0)
    why = Reason("behaviour.alone", {"told": told})
    if runner is not None:
        why = Reason("behaviour", {"told": told, "other": behaviours[runner.twin.behaviour].title,
                                   "otherTold": runner.share})  # fmt: skip
    lines = [
        Line("name", trial.twin.name, "", kind_sure, Reason("name", {})),
        Line("class", candidate.kind, "", kind_sure, kind),
        Line("behaviour", trial.twin.behaviour, "", sure, why),
    ]
    if look.clock is not None:
        lines.append(Line("clock", look.clock[0], "", look.clock[1],
                          Reason("clock", {"share": look.clock[1]})))  # fmt: skip
    return lines


def _ports(trial: Trial) -> list[Line]:
    way = trial.candidate.way
    lines = list[Line]()
    for name, bound in way.inputs.items():
        sure = _fit(bound) * (0.6 + 0.4 * min(1.0, bound.tells / _ENOUGH))
        figures = {"fit": bound.fit, "runner": bound.runner, "tells": bound.tells}
        lines.append(Line(f"inputs.{name}", bound.sid, "", sure, Reason("port.input", figures)))
    for name, bound in way.outputs.items():
        told = trial.told.get(name, 0.0)
        figures = {"fit": bound.fit, "runner": bound.runner, "told": told}
        lines.append(Line(f"outputs.{name}", bound.sid, "", _fit(bound) * (0.5 + 0.5 * told),
                          Reason("port.output", figures)))  # fmt: skip
    return lines


def _fit(bound: Bound) -> float:
    """Return how sure it is that this signal belongs there, and not the next best."""
    margin = min(max((bound.fit - bound.runner + 0.2) / 0.4, 0.0), 1.0)
    return bound.fit * (0.6 + 0.4 * margin)


def _figures(trial: Trial, behaviour: Behaviour) -> list[Line]:
    lines, span = list[Line](), float(trial.candidate.seconds[-1])
    step = span / max(len(trial.candidate.seconds) - 1, 1)
    for form in behaviour.parameters:
        figure = trial.twin.parameters.get(form.name)
        if figure is None:
            continue
        if form.name in REFERENCES.get(behaviour.name, ()):
            known = float(np.isfinite(trial.candidate.values).any(axis=1).mean())
            lines.append(Line(f"parameters.{form.name}", figure.value, form.unit, known,
                              Reason("parameter.reference", {})))  # fmt: skip
        elif figure.sigma is None or form.name in trial.unknown:
            lines.append(Line(f"parameters.{form.name}", figure.value, form.unit, 0.0,
                              Reason("parameter.untold", {})))  # fmt: skip
        else:
            near = _NEAR * abs(figure.value)
            if form.unit == "s" and form.low == 0.0:  # a dead time
                near = max(near, step)
            right = math.erf(near / (max(figure.sigma, 1e-300) * math.sqrt(2.0)))
            lines.append(Line(f"parameters.{form.name}", figure.value, form.unit,
                              right * math.sqrt(trial.share),
                              Reason("parameter", {"sigma": figure.sigma,
                                                   "unit": form.unit})))  # fmt: skip
    return lines


def _signals(look: Look, trial: Trial, signals: Mapping[int, Signal]) -> list[Line]:
    way, lines = trial.candidate.way, list[Line]()
    bound = {one.sid for one in (*way.inputs.values(), *way.outputs.values())}
    for sid in sorted(bound):
        guess, found = look.units.get(sid), look.ranges.get(sid)
        unit = signals[sid].unit or (guess.unit if guess else "")
        if guess is not None:
            code = "unit.written" if guess.is_written else "unit.guessed"
            lines.append(Line(f"signals.{sid}.unit", guess.unit, "", guess.confidence,
                              Reason(code, {})))  # fmt: skip
        if found is not None:
            reason = Reason("range", {"count": found.count, "share": found.confidence})
            for side, have in (("low", signals[sid].low), ("high", signals[sid].high)):
                if have is None:
                    lines.append(Line(f"signals.{sid}.{side}", getattr(found, side), unit,
                                      found.confidence, reason))  # fmt: skip
    return lines


def as_plain(draft: Draft) -> list[dict[str, Any]]:
    """Return the lines as a door hands them out."""
    return [
        {"name": one.name, "value": one.value, "unit": one.unit,
         "confidence": round(min(max(one.confidence, 0.0), 1.0), 4), "why": one.reason.text(),
         "reason": one.reason.code, "figures": dict(one.reason.figures)}
        for one in draft.lines
    ]  # fmt: skip
