"""What people want of a controller: targets, weights, horizon; read from the settings of a loop.

model         the model it predicts with: linear (see `model`), or a behaviour (see `nonlinear`)
targets       {output: {"value": 120.0, "weight": 1.0}}
rest          {handle: {"value": 40.0, "weight": 0.01}}: where it best stands
move_weight   a number, or {handle: number}: how dear moves are (0.1)
horizon       periods that are foreseen (40); blocks: at which of them handles may move
approach_h    in which time a target is approached; 0: as fast as the weights allow
reads         "mean" or "last": which reading of a period is controlled
noise         deviation of a reading, as a share of what the handles can do to it (0.02)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Floats, Problem

__all__ = ["Wishes", "wishes_of"]

_KEYS = {"model", "targets", "rest", "move_weight", "horizon", "blocks", "approach_h", "reads",
         "noise"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wishes:
    """target, track (p,): values and weights of the outputs, weight 0 where nothing is wanted;
    rest, ease (m,): the same of the handles; move (m,): weights of moves."""

    target: Floats
    track: Floats
    rest: Floats
    ease: Floats
    move: Floats
    horizon: int
    blocks: tuple[int, ...]
    approach_h: float
    reads: str
    noise: float


def wishes_of(
    problem: Problem, settings: Mapping[str, Any], outputs: Sequence[str], more: set[str]
) -> Wishes:
    """Return what the settings want of these outputs; `more` are keys that somebody else reads."""
    if unknown := set(settings) - _KEYS - more:
        raise Refused(
            f"a controller has no setting {sorted(unknown)}", code="mpc.settings",
            hint=f"Known are {', '.join(sorted(_KEYS | more))}",
        )  # fmt: skip
    handles = [one.key for one in problem.handles]
    target, track = _pairs(settings.get("targets", {}), outputs, "targets")
    rest, ease = _pairs(settings.get("rest", {}), handles, "rest")
    if not (track > 0).any():
        raise Refused("a controller without a target", hint="Give targets", code="mpc.targets")
    horizon = int(_number(settings, "horizon", 40, 2, 500))
    starts = tuple(int(each) for each in settings.get("blocks", ()))
    if starts and (starts[0] != 0 or sorted(set(starts)) != list(starts) or starts[-1] >= horizon):
        raise Refused(f"blocks at {starts} do not rise from 0 within the horizon",
                      code="mpc.blocks")  # fmt: skip
    reads = str(settings.get("reads", "mean"))
    if reads not in ("mean", "last"):
        raise Refused(f"reads is '{reads}'", hint="Take 'mean' or 'last'", code="mpc.reads")
    return Wishes(
        target, track, rest, ease, _moves(settings.get("move_weight", 0.1), handles), horizon,
        starts, _number(settings, "approach_h", 0.0, 0.0, 1e6), reads,
        _number(settings, "noise", 0.02, 1e-6, 10.0),
    )  # fmt: skip


def _pairs(told: Any, keys: Sequence[str], what: str) -> tuple[Floats, Floats]:
    """Return values (NaN where none) and weights of a mapping by key."""
    if not isinstance(told, Mapping) or (unknown := set(told) - set(keys)):
        names = sorted(unknown) if isinstance(told, Mapping) else [told]
        raise Refused(f"{what} of {names}, which this loop does not have", code="mpc.unknown",
                      hint=f"Known are {', '.join(keys)}")  # fmt: skip
    value, weight = np.full(len(keys), np.nan), np.zeros(len(keys))
    for key, pair in told.items():
        at = list(keys).index(key)
        if not isinstance(pair, Mapping) or not set(pair) <= {"value", "weight"}:
            raise Refused(f"{what} of '{key}': give a value and a weight", code="mpc.settings")
        value[at] = _number(pair, "value", np.nan, -np.inf, np.inf)
        weight[at] = _number(pair, "weight", 1.0, 0.0, 1e6)
    return value, weight


def _moves(told: Any, handles: Sequence[str]) -> Floats:
    if isinstance(told, Mapping):
        if unknown := set(told) - set(handles):
            raise Refused(f"move_weight of {sorted(unknown)}, which are no handles",
                          code="mpc.unknown")  # fmt: skip
        return np.array([_number(told, key, 0.1, 1e-6, 1e6) for key in handles])
    return np.full(len(handles), _number({"move_weight": told}, "move_weight", 0.1, 1e-6, 1e6))


def _number(told: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = told.get(key, default)
    good = isinstance(value, int | float) and np.isfinite(value) and low <= value <= high
    if not good:
        raise Refused(f"'{key}' is {value!r}", hint=f"Give a number from {low:g} to {high:g}",
                      code="mpc.settings")  # fmt: skip
    return float(value)
