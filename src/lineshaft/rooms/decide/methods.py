"""The ways to decide, by name; each is loaded when a loop first needs it.

Rules: what a method is told is in the signals' own units, the objective with the sign that makes it
small; keys are sids as text, so a method cannot know what a signal is called.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.method import Handle, Limit, Method, Problem
from lineshaft.rooms.decide.model import Loop

__all__ = ["KINDS", "MethodKind", "check_settings", "make_method", "problem_of"]

_ENGINES: Final = "lineshaft.rooms.decide.engine"


@dataclass(frozen=True, slots=True)
class MethodKind:
    """A way to decide: its module below the engine, and what people are told of it; `settings`
    is a module with a class Settings that reads its settings without loading the method."""

    module: str
    title: str
    text: str
    settings: str = ""


KINDS: Final[Mapping[str, MethodKind]] = {
    "optimise": MethodKind(
        "optimise.steady", "Steady-state optimiser",
        "Learns from small moves of its own where the settled objective is best inside the limits",
        "optimise.settings",
    ),
    "mpc": MethodKind(
        "mpc.linear", "Model predictive control",
        "Moves several handles at once so that limited signals follow their targets",
    ),
    "rules": MethodKind(
        "rules", "Rules", "If this, then that: set-points by conditions that people wrote",
    ),
}  # fmt: skip


def problem_of(loop: Loop) -> Problem:
    """Return what the loop's method is told."""
    return Problem(
        tuple(Handle(str(h.sid), h.low, h.high, h.rate, h.dwell_h) for h in loop.handles),
        tuple(Limit(str(x.sid), x.low, x.high, x.back_off) for x in loop.limits),
        loop.period_h,
    )


def make_method(loop: Loop, saved: bytes = b"") -> Method:
    """Return the loop's method, going on from what it saved; Refused where its settings are none
    of its kind."""
    kind = KINDS[loop.method]
    try:
        make = import_module(f"{_ENGINES}.{kind.module}").make
    except (ImportError, AttributeError) as error:
        raise Refused(f"the method '{loop.method}' cannot run here: {error}",
                      hint="Take another, or install what it needs", code="loop.method",
                      status=409) from error  # fmt: skip
    made: Method = make(problem_of(loop), loop.settings, loop.seed, saved or None)
    return made


def check_settings(loop: Loop) -> None:
    """Raise Refused where the loop's method cannot run with its settings. Blocks."""
    kind = KINDS[loop.method]
    if kind.settings:
        import_module(f"{_ENGINES}.{kind.settings}").Settings.read(loop.settings)
    else:
        make_method(loop)
