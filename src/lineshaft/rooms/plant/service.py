"""The hands of the room `plant`: the list of signals as the doors hand it out and change it.

Rules: an edit counts only if the person saw the signal as it is; every edit is told as a Fact, in
which its fields stand as they were and as they are; a sheet is taken whole or not at all, and only
with the token that was given for exactly the differences shown.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any, Final

import orjson

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.core.ports import FactSink
from lineshaft.rooms.plant.engine import unit_note
from lineshaft.rooms.plant.model import Listed
from lineshaft.rooms.plant.sheets import Sheet, Verdict, differing, judge, read_sheet, write_sheet
from lineshaft.rooms.plant.store import SignalStore

__all__ = ["PlantService"]

_MAX_TOLD: Final = 100
_MAX_SHOWN: Final = 5_000
_FACT_CHANGES: Final = 50
_FACT_BYTES: Final = 200_000


class PlantService:
    """Answers what there is and takes edits; lists may be asked from any thread."""

    def __init__(self, store: SignalStore, facts: FactSink) -> None:
        self._store = store
        self._facts = facts
        self._importing = asyncio.Lock()
        self._kept: tuple[tuple[int, ...], bytes] = ((), b"")

    def signals(self, prefix: str = "", source: str = "") -> list[dict[str, Any]]:
        """Return the signals below a path prefix and of a source, by path, as plain values."""
        return [_view(listed) for listed in self._store.list(prefix=prefix, source=source)]

    def columns(self, prefix: str = "", source: str = "") -> bytes:
        """Return the same as columns, in JSON. The whole list is kept: a hundred thousand signals
        take most of a second to gather, and every console asks for them when it opens."""
        whole = not prefix and not source
        version = self._store.version() if whole else ()
        if whole and self._kept[0] == version:
            return self._kept[1]
        columns = dict(self._store.columns(prefix, source))
        declared = [{} if said == "{}" else orjson.loads(said) for said in columns["declared"]]
        notes = {unit: unit_note(unit) for unit in set(columns["unit"])}
        judged = [notes[unit] for unit in columns["unit"]]
        body = orjson.dumps({"signals": {**columns, "unit_note": judged, "declared": declared}})
        if whole:
            self._kept = (version, body)
        return body

    def sheet(self, prefix: str = "", source: str = "") -> Iterator[bytes]:
        """Return the signals as CSV, in pieces."""
        return write_sheet(self._store.list(prefix=prefix, source=source))

    async def change(
        self, sid: int, revision: int, wanted: Mapping[str, Any], who: str
    ) -> dict[str, Any]:
        """Edit one signal as it was seen (`revision`); return it as it is now."""
        before, after = await asyncio.to_thread(self._store.change, sid, revision, wanted)
        if after is not before:
            await self._facts.tell(_told(now_us(), before, after, who))
        return _view(after)

    async def take_sheet(self, body: IO[bytes], token: str, who: str) -> dict[str, Any]:
        """Return what a sheet would change; with the token given for that, change it."""
        async with self._importing:
            sheet, verdict = await asyncio.to_thread(self._judged, body)
            right = "" if sheet.bad or verdict.conflicts else verdict.token
            if token and token != right:
                raise Refused("the sheet would not change what was shown any more",
                              hint="Look at the differences again, then confirm",
                              code="sheet.stale", status=409)  # fmt: skip
            if token:
                await asyncio.to_thread(self._store.change_all, verdict.changes)
        if token:
            await self._tell_all(verdict.changes, who)
        return {
            "applied": bool(token), "token": right or None,
            "lines": len(sheet.lines) + len(sheet.bad), "changed": len(verdict.changes),
            "changes": [_change(*pair) | {"path": pair[0].signal.path}
                        for pair in verdict.changes[:_MAX_SHOWN]],
            **_troubles("bad", sheet.bad), **_troubles("unknown", verdict.unknown),
            **_troubles("conflict", verdict.conflicts),
        }  # fmt: skip

    def _judged(self, body: IO[bytes]) -> tuple[Sheet, Verdict]:
        sheet = read_sheet(body)
        known = {listed.signal.sid: listed for listed in self._store.list()}
        return sheet, judge(sheet.lines, known)

    async def _tell_all(self, changes: Sequence[tuple[Listed, Listed]], who: str) -> None:
        """Tell a few edits one by one, many in Facts that hold as many as fit."""
        at = now_us()
        if len(changes) <= _FACT_CHANGES:
            for before, after in changes:
                await self._facts.tell(_told(at, before, after, who))
            return
        some, size = list[dict[str, Any]](), 0
        for number, pair in enumerate(changes, 1):
            some.append(_change(*pair))
            size += len(orjson.dumps(some[-1])) * 3  # a Fact spells what is not ASCII out
            if size > _FACT_BYTES or number == len(changes):
                content = {"who": who, "count": len(some), "of": len(changes), "changes": some}
                await self._facts.tell(Fact("signals.imported", at, "signals", content))
                some, size = [], 0


def _view(listed: Listed) -> dict[str, Any]:
    return {
        **asdict(listed.signal), "kind": listed.signal.kind.value, "unit_note": listed.unit_note,
        "revision": listed.revision, "declared": dict(listed.declared),
    }  # fmt: skip


def _change(before: Listed, after: Listed) -> dict[str, Any]:
    names = differing(before, after)
    return {
        "sid": after.signal.sid, "revision": after.revision,
        "before": {name: getattr(before.signal, name) for name in names},
        "after": {name: getattr(after.signal, name) for name in names},
    }  # fmt: skip


def _told(at: int, before: Listed, after: Listed, who: str) -> Fact:
    names = {"name": after.signal.name, "path": after.signal.path}
    body = {"who": who, **names, **_change(before, after)}
    return Fact("signal.changed", at, str(after.signal.sid), body)


def _troubles(name: str, found: Sequence[tuple[int, int, str]]) -> dict[str, Any]:
    listed = [{"line": line, "sid": sid or None, "reason": reason[:300]}
              for line, sid, reason in sorted(found)[:_MAX_TOLD]]  # fmt: skip
    return {f"{name}_count": len(found), f"{name}_lines": listed}
