"""Grids and statistics over any range, read in parts so that memory stays bounded.

Rules: a part holds at most `PART_ROWS` rows; where more lie in it, it is halved, by time and then
by signals. What held before a part is carried over from the one before it, so that the answer does
not depend on where the cuts fall.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.grid import Grid, Holding, How, Rule, grid, hold, tracks
from lineshaft.rooms.history.engine.rows import Column, Rows
from lineshaft.rooms.history.engine.statistics import Limits, Summary, join, summarise
from lineshaft.rooms.history.service import HistoryService

__all__ = ["MAX_CELLS", "Grids", "check_size", "declared_gaps"]

MAX_CELLS: Final = 2_000_000
PART_ROWS: Final = 5_000_000
_SECOND_US: Final = 1_000_000
_STATISTIC_PARTS: Final = 64
_MAX_GAPS: Final = 5000

Gaps = Mapping[int, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class _Part:
    """Cells `first … end-1` of the signals `sids`: their rows, and the row each held before."""

    first: int
    end: int
    sids: list[int]
    rows: Rows
    before: Rows


class Grids:
    """Reads history and puts it on grids; the arithmetic runs in threads."""

    def __init__(self, history: HistoryService, part_rows: int = PART_ROWS) -> None:
        self._history = history
        self._part_rows = part_rows

    async def grid(
        self, sids: Sequence[int], sources: Mapping[int, str], edges: Column, how: How, rule: Rule,
        holding: Holding,
    ) -> Grid:  # fmt: skip
        """Return the cells between ascending `edges` (µs) of each signal, in the order of `sids`.

        `sources` says whose declared gaps end a signal's values. Raises Refused `grid.size` for
        more than MAX_CELLS cells, `history.much` where one cell of one signal holds too many rows.
        """
        count = len(edges) - 1
        check_size(len(sids), count)
        where = {sid: at for at, sid in enumerate(sids)}
        v, q = np.empty((len(sids), count)), np.empty((len(sids), count), np.int32)
        before = await self._before(sids, int(edges[0]))
        gaps = await declared_gaps(self._history, sources, before, int(edges[0]), int(edges[-1]))
        async for part in self._parts(list(sids), edges, before):
            cut = edges[part.first : part.end + 1]
            done = await asyncio.to_thread(
                grid, part.rows, part.before, part.sids, gaps, cut, how, rule, holding
            )
            lines = np.array([where[sid] for sid in part.sids])
            v[lines, part.first : part.end] = done.v
            q[lines, part.first : part.end] = done.q
        return Grid(edges[:-1], v, q)

    async def statistics(
        self, sids: Sequence[int], sources: Mapping[int, str], start: int, end: int, rule: Rule,
        holding: Holding, limits: Limits,
    ) -> dict[int, Summary]:  # fmt: skip
        """Return the summary of [start, end) of each signal."""
        count = min(_STATISTIC_PARTS, end - start)
        edges = np.unique(start + np.arange(count + 1) * (end - start) // count)
        before = await self._before(sids, start)
        gaps = await declared_gaps(self._history, sources, before, start, end)
        found: dict[int, Summary] = {}
        async for part in self._parts(list(sids), edges, before):
            span = (int(edges[part.first]), int(edges[part.end]))
            done = await asyncio.to_thread(_summaries, part, span, gaps, rule, holding, limits)
            for sid, one in done.items():
                found[sid] = join(found[sid], one) if sid in found else one
        return found

    async def _before(self, sids: Sequence[int], start: int) -> Rows:
        """Return the row that each signal held before `start`."""
        return Rows.from_table(await self._history.held(list(sids), start - 1))

    async def _parts(self, sids: list[int], edges: Column, before: Rows) -> AsyncIterator[_Part]:
        """Cut the range into parts of bounded size, ascending in time for each signal."""
        at, count = 0, len(edges) - 1
        # At first as if each signal told a value a second; then as it turns out.
        guess = self._part_rows * _SECOND_US // len(sids)
        width = max(1, int(np.searchsorted(edges, edges[0] + guess, "right")) - 1)
        while at < count:
            to = min(count, at + width)
            try:
                rows = await self._history.raw(
                    sids, int(edges[at]), int(edges[to]), self._part_rows
                )
            except Refused as refused:
                if refused.code != "history.much" or (to - at == 1 and len(sids) == 1):
                    raise
                if to - at > 1:
                    width = (to - at) // 2
                    continue
                half = len(sids) // 2
                for some in (sids[:half], sids[half:]):
                    async for part in self._parts(some, edges[at:], before):
                        yield replace(part, first=at + part.first, end=at + part.end)
                return
            yield _Part(at, to, sids, rows, before)
            before = _newest(before, rows)
            at = to
            if len(rows) < self._part_rows // 4:
                width *= 2


def _summaries(
    part: _Part, span: tuple[int, int], gaps: Gaps, rule: Rule, holding: Holding, limits: Limits
) -> dict[int, Summary]:
    own = zip(part.sids, tracks(part.rows, part.before, part.sids), strict=True)
    return {
        sid: summarise(hold(*columns, gaps.get(sid, ()), holding), *span, rule, limits)
        for sid, columns in own
    }


def _newest(before: Rows, rows: Rows) -> Rows:
    """Return the newest row of each signal by sid; `rows` are newer than `before`."""
    both = Rows.concat([before, rows.last_of_each()])
    return both.take(np.argsort(both.sid, kind="stable")).last_of_each()


def check_size(signals: int, cells: int) -> None:
    """Raise Refused for a grid of too many cells."""
    if signals * cells > MAX_CELLS:
        raise Refused(f"a grid of {signals} signals and {cells} cells is too large",
                      hint=f"{MAX_CELLS} cells are allowed: ask for a longer step, a shorter range"
                      " or fewer signals", code="grid.size")  # fmt: skip


async def declared_gaps(
    history: HistoryService, sources: Mapping[int, str], before: Rows, start: int, end: int
) -> dict[int, list[tuple[int, int]]]:
    """Return the declared gaps (from, to) that bear on each signal in [start, end), whether they
    touch that or lie between the row that held before and its start."""
    since = min(start, int(before.ts.min())) if len(before) else start
    facts = await history.facts(["link.gap"], "", since, end, _MAX_GAPS)
    spans: dict[str, list[tuple[int, int]]] = {}
    for fact in facts:
        first, last = fact.body.get("from"), fact.body.get("to")
        if isinstance(first, int) and isinstance(last, int) and first < last:
            spans.setdefault(fact.subject, []).append((first, last))
    return {sid: spans[source] for sid, source in sources.items() if source in spans}
