"""The work of an import: a dry run over the whole file, and the blocks of a piece.

Rules: the dry run and the run read with one parser, so what the first has shown is what the second
does; blocks are a function of the piece, so that their messages have the same ids after a crash.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from lineshaft.core.errors import Broken, Refused
from lineshaft.core.paths import check_path, slug
from lineshaft.core.samples import SampleBlock
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.engine.cells import Cells, Parser, Target
from lineshaft.rooms.history.engine.rows import Column
from lineshaft.rooms.history.engine.sheet_form import Form
from lineshaft.rooms.history.import_files import Piece, Place, pieces

__all__ = ["Conversion", "Resolver", "blocks_of", "check_file", "drafts", "run_parser"]

BLOCK: Final = 50_000
_TOLD: Final = 100
_HEAD: Final = 20
_KINDS: Final = {kind.value: kind for kind in Kind}

Conversion = Callable[[str, str], tuple[float, float]]
"""(unit of a value, unit wanted) to (factor, offset); Refused where they do not fit."""


class Resolver:
    """Finds the signal that a name in a file means: one that there is, or one that is new."""

    def __init__(self, form: Form, signals: Sequence[Signal], conversion: Conversion) -> None:
        self._form = form
        self._by_path = {signal.path: signal for signal in signals}
        self._by_sid = {str(signal.sid): signal for signal in signals}
        self._conversion = conversion
        self._new: dict[str, tuple[str, str, str]] = {}

    def __call__(self, name: str, unit: str, kind: str) -> Target:
        """Return where values of this name and unit go; raise Refused where that cannot be."""
        if kind and kind not in _KINDS:
            raise Refused(f"'{kind[:40]}' is no kind of a signal", code="import.signal_kind",
                          hint="Kinds are float, int, bool and string")  # fmt: skip
        known = self._by_sid.get(name) if name.isdigit() else None
        path = known.path if known else self._path(name)
        known = known or self._by_path.get(path)
        if known is not None:
            unit = unit or known.unit
            if known.kind in {Kind.STRING, Kind.BOOL}:
                return Target(path, known.kind, known.unit, sid=known.sid)
            return Target(path, known.kind, known.unit, *self._between(path, unit, known.unit),
                          known.sid)  # fmt: skip
        first, first_unit, first_kind = self._new.setdefault(path, (name, unit, kind))
        if first != name or first_kind != kind:
            raise Refused(
                f"'{first[:80]}' and '{name[:80]}' would both be the signal {path}",
                hint="Give each column a path of its own, and a signal one kind",
                code="import.same_signal",
            )
        made = _KINDS[kind] if kind else None
        return Target(path, made, first_unit, *self._between(path, unit, first_unit))

    def _between(self, path: str, unit: str, wanted: str) -> tuple[float, float]:
        try:
            return self._conversion(unit, wanted)
        except Refused as refusal:
            raise Refused(f"{path}: {refusal.message}", hint=refusal.hint,
                          code=refusal.code) from refusal  # fmt: skip

    def _path(self, name: str) -> str:
        if not name:
            raise Refused("a row names no signal", code="import.path",
                          hint="Fill the column of paths in every row")  # fmt: skip
        if name.isdigit():
            raise Refused(f"there is no signal {name[:20]}", code="import.path",
                          hint="Write paths, or numbers of signals that there are")  # fmt: skip
        try:
            return check_path(name)
        except Refused:
            if not self._form.prefix:
                raise
        return check_path(f"{self._form.prefix}/{slug(name)}")


@dataclass(slots=True)
class _Sums:
    """What the dry run adds up."""

    samples: int = 0
    problems: int = 0
    first: int | None = None
    last: int | None = None
    told: list[dict[str, Any]] = field(default_factory=list)
    head: list[dict[str, Any]] = field(default_factory=list)
    per_target: Column = field(default_factory=lambda: np.zeros(0, np.int64))
    texts: Column = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, piece: Piece, cells: Cells, parser: Parser) -> None:
        """Take in what one piece gave."""
        self.samples += len(cells.key)
        self.problems += cells.wrong + len(piece.ragged)
        if len(cells.ts):
            low, high = int(cells.ts.min()), int(cells.ts.max())
            self.first = low if self.first is None else min(self.first, low)
            self.last = high if self.last is None else max(self.last, high)
        found = [{"line": line, "text": text} for line, text in piece.ragged]
        found += [{"line": int(piece.line[p.row]), "text": p.text} for p in cells.problems]
        self.told += sorted(found, key=lambda one: int(str(one["line"])))[: _TOLD - len(self.told)]
        n = len(parser.targets)
        counted = np.bincount(cells.key, minlength=n)
        self.per_target = counted + np.pad(self.per_target, (0, n - len(self.per_target)))
        if cells.s is not None:
            is_text = cells.s.is_valid().to_numpy(zero_copy_only=False)
            texts = np.bincount(cells.key[is_text], minlength=n)
            self.texts = texts + np.pad(self.texts, (0, n - len(self.texts)))
        if not self.head:
            self.head = _head(cells, parser.targets)


def check_file(
    path: Path, form: Form, newest: int, resolver: Resolver, go_on: Callable[[int], bool]
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """Read the whole file without storing anything; return (summary, targets).

    `go_on(rows)` is asked after every piece; None comes back where it says no. Raises Refused where
    the file or the form cannot be.
    """
    parser, sums, rows = Parser(form, newest, resolver), _Sums(), 0
    for piece in pieces(path, form, Place()):
        cells = parser.parse(piece.table)
        sums.add(piece, cells, parser)
        rows = piece.end.rows
        if not go_on(rows):
            return None
    if not rows:
        raise Refused("the file holds no rows", hint="Choose another one", code="import.empty")
    targets = _settled(parser, sums)
    new = [t for t in targets if not t["sid"] and t["samples"]]
    summary = {
        "rows": rows, "samples": sums.samples, "first": sums.first, "last": sums.last,
        "problems": sums.problems, "told": sums.told, "head": sums.head,
        "signals": len({t["path"] for t in targets if t["samples"]}), "new": len(new),
        "listed": [{name: t[name] for name in ("path", "kind", "unit", "sid", "samples")}
                   for t in targets if t["samples"]][:200],
    }  # fmt: skip
    return summary, targets


def _settled(parser: Parser, sums: _Sums) -> list[dict[str, Any]]:
    """Return the targets as plain values; a kind that nobody named follows from the values."""
    n = len(parser.targets)
    texts = np.pad(sums.texts, (0, n - len(sums.texts)))
    counts = np.pad(sums.per_target, (0, n - len(sums.per_target)))
    settled = []
    for (name, unit, kind), number in parser.numbered():
        target = parser.targets[number]
        if target.kind is None:
            target.kind = Kind.STRING if texts[number] else Kind.FLOAT
            if 0 < texts[number] < counts[number]:
                raise Refused(f"{target.path} has texts and numbers", code="import.mixed",
                              hint="Give texts and numbers a signal each")  # fmt: skip
        settled.append({**asdict(target), "names": [name, unit, kind],
                        "samples": int(counts[number])})  # fmt: skip
    return settled


def _head(cells: Cells, targets: Sequence[Target]) -> list[dict[str, Any]]:
    shown = range(min(_HEAD, len(cells.key)))
    texts = None if cells.s is None else cells.s.slice(0, _HEAD).to_pylist()
    return [
        {
            "path": targets[cells.key[i]].path, "ts": int(cells.ts[i]),
            "v": None if np.isnan(cells.v[i]) else float(cells.v[i]),
            "s": texts[i][:200] if texts and texts[i] is not None else None,
            "q": int(cells.q[i]), "unit": targets[cells.key[i]].unit,
        }
        for i in shown
    ]  # fmt: skip


def drafts(targets: Sequence[Mapping[str, Any]], name: str) -> list[Signal]:
    """Return the signals that an import brings and that there are not yet, one a path."""
    new: dict[str, Mapping[str, Any]] = {}
    for target in targets:
        if not target["sid"] and target["samples"]:
            new.setdefault(target["path"], target)
    return [
        Signal(0, t["path"], t["path"].rpartition("/")[2], Kind(t["kind"]), t["unit"],
               source="import", description=f"imported from {name}"[:300])
        for t in new.values()
    ]  # fmt: skip


def run_parser(form: Form, newest: int, targets: Sequence[Mapping[str, Any]]) -> Parser:
    """Return the parser of a run: names mean what the check has settled."""
    made = {
        tuple(t["names"]): Target(t["path"], Kind(t["kind"]), t["unit"], t["factor"], t["offset"],
                                  t["sid"])
        for t in targets
    }  # fmt: skip

    def resolve(name: str, unit: str, kind: str) -> Target:
        try:
            return made[name, unit, kind]
        except KeyError:
            raise Broken(f"the file names '{name[:80]}' now, which it did not when it was checked",
                         code="import.changed", retryable=False) from None  # fmt: skip

    return Parser(form, newest, resolve)


def blocks_of(
    cells: Cells, targets: Sequence[Target], origin: str, arrival: int
) -> Iterator[SampleBlock]:
    """Cut the samples of a piece into blocks, by signal and time."""
    if not len(cells.key):
        return
    sids = np.array([target.sid for target in targets], np.int64)[cells.key]
    order = np.lexsort((cells.ts, sids))
    texts = None if cells.s is None else cells.s.take(order)
    sids, ts, v, q = sids[order], cells.ts[order], cells.v[order], cells.q[order]
    for at in range(0, len(order), BLOCK):
        cut = slice(at, at + BLOCK)
        s = None if texts is None else texts.slice(at, BLOCK)
        if s is not None and s.null_count == len(s):
            s = None
        yield SampleBlock.from_columns(
            sids[cut], ts[cut], v[cut], q[cut], s=s, origin=origin, arrival=arrival
        )
