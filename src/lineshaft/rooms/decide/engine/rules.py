"""Rules as a method: when a signal is so, move a handle there; when it no longer is, let go.

Rules: settings are data, {"rules": [rule, …]}; a rule is

    name      what people call it
    when      {"signal": key, "above" or "below": value, "release": value}: it begins to hold beyond
              the value and ends at `release` (hysteresis), by default at the value itself
    hold_h    how long the condition must hold before it acts (0)
    move      {"handle": key, "to": value} or {"handle": key, "by": value}; `by` counts from
              where the handle stood when the rule began to act
    release   "back": the handle returns to where it stood (default); "stay": it is left there
    priority  the higher one wins where two rules want the same handle (0)

Signals are the loop's limits and handles, and "cost". Two rules that may both act on one handle at
one time, with the same priority, are Refused, as is what names nothing or moves out of bounds. A
signal that is not read changes nothing: what acts goes on, what waits waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.bounds import Bounds
from lineshaft.rooms.decide.engine.method import Problem, Proposal, View
from lineshaft.rooms.decide.engine.pack import pack, unpack

__all__ = ["Rule", "RuleSet", "make"]

_SCHEMA = "rules/1"
_KEYS = {"name", "when", "hold_h", "move", "release", "priority"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, checked; `sign` is 1 for above and -1 for below, `handle` a position."""

    name: str
    signal: str
    sign: float
    value: float
    end: float
    hold_h: float
    handle: int
    to: float | None
    by: float
    back: bool
    priority: int

    def excludes(self, other: "Rule") -> bool:
        """Return whether both can never act at one time: same signal, ranges apart."""
        if self.signal != other.signal or self.sign == other.sign:
            return False
        above, below = (self, other) if self.sign > 0 else (other, self)
        return above.end >= below.end


def make(
    problem: Problem, settings: Mapping[str, Any], seed: int = 0, saved: bytes = b""
) -> "RuleSet":
    """Return the method; nothing in it is drawn, so the seed has no say."""
    if set(settings) != {"rules"} or not settings["rules"]:
        raise Refused("no rules", hint='Give {"rules": [...]}, at least one', code="rules.settings")
    rules = tuple(_parse(problem, told) for told in settings["rules"])
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        raise Refused("two rules have the same name", code="rules.name")
    for one, other in combinations(rules, 2):
        same = one.handle == other.handle and one.priority == other.priority
        if same and not one.excludes(other):
            key = problem.handles[one.handle].key
            raise Refused(
                f"'{one.name}' and '{other.name}' may both want '{key}' at one time",
                hint="Give them different priorities, or conditions that exclude each other",
                code="rules.contradiction",
            )
    return RuleSet(problem, rules, saved)


def _parse(problem: Problem, told: Any) -> Rule:
    if not isinstance(told, Mapping) or not {"name", "when", "move"} <= set(told) <= _KEYS:
        raise Refused("a rule is not told whole", code="rules.settings",
                      hint=f"Keys are {', '.join(sorted(_KEYS))}")  # fmt: skip
    name, when, move = str(told["name"]), told["when"], told["move"]
    signals = {"cost", *(one.key for one in problem.limits), *(one.key for one in problem.handles)}
    if not isinstance(when, Mapping) or when.get("signal") not in signals:
        known = ", ".join(sorted(signals))
        raise Refused(f"'{name}' looks at a signal that this loop does not read",
                      hint=f"Known are {known}", code="rules.signal")  # fmt: skip
    sides = {"above", "below"} & set(when)
    if len(sides) != 1 or not set(when) <= {"signal", "above", "below", "release"}:
        raise Refused(f"'{name}': give either 'above' or 'below'", code="rules.when")
    sign = 1.0 if "above" in sides else -1.0
    value = _number(name, when, sides.pop())
    end = _number(name, when, "release", value)
    if sign * (value - end) < 0:
        raise Refused(f"'{name}' would end before it begins: {end:g} is beyond {value:g}",
                      hint="Put 'release' on the quiet side of the condition",
                      code="rules.hysteresis")  # fmt: skip
    hold_h = _number(name, told, "hold_h", 0.0)
    release = told.get("release", "back")
    if hold_h < 0 or release not in ("back", "stay"):
        raise Refused(f"'{name}': hold_h is zero or more, release 'back' or 'stay'",
                      code="rules.settings")  # fmt: skip
    handle, to, by = _move(problem, name, move)
    return Rule(name, str(when["signal"]), sign, value, end, hold_h, handle, to, by,
                release == "back", int(_number(name, told, "priority", 0.0)))  # fmt: skip


def _move(problem: Problem, name: str, move: Any) -> tuple[int, float | None, float]:
    keys = [one.key for one in problem.handles]
    if not isinstance(move, Mapping) or move.get("handle") not in keys:
        raise Refused(f"'{name}' moves what is no handle of this loop", code="rules.handle",
                      hint=f"Handles are {', '.join(keys)}")  # fmt: skip
    if len({"to", "by"} & set(move)) != 1 or not set(move) <= {"handle", "to", "by"}:
        raise Refused(f"'{name}': give either 'to' or 'by'", code="rules.move")
    at = keys.index(move["handle"])
    one = problem.handles[at]
    if "by" in move:
        by = _number(name, move, "by")
        if not 0 < abs(by) <= one.high - one.low:
            raise Refused(f"'{name}' moves '{one.key}' by {by:g}, which is nothing or more than "
                          "its range", code="rules.move")  # fmt: skip
        return at, None, by
    to = _number(name, move, "to")
    if not one.low <= to <= one.high:
        raise Refused(f"'{name}' moves '{one.key}' to {to:g}, outside {one.low:g} to {one.high:g}",
                      code="rules.move")  # fmt: skip
    return at, to, 0.0


def _number(name: str, told: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = told.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise Refused(f"'{name}': '{key}' is {value!r}, no number", code="rules.settings")
    return float(value)


class RuleSet:
    """The rules at work; made by `make`."""

    def __init__(self, problem: Problem, rules: Sequence[Rule], saved: bytes = b"") -> None:
        self._problem, self._rules = problem, tuple(rules)
        self._bounds = Bounds(problem)
        self._began = np.full(len(self._rules), np.nan)  # hour since which the condition holds
        self._acts = np.zeros(len(self._rules), np.bool_)
        self._home = np.full(len(problem.handles), np.nan)  # where a handle stood before
        self._last = np.ones(len(problem.handles), np.bool_)  # whether it is to go back there
        if saved:
            self._restore(saved)

    def step(self, view: View) -> Proposal:
        """Take one View and answer; see `Method`."""
        self._bounds.take(view.hours, view.u)
        values = dict(zip((one.key for one in self._problem.limits), view.y, strict=True))
        values |= dict(zip((one.key for one in self._problem.handles), view.u, strict=True))
        values["cost"] = view.cost
        for i, rule in enumerate(self._rules):
            self._judge(i, rule, values[rule.signal], view.hours)
        if view.frozen or not self._bounds.known:
            why = "frozen" if view.frozen else "a handle is not read"
            return Proposal(self._bounds.now.copy(), "hold", f"nothing is moved: {why}")
        return self._propose()

    def _judge(self, i: int, rule: Rule, value: float, hours: float) -> None:
        """Note whether a condition holds, and since when; it acts once it has held long enough."""
        if not np.isfinite(value):
            return
        edge = rule.end if np.isfinite(self._began[i]) else rule.value
        if rule.sign * (value - edge) <= 0:
            self._began[i], self._acts[i] = np.nan, False
            return
        if np.isnan(self._began[i]):
            self._began[i] = hours
        if hours - self._began[i] >= rule.hold_h * (1 - 1e-9):
            self._acts[i] = True

    def _propose(self) -> Proposal:
        wish, said = self._bounds.now.copy(), []
        for at in range(len(wish)):
            acting = [rule for i, rule in enumerate(self._rules)
                      if self._acts[i] and rule.handle == at]  # fmt: skip
            if acting:
                rule = max(acting, key=lambda each: each.priority)
                if np.isnan(self._home[at]):
                    self._home[at] = self._bounds.now[at]
                wish[at] = self._home[at] + rule.by if rule.to is None else rule.to
                self._last[at] = rule.back
                said.append(rule.name)
            elif np.isfinite(self._home[at]):
                wish[at] = self._home[at] if self._last[at] else wish[at]
                self._let_go(at)
        u = self._bounds.exact(wish)
        moved = bool((u != self._bounds.now).any())
        phase = "improve" if moved else ("hold" if said else "settled")
        return Proposal(u, phase, f"acting: {', '.join(said)}" if said else "no rule acts")

    def _let_go(self, at: int) -> None:
        """Forget where the handle stood once it is back there, or where it is to stay."""
        near = 1e-9 * self._bounds.span[at]
        if not self._last[at] or abs(self._bounds.now[at] - self._home[at]) <= near:
            self._home[at] = np.nan

    def save(self) -> bytes:
        """Return all that was learned; see `Method`."""
        arrays = {"began": self._began, "acts": self._acts, "home": self._home,
                  "last": self._last, **self._bounds.state()}  # fmt: skip
        return pack(_SCHEMA, {"names": [rule.name for rule in self._rules]}, arrays)

    def _restore(self, saved: bytes) -> None:
        facts, arrays = unpack(_SCHEMA, saved)
        if facts["names"] != [rule.name for rule in self._rules]:
            raise Refused("what was saved belongs to other rules", code="loop.saved",
                          hint="Start without it")  # fmt: skip
        self._began, self._acts = arrays["began"], arrays["acts"]
        self._home, self._last = arrays["home"], arrays["last"]
        self._bounds.restore(arrays)

    def describe(self) -> dict[str, Any]:
        """Return what people may want to see; see `Method`."""
        return {"rules": [{"name": rule.name, "acts": bool(self._acts[i]),
                           "since": None if np.isnan(self._began[i]) else float(self._began[i])}
                          for i, rule in enumerate(self._rules)]}  # fmt: skip
