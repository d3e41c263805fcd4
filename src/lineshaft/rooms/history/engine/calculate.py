"""What a calculated signal is at each moment: a tree of series, evaluated over columns.

Rules: every subexpression is a step function with a stamp wherever one of its inputs has one; a
value holds until the next. A result is a function of the inputs' rows alone, so any cut of time
gives the same rows: each step asks its inputs from as far back as it needs (`since`), and no sum
runs over a cut. Quality is the worst of what was used; Bad gives no value. What was never told is
Bad; what is not finite (a division by zero) is Bad/not a number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lineshaft.core.quality import BAD, UNCERTAIN, Reason, bad, uncertain
from lineshaft.rooms.history.engine.rows import Column

__all__ = [
    "OPERATIONS", "Before", "Change", "Choose", "Const", "Held", "Input", "IsGood", "Operation",
    "Pointwise", "Previous", "Scaled", "Series", "Step", "TextIs", "Track", "Window", "evaluate",
    "looking",
]  # fmt: skip

Before = Callable[[int, int], int | None]
"""The newest stamp of input `i` below `t`, None where there is none."""
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Track:
    """One input's rows, ascending by stamp; `s` where it is a string signal."""

    ts: Column
    v: Column
    q: Column
    s: pa.Array | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A step function: `ts` (µs, ascending), `v` (NaN where q is Bad), `q`; shape `(n,)`."""

    ts: Column
    v: Column
    q: Column

    def at(self, stamps: Column) -> tuple[Column, Column]:
        """Return value and quality that hold at ascending stamps."""
        where = np.searchsorted(self.ts, stamps, "right") - 1
        if not len(self.ts):
            return np.full(len(stamps), _NAN), np.full(len(stamps), BAD, np.int32)
        none = where < 0
        v, q = self.v[where], self.q[where]
        return np.where(none, _NAN, v), np.where(none, BAD, q).astype(np.int32)

    def cut(self, first: int, end: int = 1 << 62) -> "Series":
        """Return what has a stamp in [first, end)."""
        span = slice(*np.searchsorted(self.ts, (first, end)).tolist())
        return Series(self.ts[span], self.v[span], self.q[span])

    def joined(self, other: "Series") -> "Series":
        """Return both, by stamp; they have none in common."""
        ts = np.concatenate((self.ts, other.ts))
        order = np.argsort(ts, kind="stable")
        v, q = np.concatenate((self.v, other.v)), np.concatenate((self.q, other.q))
        return Series(ts[order], v[order], q[order])

    def earlier(self) -> tuple[Column, Column]:
        """Return value and quality one stamp before each."""
        n = len(self.ts)
        v, q = np.append(_NAN, self.v[:-1]), np.append(BAD, self.q[:-1]).astype(np.int32)
        return v[:n], q[:n]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an expression over the steps `of`; `inputs` are the numbers of all signals
    below it."""

    of: tuple["Step", ...] = ()
    inputs: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        """Gather the inputs."""
        object.__setattr__(self, "inputs", self._own().union(*(one.inputs for one in self.of)))

    def _own(self) -> frozenset[int]:
        return frozenset()

    def since(self, t: int, before: Before) -> int:
        """Return from when on (with what held then) this needs the steps below it, to be right
        from `t` on and about what held at `t`."""
        return t

    def reach(self, t: int, before: Before) -> dict[int, int]:
        """Return the stamp of the first row of each input that is needed to be right from `t`."""
        found: dict[int, int] = {}
        start = self.since(t, before)
        for one in self.of:
            for number, stamp in one.reach(start, before).items():
                found[number] = min(stamp, found.get(number, stamp))
        return found

    def run(self, tracks: Sequence[Track], t: int) -> Series | float:
        """Return the series, right from the newest stamp at or before `t` on; a constant as one."""
        before = looking([track.ts for track in tracks])
        start = self.since(t, before)
        return self.apply([one.run(tracks, start) for one in self.of], _held(self, t, before))

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return what this makes of the steps below it, from the stamp `first` on."""
        raise AssertionError(self)


def _held(step: Step, t: int, before: Before) -> int:
    """Return the newest stamp of the step at or before `t`, else `t`."""
    stamps = [before(number, t + 1) for number in step.inputs]
    return max([stamp for stamp in stamps if stamp is not None], default=t)


def looking(stamps: Sequence[Column]) -> Before:
    """Return what looks into the inputs' stamps, a column each."""

    def before(number: int, t: int) -> int | None:
        at = int(np.searchsorted(stamps[number], np.int64(t)))
        return int(stamps[number][at - 1]) if at else None

    return before


def evaluate(root: Step, tracks: Sequence[Track], start: int, end: int) -> Series:
    """Return the series in [start, end); `tracks` hold each input from `root.reach(start)` on."""
    found = root.run(tracks, start)
    assert isinstance(found, Series)
    return found.cut(start, end)


@dataclass(frozen=True, slots=True)
class Const(Step):
    """A number that never changes."""

    value: float = 0.0

    def run(self, tracks: Sequence[Track], t: int) -> Series | float:
        """Return the number."""
        return self.value


@dataclass(frozen=True, slots=True)
class Input(Step):
    """The signal number `number` of the expression."""

    number: int = 0

    def _own(self) -> frozenset[int]:
        return frozenset({self.number})

    def reach(self, t: int, before: Before) -> dict[int, int]:
        """Return the row that held at `t`."""
        return {self.number: _held(self, t, before)}

    def run(self, tracks: Sequence[Track], t: int) -> Series | float:
        """Return the signal's rows; a null that is not Bad is Bad all the same."""
        track = self._from(tracks[self.number], t)
        empty = np.isnan(track.v)
        q = np.where(empty & (track.q < BAD), bad(Reason.NOT_A_NUMBER), track.q)
        return Series(track.ts, np.where(q >= BAD, _NAN, track.v), q.astype(np.int32))

    @staticmethod
    def _from(track: Track, t: int) -> Track:
        first = max(0, int(np.searchsorted(track.ts, np.int64(t), "right")) - 1)
        s = None if track.s is None else track.s[first:]
        return Track(track.ts[first:], track.v[first:], track.q[first:], s)


@dataclass(frozen=True, slots=True)
class TextIs(Input):
    """Whether a string signal is this text."""

    text: str = ""

    def run(self, tracks: Sequence[Track], t: int) -> Series | float:
        """Return 1 where it is, 0 where it is not."""
        track = self._from(tracks[self.number], t)
        texts = pa.nulls(len(track.ts), pa.utf8()) if track.s is None else track.s
        same = pc.equal(texts, self.text).to_numpy(zero_copy_only=False).astype(object)
        none = texts.is_null().to_numpy(zero_copy_only=False)
        q = np.where(none & (track.q < BAD), bad(Reason.NOT_A_NUMBER), track.q).astype(np.int32)
        v = np.where(none | (q >= BAD), _NAN, np.where(none, 0, same).astype(float))
        return Series(track.ts, v, q)


Operation = Callable[..., Column]


def _flags(operation: Callable[..., Column]) -> Operation:
    return lambda *of: operation(*of).astype(float)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power,
    "=": _flags(np.equal), "!=": _flags(np.not_equal), "<": _flags(np.less),
    "<=": _flags(np.less_equal), ">": _flags(np.greater), ">=": _flags(np.greater_equal),
    "and": _flags(np.logical_and), "or": _flags(np.logical_or), "not": _flags(np.logical_not),
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "log": np.log, "exp": np.exp,
    "min": lambda *of: np.minimum.reduce(of), "max": lambda *of: np.maximum.reduce(of),
    "clamp": lambda x, low, high: np.minimum(np.maximum(x, low), high), "round": np.round,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pointwise(Step):
    """An operation on the values that hold at each stamp."""

    name: str = ""

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return its value, under the worst quality."""
        operation = OPERATIONS[self.name]
        with np.errstate(all="ignore"):
            if not any(isinstance(one, Series) for one in of):
                return float(operation(*of))
            ts, held = _aligned(of, first)
            v = np.asarray(operation(*(v for v, _ in held)), float)
            return _finite(ts, v, np.maximum.reduce([q for _, q in held]))


@dataclass(frozen=True, slots=True)
class Scaled(Step):
    """A value in another unit: `v * factor + offset`."""

    factor: float = 1.0
    offset: float = 0.0

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return the converted value."""
        (one,) = of
        if not isinstance(one, Series):
            return one * self.factor + self.offset
        with np.errstate(all="ignore"):
            return _finite(one.ts, one.v * self.factor + self.offset, one.q)


def _aligned(of: list[Series | float], first: int) -> tuple[Column, list[tuple[Column, Column]]]:
    """Return common stamps from `first` on, and each value and quality held to them."""
    series = [one for one in of if isinstance(one, Series)]
    ts = series[0].ts
    if not all(one.ts is ts or np.array_equal(one.ts, ts) for one in series[1:]):
        ts = np.unique(np.concatenate([one.ts for one in series]))
    ts = ts[np.searchsorted(ts, np.int64(first)) :]
    good = np.zeros(len(ts), np.int32)
    return ts, [one.at(ts) if isinstance(one, Series) else (np.full(len(ts), one), good)
                for one in of]  # fmt: skip


def _finite(ts: Column, v: Column, q: Column) -> Series:
    odd = ~np.isfinite(v)
    if odd.any():
        q = np.where(odd & (q < BAD), bad(Reason.NOT_A_NUMBER), q).astype(np.int32)
    return Series(ts, np.where(q >= BAD, _NAN, v), q)


@dataclass(frozen=True, slots=True)
class Choose(Step):
    """`if(condition, one, other)`: only the chosen side's quality counts."""

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return the chosen values."""
        if not any(isinstance(one, Series) for one in of):
            return of[1] if of[0] else of[2]
        ts, ((flag, worst), (one, good), (other, bad_)) = _aligned(of, first)
        chosen = flag == 1
        q = np.maximum(worst, np.where(chosen, good, bad_)).astype(np.int32)
        return _finite(ts, np.where(chosen, one, other), q)


@dataclass(frozen=True, slots=True)
class IsGood(Step):
    """Whether a value is Good; this itself is always known."""

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return 1 or 0."""
        (one,) = of
        if not isinstance(one, Series):
            return 1.0
        return Series(one.ts, (one.q < UNCERTAIN).astype(float), np.zeros(len(one.ts), np.int32))


@dataclass(frozen=True, slots=True)
class Previous(Step):
    """The value before the present one."""

    def since(self, t: int, before: Before) -> int:
        """Go one stamp further back than what held at `t`."""
        return _one_back(self, t, before)

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return each value one stamp later."""
        x = _series(of)
        return Series(x.ts, *x.earlier()).cut(first)


def _one_back(step: Step, t: int, before: Before) -> int:
    held = _held(step, t, before)
    stamps = [before(number, held) for number in step.inputs]
    return max([stamp for stamp in stamps if stamp is not None], default=held)


def _series(of: list[Series | float]) -> Series:
    (one,) = of
    assert isinstance(one, Series), "the compiler lets no constant in here"
    return one


@dataclass(frozen=True, slots=True)
class Change(Step):
    """How much a value changed since the one before it, or over the last `width` µs; per second
    where `rate`."""

    rate: bool = False
    width: int = 0

    def since(self, t: int, before: Before) -> int:
        """Go back one stamp or the window."""
        if self.width:
            return _held(self, t, before) - self.width
        return _one_back(self, t, before)

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return the change at each stamp."""
        x = _series(of)
        if self.width:
            old, worse = x.at(x.ts - self.width)
            took = np.full(len(x.ts), float(self.width))
        else:
            old, worse = x.earlier()
            took = np.append(1.0, np.diff(x.ts).astype(float))[: len(x.ts)]
        with np.errstate(all="ignore"):
            v = (x.v - old) / (took / 1e6) if self.rate else x.v - old
        return _finite(x.ts, v, np.maximum(x.q, worse).astype(np.int32)).cut(first)


@dataclass(frozen=True, slots=True)
class Held(Step):
    """The last usable value, for `width` µs after it was lost, as Uncertain/last usable."""

    width: int = 0

    def since(self, t: int, before: Before) -> int:
        """Go back the window."""
        return _held(self, t, before) - self.width

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return values with short losses bridged."""
        x = _series(of)
        rows = np.arange(len(x.ts))
        usable = np.maximum.accumulate(np.where(x.q < BAD, rows, -1)) if len(rows) else rows
        lost = x.ts[np.minimum(usable + 1, len(rows) - 1)] if len(rows) else x.ts
        bridged = (usable >= 0) & (usable < rows) & (x.ts < lost + self.width)
        v = np.where(bridged, x.v[usable], x.v)
        q = np.where(bridged, uncertain(Reason.LAST_USABLE), x.q).astype(np.int32)
        return Series(x.ts, v, q).cut(first)


@dataclass(frozen=True, slots=True)
class Window(Step):
    """Mean weighted by time, least or greatest of the last `width` µs, (t - width, t].

    What was not usable in the window is left out and makes the result Uncertain; with nothing
    usable it is Bad.
    """

    name: str = "avg"
    width: int = 0

    def since(self, t: int, before: Before) -> int:
        """Go back the window."""
        return _held(self, t, before) - self.width

    def apply(self, of: list[Series | float], first: int) -> Series | float:
        """Return one value at each stamp from `first` on."""
        x = _series(of)
        last = np.arange(int(np.searchsorted(x.ts, np.int64(first))), len(x.ts))
        if not len(last):
            return x.cut(first)
        opened = x.ts[last] - self.width
        begin = np.searchsorted(x.ts, opened, "right")  # the row before it holds at the opening
        usable = x.q < BAD
        v = np.where(usable, x.v, 0.0)
        lasted = np.append(np.diff(x.ts), 0) * usable.astype(float)
        head = np.maximum(begin - 1, 0)
        rest = np.where(begin > 0, (x.ts[begin] - opened) * usable[head], 0.0)
        covered = _folded(np.add, lasted, begin, last, 0.0) + rest
        worst = _folded(np.maximum, np.where(usable, x.q, 0), head, last + 1, 0)
        some = (covered > 0) | usable[last]
        if self.name == "avg":
            total = _folded(np.add, lasted * v, begin, last, 0.0) + rest * v[head]
            with np.errstate(all="ignore"):
                found = np.where(covered > 0, total / covered, v[last])
        else:
            fold, none = (np.minimum, np.inf) if self.name == "lowest" else (np.maximum, -np.inf)
            found = _folded(fold, np.where(usable, x.v, none), head, last + 1, none)
            some &= np.isfinite(found)
        part = covered < self.width
        q = np.where(part, np.maximum(worst, UNCERTAIN), worst)
        q = np.where(some, q, np.maximum(x.q[last], BAD)).astype(np.int32)
        return _finite(x.ts[last], np.where(some, found, _NAN), q)


def _folded(fold: np.ufunc, column: Column, first: Column, end: Column, none: float) -> Column:
    """Return the fold of column[first:end] for each pair, `none` for an empty one.

    Each is a fold of its own: a running sum would depend on where the column begins.
    """
    pairs = np.stack((first, end), axis=1).ravel()
    found = fold.reduceat(np.append(column, column.dtype.type(none)), pairs)[::2]
    return np.where(end > first, found, none)
