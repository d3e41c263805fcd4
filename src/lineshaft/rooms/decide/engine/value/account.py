"""The account of one loop: what it saves an hour, what it has saved, and how sure that is.

Rules: a period counts only when the plant has settled on both sides of the comparison; what is
saved while it settles is not saved (an inventory may be emptying), and is not counted. The
baseline is a model of the cost without the loop, learned while it is off, of what explains the
cost and is not moved by the loop: IPMVP Options B and C, ISO 50015 §6 (energy baseline adjusted by
relevant variables). Where a twin foretells that cost, its prediction is the baseline and the model
learns only what is left. Until the evidence is 20 to 1, on 24 settled periods with the loop and 24
without, the verdict is "unknown". The same periods give the same account, also across `save`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.pack import pack, unpack
from lineshaft.rooms.decide.engine.value.bank import TAILS, Bank, Step
from lineshaft.rooms.decide.engine.value.belief import Belief, believe
from lineshaft.rooms.decide.engine.value.settings import Terms
from lineshaft.rooms.decide.engine.value.switching import TIMES, Settling

__all__ = ["Amount", "Period", "Value", "Worth"]

Floats = NDArray[np.float64]
_SCHEMA, _EVIDENCE, _LEAST = "value/1", 20.0, 24
_COST = 3 + TAILS  # where the cost stands in a row that waits


@dataclass(frozen=True, slots=True)
class Period:
    """One period that ended at the plant hour `hours`: the mean of the objective (NaN: not usable),
    whether the loop was on all the time, means of what explains `(n_explain,)`, the twin's
    prediction of the objective without the loop (0 where there is no twin), the largest move of a
    handle as a share of its range, and how many moves there were."""

    hours: float
    cost: float
    on: bool
    explain: Floats
    expected: float = 0.0
    moved: float = 0.0
    moves: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """A saved amount in a unit that people declared, with its interval of 95 %."""

    name: str
    unit: str
    amount: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Worth:
    """What is known of the gain now. `rate`, `low`, `high`: mean gain an hour over the settled
    hours with the loop, 95 %; `now…`: the gain in force. None where nothing is known yet. `verdict`
    is unknown, gain or loss. `on_h`, `off_h`: settled hours; `unsettled_h`: hours with the loop
    that do not count. `net` is the saved amount less `move_cost`, in objective × hours."""

    verdict: str
    why: str
    unit: str
    on_h: float
    off_h: float
    unsettled_h: float
    moves: int
    move_cost: float
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    now: float | None = None
    now_low: float | None = None
    now_high: float | None = None
    evidence: float = 1.0
    settles_within_h: float | None = None
    amounts: tuple[Amount, ...] = ()
    net: float | None = None


class Value:
    """The account; `saved` is what `save` gave."""

    def __init__(self, terms: Terms, saved: bytes = b"") -> None:
        self.terms = terms
        self._settling = Settling(terms.settle_h, terms.still)
        self._last_h: float | None = None
        self._hours = {"on": 0.0, "off": 0.0, "unsettled": 0.0}
        self._moves = 0
        self._waiting: list[list[float]] = []
        self._scale: Floats = np.empty(0)
        self._rows = 3 * len(terms.explain) + 4 * len(terms.seasons_h)
        self._bank = Bank(self._rows, len(terms.explain))
        self._lean: Floats = np.zeros(len(terms.explain))
        self._before: Floats = np.zeros(len(terms.explain))
        if saved:
            self._restore(saved)

    @property
    def on_h(self) -> float:
        """Return the settled hours with the loop so far."""
        return self._hours["on"]

    def update(self, period: Period) -> None:
        """Take the next period; Refused where it is not later than the one before."""
        if len(period.explain) != len(self.terms.explain):
            raise Refused(
                f"{len(period.explain)} values explain the cost, {len(self.terms.explain)} were "
                "declared", code="value.explain",
            )  # fmt: skip
        passed_h = self._passed(period.hours)
        settled = self._settling.take(period.on, min(passed_h, self.terms.period_h), period.moved)
        self._moves += period.moves if period.on else 0
        cost = period.cost - period.expected
        usable = np.isfinite(cost) and bool(np.isfinite(period.explain).all())
        if period.on and not settled:
            self._hours["unsettled"] += self.terms.period_h
        if settled and usable:
            self._hours["on" if period.on else "off"] += self.terms.period_h
        row = [period.hours, passed_h, float(period.on), *self._settling.tails,
               cost if settled and usable else np.nan, *period.explain]  # fmt: skip
        if len(self._scale):
            self._learn(np.array(row))
        else:
            self._waiting.append([float(each) for each in row])
            self._begin()

    def _passed(self, hours: float) -> float:
        last, self._last_h = self._last_h, hours
        if not np.isfinite(hours) or (last is not None and hours <= last):
            self._last_h = last
            raise Refused(f"a period that ends at {hours} h is not later than the one before",
                          code="value.time")  # fmt: skip
        return self.terms.period_h if last is None else hours - last

    def _begin(self) -> None:
        """Find centre and spread of all once enough was seen, and take what waited."""
        seen = np.array(self._waiting)
        good = seen[np.isfinite(seen[:, _COST:]).all(axis=1), _COST:]
        if len(good) < self.terms.learn:
            return
        centre = np.median(good, axis=0)
        spread = np.maximum(good.std(axis=0), 1e-6 * np.abs(centre) + 1e-12)
        self._scale = np.stack([centre, spread])
        for row in seen:
            self._learn(row)
        self._waiting = []

    def _learn(self, row: Floats) -> None:
        hours, passed_h, on = row[0], row[1], bool(row[2])
        scaled = (row[_COST:] - self._scale[0]) / self._scale[1]
        counts = self.terms.period_h if on and np.isfinite(scaled[0]) else 0.0
        periods = passed_h / self.terms.period_h
        tails = tuple(row[3:_COST])
        explained = self._explain(float(hours), scaled[1:])
        self._lean = np.where(np.isfinite(scaled[1:]), np.clip(scaled[1:], -4, 4), self._lean)
        step = Step(periods, float(scaled[0]), explained, self._lean, on, tails, counts)
        self._bank.take(step)

    def _explain(self, hours: float, scaled: Floats) -> Floats:
        turns = 2 * np.pi * hours / np.array(self.terms.seasons_h)
        waves = [np.sin(turns), np.cos(turns), np.sin(2 * turns), np.cos(2 * turns)]
        row = np.concatenate([scaled, np.clip(scaled, -4, 4) ** 2, self._before, *waves])
        self._before = scaled
        return np.asarray(np.where(np.isfinite(row), row, 0.0))

    def report(self) -> Worth:
        """Return what is known now."""
        on_h, off_h = self._hours["on"], self._hours["off"]
        cost = self._moves * self.terms.move_cost
        common = (self.terms.unit, on_h, off_h, self._hours["unsettled"], self._moves, cost)
        least = _LEAST * self.terms.period_h * (1 - 1e-9)
        if not len(self._scale) or on_h < least or off_h < least:
            why = f"{on_h:g} h with the loop and {off_h:g} h without are settled; {least:g} needed"
            return Worth("unknown", why, *common)
        spread = float(self._scale[1, 0])
        whole, now = believe(self._bank, self._bank.saved, on_h), self._now()
        amounts = [_amount(each.name, each.unit, each.factor * on_h * spread, whole)
                   for each in self.terms.conversions]  # fmt: skip
        verdict, why = _judge(whole)
        settling = self._settles_within_h()
        return Worth(
            verdict, why, *common, whole.middle * spread, whole.low * spread, whole.high * spread,
            now.middle * spread, now.low * spread, now.high * spread, whole.evidence, settling,
            tuple(amounts), whole.middle * spread * on_h - cost,
        )  # fmt: skip

    def _now(self) -> Belief:
        return believe(self._bank, self._bank.gain_at(self._lean))

    def _settles_within_h(self) -> float:
        """Return after which time nothing is seen to linger."""
        last = 0
        for number in range(TAILS):
            tail = believe(self._bank, self._bank.tail(number))
            last = last if tail.low <= 0 <= tail.high else number + 1
        return self.terms.settle_h * TIMES[last]

    def save(self) -> bytes:
        """Return all that was learned."""
        facts = {
            "hours": self._hours, "moves": self._moves, "last_h": self._last_h,
            "on": self._settling.on, "restless": self._settling.restless,
        }  # fmt: skip
        arrays = {"since": np.array([self._settling.since_h]), "scale": self._scale,
                  "lean": self._lean, "before": self._before,
                  "waiting": np.array(self._waiting), **self._bank.state()}  # fmt: skip
        return pack(_SCHEMA, facts, arrays)

    def _restore(self, saved: bytes) -> None:
        facts, arrays = unpack(_SCHEMA, saved)
        if arrays["mean"].shape != self._bank.mean.shape:
            raise Refused("this account was kept under other terms", code="value.terms",
                          hint="A gain whose terms change is counted anew")  # fmt: skip
        self._hours, self._moves, self._last_h = facts["hours"], facts["moves"], facts["last_h"]
        self._settling.on, self._settling.restless = facts["on"], facts["restless"]
        self._settling.since_h = float(arrays["since"][0])
        self._scale, self._waiting = arrays["scale"], arrays["waiting"].tolist()
        self._lean, self._before = arrays["lean"], arrays["before"]
        self._bank.restore(arrays)

    def describe(self) -> dict[str, Any]:
        """Return the account as JSON."""
        return asdict(self.report())


def _amount(name: str, unit: str, factor: float, belief: Belief) -> Amount:
    ends = sorted((belief.low * factor, belief.high * factor))
    return Amount(name, unit, belief.middle * factor, ends[0], ends[1])


def _judge(belief: Belief) -> tuple[str, str]:
    if belief.evidence < _EVIDENCE or belief.low <= 0 <= belief.high:
        return "unknown", f"the evidence is {belief.evidence:.2g} to 1, {_EVIDENCE:g} are needed"
    return ("gain" if belief.middle > 0 else "loss"), f"the evidence is {belief.evidence:.2g} to 1"
