"""The list of signals as a CSV sheet: written for spreadsheets, read back with suspicion.

Rules: what was written is read back as it was, to the last digit. No text can become a formula: an
apostrophe stands before what a spreadsheet would run, and is taken away when read. A sheet is
judged whole before anything is changed; what is wrong is told by line and reason. Two sheets that
would do the same to the same signals have the same token, any other has another one.
"""

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Signal
from lineshaft.rooms.plant.engine import edited
from lineshaft.rooms.plant.model import EDITABLE, FIXED, Listed

__all__ = [
    "MAX_BYTES", "Line", "Sheet", "Verdict", "differing", "judge", "read_sheet", "write_sheet",
]  # fmt: skip

MAX_BYTES: Final = 50_000_000
_MAX_ROWS: Final = 200_000
_MAX_LINE: Final = 64 * 1024
COLUMNS: Final = ("sid", *EDITABLE, *FIXED)
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_TEXTS: Final = {"path", "name", "unit", "description", "kind", "source"}


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of a sheet says: the fields it wants, and the fixed ones it repeats."""

    number: int
    sid: int
    wanted: Mapping[str, Any]
    fixed: Mapping[str, Any]


@dataclass(slots=True)
class Sheet:
    """The lines that could be read, and of the others number, sid (0: none) and reason."""

    lines: list[Line] = field(default_factory=list)
    bad: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """What a sheet would do: edits (before, after); lines without a signal; lines that clash with
    what there is."""

    changes: list[tuple[Listed, Listed]] = field(default_factory=list)
    unknown: list[tuple[int, int, str]] = field(default_factory=list)
    conflicts: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def token(self) -> str:
        """Return the same text for the same changes to the same revisions of the same signals."""
        told = hashlib.blake2b(digest_size=20)
        for before, after in sorted(self.changes, key=lambda pair: pair[0].signal.sid):
            new = {name: getattr(after.signal, name) for name in differing(before, after)}
            told.update(json.dumps([before.signal.sid, before.revision, new]).encode())
        return told.hexdigest()


def differing(before: Listed, after: Listed) -> list[str]:
    """Return the names of the fields that an edit changes."""
    return [n for n in EDITABLE if getattr(before.signal, n) != getattr(after.signal, n)]


def write_sheet(listed: Sequence[Listed]) -> Iterator[bytes]:
    """Return the sheet in pieces: UTF-8, a header line, one line a signal."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for number, one in enumerate(listed):
        writer.writerow([_cell(one.signal, name) for name in COLUMNS])
        if number % 1000 == 999:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _cell(signal: Signal, name: str) -> Any:
    value = getattr(signal, name)
    if name == "kind":
        return signal.kind.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _FORMULA.match(value):
        return "'" + value
    return value


def read_sheet(body: IO[bytes]) -> Sheet:
    """Read a sheet; raise Refused where it is none, or where nothing after a line can be trusted.

    Needs the column `sid`; others of those that `write_sheet` writes may be left out.
    """
    text = io.TextIOWrapper(body, encoding="utf-8-sig", newline="")
    reader = csv.reader(_lines(text), strict=True)
    sheet, number = Sheet(), 1
    try:
        header = _header(next(reader, []))
        seen: dict[int, int] = {}
        while True:
            number = reader.line_num + 1
            row = next(reader, None)
            if row is None:
                return sheet
            if row:
                _take(sheet, number, dict(zip(header, row, strict=False)), len(row) - len(header),
                      seen)  # fmt: skip
            if len(sheet.lines) + len(sheet.bad) > _MAX_ROWS:
                raise Refused(f"the sheet has more than {_MAX_ROWS:,} lines",
                              hint="Cut it in two", code="sheet.size", status=413)  # fmt: skip
    except csv.Error as error:
        raise Refused(f"line {number} is no CSV: {error}", hint="Save it as CSV with commas",
                      code="sheet.form", status=422) from error  # fmt: skip
    except UnicodeDecodeError as error:
        raise Refused(f"line {number} or one soon after it is not UTF-8",
                      hint="Save it as CSV UTF-8", code="sheet.form",
                      status=422) from error  # fmt: skip
    finally:
        text.detach()


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_MAX_LINE + 1):
        number += 1
        if len(line) > _MAX_LINE:
            raise Refused(f"line {number} has more than {_MAX_LINE:,} characters",
                          hint="No line of a list of signals is that long", code="sheet.form",
                          status=422)  # fmt: skip
        yield line


def _header(header: Sequence[str]) -> Sequence[str]:
    names = [name.strip() for name in header]
    odd = next((name for name in names if name not in COLUMNS or names.count(name) > 1), None)
    if odd is not None or "sid" not in names:
        reason = "has no column 'sid'" if odd is None else f"has the column '{odd[:60]}'" + (
            " twice" if odd in COLUMNS else ", which is none of a signal's")  # fmt: skip
        raise Refused(f"the first line {reason}", hint="Start from an exported sheet, separated by "
                      f"commas; the columns are {', '.join(COLUMNS)}", code="sheet.header",
                      status=422)  # fmt: skip
    return names


def _take(
    sheet: Sheet, number: int, cells: Mapping[str, str], more: int, seen: dict[int, int]
) -> None:
    sid = int(cells["sid"]) if re.fullmatch(r"[0-9]{1,9}", cells.get("sid", "")) else 0
    try:
        if more:
            raise ValueError(f"it has {abs(more)} cells too {'many' if more > 0 else 'few'}")
        if not sid:
            raise ValueError(f"'{cells['sid'][:40]}' is no signal id")
        if sid in seen:
            raise ValueError(f"signal {sid} is on line {seen[sid]} already")
        seen[sid] = number
        parsed = {name: _parse(name, cell) for name, cell in cells.items() if name != "sid"}
    except ValueError as error:
        sheet.bad.append((number, sid, str(error)))
        return
    wanted = {name: value for name, value in parsed.items() if name in EDITABLE}
    fixed = {name: value for name, value in parsed.items() if name in FIXED}
    sheet.lines.append(Line(number, sid, wanted, fixed))


def _parse(name: str, cell: str) -> Any:
    if name in _TEXTS:
        return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
    plain = cell.strip()
    if name == "writable":
        if plain.lower() in {"true", "false"}:
            return plain.lower() == "true"
        raise ValueError(f"{name} is true or false, not '{cell[:40]}'")
    if not plain:
        return None
    if not _NUMBER.fullmatch(plain) or not math.isfinite(float(plain)):
        raise ValueError(f"{name}: '{cell[:40]}' is no number")
    value = float(plain)
    if name not in {"decimals", "period_ms"}:
        return value
    if value != int(value):
        raise ValueError(f"{name}: '{cell[:40]}' is no whole number")
    return int(value)


def judge(lines: Sequence[Line], known: Mapping[int, Listed]) -> Verdict:
    """Return what the lines would do to the signals that there are now (`known`, by sid)."""
    verdict = Verdict()
    where: dict[int, int] = {}
    for line in lines:
        before = known.get(line.sid)
        if before is None:
            verdict.unknown.append((line.number, line.sid, f"there is no signal {line.sid}"))
            continue
        try:
            _check_fixed(line, before)
            after = edited(before, line.wanted)
        except Refused as refused:
            verdict.conflicts.append((line.number, line.sid, refused.message))
            continue
        if after is not before:
            verdict.changes.append((before, after))
            where[line.sid] = line.number
    _check_paths(verdict, known, where.__getitem__)
    return verdict


def _check_fixed(line: Line, before: Listed) -> None:
    for name, value in line.fixed.items():
        if value != getattr(before.signal, name):
            raise Refused(f"{name} is {getattr(before.signal, name)} and cannot be edited")


def _check_paths(
    verdict: Verdict, known: Mapping[int, Listed], line_of: Callable[[int], int]
) -> None:
    """Move edits that would give two signals one path to the conflicts."""
    moved = {after.signal.sid: after.signal.path for before, after in verdict.changes
             if after.signal.path != before.signal.path}  # fmt: skip
    if not moved:
        return
    final = {sid: moved.get(sid, listed.signal.path) for sid, listed in known.items()}
    owners: dict[str, int] = {}
    for sid, path in sorted(final.items(), key=lambda pair: (pair[0] in moved, pair[0])):
        other = owners.setdefault(path, sid)
        if other != sid:
            verdict.conflicts.append((line_of(sid), sid, f"signal {other} has the path '{path}'"))
            verdict.changes = [pair for pair in verdict.changes if pair[1].signal.sid != sid]
