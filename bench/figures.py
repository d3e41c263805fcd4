"""One measured figure and how it is judged and printed."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Figure", "judge", "show"]

_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Figure:
    """`limit` is what this machine allows at most (or at least, where less is better)."""

    bench: str
    figure: str
    value: float
    unit: str
    must: float
    aim: float
    limit: float | None
    spread: float
    lower: bool = False
    note: str = ""

    @property
    def share(self) -> float | None:
        """Return how much of the limit was reached."""
        if not self.limit or not self.value:
            return None
        return self.limit / self.value if self.lower else self.value / self.limit

    @property
    def ok(self) -> bool:
        """Return whether the must is met, or 60 % of a limit that makes it impossible."""
        met = self.value <= self.must if self.lower else self.value >= self.must
        cannot = self.limit is not None and (
            self.limit > self.must if self.lower else self.limit < self.must
        )
        return met or (cannot and (self.share or 0) >= _SHARE)

    def line(self) -> str:
        """Return the figure as one line of JSON."""
        content = {
            "bench": self.bench, "figure": self.figure, "value": _round(self.value),
            "unit": self.unit, "must": self.must, "aim": self.aim,
            "limit": None if self.limit is None else _round(self.limit),
            "share": None if self.share is None else round(self.share, 3),
            "ok": self.ok, "spread": round(self.spread, 3),
        }  # fmt: skip
        return json.dumps(content)


def judge(
    bench: str, figure: str, runs: Sequence[float], unit: str, must: float, aim: float, *,
    limits: Sequence[float] = (), lower: bool = False, note: str = "",
) -> Figure:  # fmt: skip
    """Return the median of the runs; the spread is (greatest − least) / median."""
    runs = [float(one) for one in runs]  # not as numpy has them, which JSON does not know
    middle = statistics.median(runs)
    spread = (max(runs) - min(runs)) / middle if middle else 0.0
    limit = statistics.median(limits) if limits else None
    return Figure(bench, figure, middle, unit, must, aim, limit, spread, lower, note)


def show(figures: Sequence[Figure]) -> str:
    """Return the figures as a readable table."""
    head = ("figure", "value", "unit", "must", "aim", "limit", "share", "spread", "")
    rows = [head]
    for f in figures:
        limit = "" if f.limit is None else f"{_round(f.limit):,}"
        share = "" if f.share is None else f"{f.share:.0%}"
        verdict = ("ok" if f.ok else "MISSED") + (f"  {f.note}" if f.note else "")
        rows.append((f"{f.bench} {f.figure}", f"{_round(f.value):,}", f.unit, f"{f.must:,}",
                     f"{f.aim:,}", limit, share, f"{f.spread:.0%}", verdict))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _round(value: float) -> float:
    if abs(value) < 0.1:
        return float(f"{value:.3g}")
    return round(value) if abs(value) >= 1000 else round(value, 2)
