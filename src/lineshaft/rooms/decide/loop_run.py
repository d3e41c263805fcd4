"""One loop at work: what it hears becomes a View, the method's wish becomes an Offer.

Rules: nothing here writes or waits; what it knows follows from what it was saved with and the
messages after that alone. A period ends when its plant hours have passed; where more passed at
once, they are one period. Objectives are turned so that small is good, and turned back for people.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Signal
from lineshaft.rooms.decide.engine.guards import Envelope, Move, Reading
from lineshaft.rooms.decide.engine.ladder import REQUIRED, Mode, Record, lacking, record_of
from lineshaft.rooms.decide.engine.method import ARRIVED, Method, Proposal, View
from lineshaft.rooms.decide.engine.pack import pack, unpack
from lineshaft.rooms.decide.engine.value import Conversion, Period, Terms, Value, Worth
from lineshaft.rooms.decide.engine.verify import Judge, Verified
from lineshaft.rooms.decide.engine.window import Window
from lineshaft.rooms.decide.journal import Known, Result
from lineshaft.rooms.decide.methods import make_method
from lineshaft.rooms.decide.model import MODES, Loop
from lineshaft.rooms.decide.store import Kept

__all__ = ["Cut", "LoopRun"]

Floats = NDArray[np.float64]
_SCHEMA: Final = "loop/1"
_EARLY: Final = 0.9  # of a period: ticks come when they come
_DEAD_BAND: Final = ARRIVED / 2  # of a range: less is no move
_MOST_PAIRS: Final = 1000


@dataclass(frozen=True, slots=True)
class Cut:
    """A period that has ended: the method's View, means and newest values of all signals, the plant
    hours that passed, and stream position and stamp (µs) up to which all of it was known."""

    view: View
    means: Floats
    passed_h: float
    as_of: int
    at: int


@dataclass(slots=True)
class Tally:
    """What is counted: plant hours at the beginning of the present mode (`since` names it), and
    from the moment on when the loop began to act the objective times hours, and moves (`fresh`:
    since the last period)."""

    since: int = 0
    mode_h: float = 0.0
    integral: float = 0.0
    moves: int = 0
    fresh: int = 0
    acting: bool = False
    baseline: float | None = None


@dataclass(slots=True)
class Shown:
    """What people may see of the last decision."""

    at: int | None = None
    phase: str = ""
    reason: str = ""
    expected: float | None = None
    now: float | None = None
    settled_at: int | None = None
    targets: Mapping[int, float] = field(default_factory=dict)
    says: Mapping[str, Any] = field(default_factory=dict)
    worth: Worth | None = None
    why: tuple[str, ...] = ()


class LoopRun:
    """A loop, its window, its method and its accounts. `signals` are those it hears; raises Refused
    where its method cannot be made."""

    def __init__(self, kept: Kept, signals: Mapping[int, Signal], known: Known | None) -> None:
        loop = kept.loop
        self.loop, self.mode, self.since = loop, kept.mode, kept.since
        self.window = Window(loop.heard, loop.clock)
        self._u = self.window.of([one.sid for one in loop.handles])
        self._y = self.window.of([one.sid for one in loop.limits])
        self._goal = self.window.place(loop.goal.sid)
        self._needed = self.window.of(loop.needed)
        sources = [signals[sid].source for sid in self.window.sids.tolist()]
        self.sources = frozenset(signals[sid].source for sid in (
            *loop.needed, *(one.sid for one in loop.handles)))  # fmt: skip
        self._group = np.unique(sources, return_inverse=True)[1]
        self._spans = np.array([one.high - one.low for one in loop.handles])
        self.judge = Judge(self._spans, loop.period_h, loop.settle_h, loop.tolerance)
        self.value = Value(_terms(loop))
        self.method: Method
        self.tally, self.shown = Tally(since=kept.since), Shown()
        self.pairs: list[tuple[float, float]] = []
        self.reverting: Floats | None = None
        self.token, self.seq, self.known_id = "", 0, ""
        self._last_h = 0.0
        if known is None:
            self.method = make_method(loop)
        else:
            self._load(known)

    @property
    def acts(self) -> bool:
        """Return whether its mode lets it move anything."""
        return self.mode in MODES[2:]

    def position(self, token: str, seq: int, known_id: str) -> None:
        """Note up to which message the stream was taken."""
        self.token, self.seq, self.known_id = token, seq, known_id

    def is_due(self) -> bool:
        """Return whether a period has ended."""
        return self.window.hours - self._last_h >= _EARLY * self.loop.period_h

    def enter(self, mode: str, since: int) -> None:
        """Be in a mode since then (µs)."""
        self.mode = mode
        if since != self.tally.since:
            self.since, self.pairs = since, []
            self.tally.since, self.tally.mode_h = since, self.window.hours
        if self.acts and not self.tally.acting:
            self.tally.integral, self.tally.moves = 0.0, 0
            self.tally.baseline = self.judge.settled
        self.tally.acting = self.acts
        if not self.acts:
            self.reverting = None

    def stale(self, now: int) -> tuple[str, ...]:
        """Return which inputs are missing, not Good or too old, in words."""
        heard, window = self._heard(), self.window
        old = (now - heard[self._needed]) / 1e6 > self.loop.conditions.fresh_s
        bad = (window.q[self._needed] != 0) | ~np.isfinite(window.v[self._needed])
        return tuple(
            f"the input {sid} is {'too old' if aged else 'not Good'}"
            for sid, aged, wrong in zip(self.loop.needed, old, bad, strict=True) if aged or wrong
        )  # fmt: skip

    def _heard(self) -> NDArray[np.int64]:
        """Return when each signal was last known to hold: with the newest of its source."""
        newest = np.zeros(self._group.max() + 1, np.int64)
        np.maximum.at(newest, self._group, self.window.ts)
        found: NDArray[np.int64] = np.where(self.window.ts > 0, newest[self._group], 0)
        return found

    def readings(self) -> Mapping[int, Reading]:
        """Return the newest samples by sid, as guards look at them."""
        window, heard = self.window, self._heard()
        return {
            sid: Reading(float(window.v[i]), int(window.q[i]), int(window.ts[i]), int(heard[i]))
            for i, sid in enumerate(window.sids.tolist())
        }

    def cut(self, *, frozen: bool) -> Cut:
        """End the period."""
        window, hours = self.window, self.window.hours
        passed, self._last_h = hours - self._last_h, hours
        means = window.close()
        sign = self.loop.goal.sign
        view = View(hours, window.v[self._u].copy(), sign * float(means[self._goal]),
                    means[self._y], window.v[self._y].copy(), frozen, not self.acts)  # fmt: skip
        return Cut(view, means, passed, int(window.seq.max()), window.now)

    def unheard(self) -> list[int]:
        """Return the signals of which nothing was heard yet."""
        return [int(sid) for sid in self.window.sids[self.window.ts == 0]]

    def seed(self, values: Mapping[int, float], at: int) -> None:
        """Take what machines have in force for signals that were never heard (they send what
        changes, and may have sent it long ago)."""
        sids = [sid for sid in sorted(values) if not self.window.ts[self.window.place(sid)]]
        found = np.array([values[sid] for sid in sids], np.float64)
        if len(found):
            self.window.take(np.array(sids, np.int64), np.full(len(found), at), found,
                             np.zeros(len(found), np.int64), 0)  # fmt: skip

    def confirm(self, sid: int, value: float, at: int) -> None:
        """Take what a machine was read back to have in force (µs): the stream tells it later."""
        one = np.array([sid], np.int64)
        self.window.take(one, np.array([at]), np.array([value]), np.zeros(1, np.int64),
                         int(self.window.seq.max()))  # fmt: skip

    def settle(self, cut: Cut, proposal: Proposal) -> tuple[Verified, list[Result]]:
        """Take the verdict on a period into account. Takes some time (see `engine.value`)."""
        view, tally = cut.view, self.tally
        found = self.judge.take(view.hours, view.u, view.cost, proposal.expected, acting=self.acts)
        if isfinite(view.cost):
            tally.integral += view.cost * cut.passed_h
        moved = self.judge.moved
        try:
            made, self.tally.fresh = self.tally.fresh, 0
            self.value.update(
                Period(view.hours, view.cost, self.acts, np.empty(0), 0.0, moved, made)
            )
            self.shown.worth = self.value.report()
        except Refused:  # no time has passed
            pass
        if found.objective is None:
            return found, []
        self.shown.settled_at = cut.at
        if not self.acts:
            tally.baseline = found.objective
        if found.predicted is None:
            return found, []
        self.pairs = [*self.pairs, (found.predicted, found.objective)][-_MOST_PAIRS:]
        sign = self.loop.goal.sign
        return found, [Result(cut.at, view.hours, self.mode, sign * found.predicted,
                              sign * found.objective, settled=True)]  # fmt: skip

    def wanted(
        self, proposal: Proposal, cut: Cut, envelopes: Mapping[int, Envelope],
        moves: Mapping[int, Sequence[Move]], now: int, clock: Any,
    ) -> list[tuple[int, float, float]]:  # fmt: skip
        """Return (sid, before, value) of the handles that are to move now: no further than each
        may travel, none that has to rest, none that would hardly move."""
        found = []
        goal = proposal.u if self.reverting is None else self.reverting
        for handle, target, force in zip(self.loop.handles, goal, cut.view.u, strict=True):
            envelope, made = envelopes[handle.sid], moves.get(handle.sid, ())
            if not (isfinite(target) and isfinite(force)):
                continue
            if made and not clock.hours(made[-1].at, now) >= handle.dwell_h:
                continue
            recent = sum(not clock.hours(one.at, now) >= 1.0 for one in made)
            room = envelope.travel(made, clock, now)
            if recent + 1 > handle.moves_per_h or not room > 0:
                continue
            step = float(np.clip(target - force, -room, room))
            value = float(np.clip(force + step, handle.low, handle.high))
            if abs(value - force) >= _DEAD_BAND * (handle.high - handle.low):
                found.append((handle.sid, float(force), value))
        return found

    def show(self, proposal: Proposal, cut: Cut, why: tuple[str, ...]) -> None:
        """Note what people may see of a decision."""
        shown, sign = self.shown, self.loop.goal.sign
        shown.at, shown.phase, shown.reason, shown.why = (
            cut.at,
            proposal.phase,
            proposal.reason,
            why,
        )
        shown.expected = None if proposal.expected is None else sign * proposal.expected
        shown.now = _real(sign * cut.view.cost)
        sids = [one.sid for one in self.loop.handles]
        goal = proposal.u if self.reverting is None else self.reverting
        shown.targets = dict(zip(sids, np.asarray(goal).tolist(), strict=True))
        shown.says = self.method.describe()

    def conditions(self) -> list[dict[str, Any]]:
        """Return what the next step of the ladder asks, and what there is."""
        mode = Mode(self.mode)
        if mode not in REQUIRED:
            return []
        need = REQUIRED[mode]
        about = self.judge.settled if self.judge.settled is not None else 0.0
        hours = self.window.hours - self.tally.mode_h
        record = record_of(mode, hours, self.pairs, self.judge.room(about))
        enough = Record(mode, need.hours, need.proposals, need.within)
        rows = (
            ("hours", record.hours, need.hours, "h", replace(enough, hours=record.hours)),
            ("proposals", float(record.proposals), float(need.proposals), "",
             replace(enough, proposals=record.proposals)),
            ("within", record.within, need.within, "", replace(enough, within=record.within)),
        )  # fmt: skip
        return [
            {"name": name, "met": have >= least, "have": have, "need": least, "unit": unit,
             "text": lacking(alone, need) or ""}
            for name, have, least, unit, alone in rows
        ]  # fmt: skip

    def figures(self) -> dict[str, Any]:
        """Return the loop in figures; see `forms.FiguresView`."""
        sign, judge, tally, worth = self.loop.goal.sign, self.judge, self.tally, self.shown.worth
        net = None if worth is None or worth.rate is None else worth.rate * worth.on_h
        return {
            "now": self.shown.now, "settled": _turned(sign, judge.settled),
            "settled_at": self.shown.settled_at, "baseline": _turned(sign, tally.baseline),
            "best": _turned(sign, judge.best), "expected": self.shown.expected,
            "gain": worth.rate if worth else None, "gain_low": worth.low if worth else None,
            "gain_high": worth.high if worth else None, "gained": net,
            "gained_in": {one.unit: one.amount for one in worth.amounts} if worth else {},
            "integral": sign * tally.integral if tally.acting else None,
            "hours": self.window.hours - tally.mode_h, "moves": tally.moves,
        }  # fmt: skip

    def view(self) -> dict[str, Any]:
        """Return what the doors show of it; see `views.loop_view`."""
        shown, window = self.shown, self.window
        newest = zip(window.sids.tolist(), window.v.tolist(), strict=True)
        held = {str(sid): _real(value) for sid, value in newest}
        return {
            "held": held, "targets": {str(k): _real(v) for k, v in shown.targets.items()},
            "state": "frozen" if shown.why else "running" if shown.at else "waiting",
            "why": list(shown.why), "phase": shown.phase, "reason": shown.reason,
            "hours": window.hours, "at": shown.at, "figures": self.figures(),
            "method_says": _plain(shown.says), "conditions": self.conditions(),
        }  # fmt: skip

    def known(self) -> Known:
        """Return all that it knows."""
        facts, arrays = self.window.save()
        judged, more = self.judge.save()
        said = {"shape": _shape(self.loop), "window": facts, "judge": judged,
                "tally": asdict(self.tally), "last_h": self._last_h,
                "settled_at": self.shown.settled_at,
                "method": base64.b85encode(self.method.save()).decode(),
                "value": base64.b85encode(self.value.save()).decode()}  # fmt: skip
        spans = np.empty(0) if self.reverting is None else self.reverting
        body = pack(_SCHEMA, said, {**arrays, **more, "reverting": spans})
        return Known(self.token, self.seq, self.known_id, body)

    def _load(self, known: Known) -> None:
        facts, arrays = unpack(_SCHEMA, known.body)
        if facts["shape"] != _shape(self.loop):
            raise Refused("what was known is of another record", code="loop.saved")
        self.method = make_method(self.loop, base64.b85decode(facts["method"]))
        self.value = Value(_terms(self.loop), base64.b85decode(facts["value"]))
        self.window.load(facts["window"], arrays)
        self.judge.load(facts["judge"], arrays)
        self.tally = Tally(**facts["tally"])
        self._last_h, self.shown.settled_at = facts["last_h"], facts["settled_at"]
        self.reverting = arrays["reverting"] if len(arrays["reverting"]) else None
        self.position(known.token, known.seq, known.known)


def _shape(loop: Loop) -> str:
    """Return what of a record gives what is known its meaning, as a digest."""
    body = asdict(loop)
    meant = {name: body[name] for name in (
        "goal", "handles", "limits", "inputs", "clock", "period_h", "settle_h", "tolerance",
        "method", "settings", "seed", "worth",
    )}  # fmt: skip
    text = json.dumps(meant, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _terms(loop: Loop) -> Terms:
    seasons = (24.0,) if loop.period_h <= 6 else ()
    worth = loop.worth
    sums = tuple(Conversion(unit, unit, factor) for unit, factor in worth.per_unit.items())
    return Terms(loop.period_h, loop.settle_h, loop.goal.unit, (), seasons,
                 move_cost=worth.move, conversions=sums)  # fmt: skip


def _turned(sign: float, value: float | None) -> float | None:
    return None if value is None else _real(sign * value)


def _real(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _plain(content: Any) -> Any:
    """Return content as JSON can hold it: no NaN, no infinity, no arrays."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, np.ndarray):
        return _plain(content.tolist())
    return _real(content) if isinstance(content, float) else content
