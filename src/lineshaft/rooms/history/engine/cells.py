"""From a table of an imported file to samples, and to a sentence for every cell that is none.

Two layouts: *wide* (a time column, one column a signal) and *long* (time, path, value and more).
Rules: a cell that does not fit is a problem with its row, never a guess; an empty cell of a wide
table is no sample; NaN and infinity are null and Bad. Values are converted to the signal's own unit
here, at the rim, and nowhere later.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lineshaft.core.errors import Refused
from lineshaft.core.quality import BAD, GOOD, UNCERTAIN, Reason, bad
from lineshaft.core.signals import Kind
from lineshaft.rooms.history.engine.rows import Column
from lineshaft.rooms.history.engine.sheet_form import Form
from lineshaft.rooms.history.engine.stamp_text import EMPTY, FITS, SKIPPED, TWICE, parse_stamps

__all__ = ["Cells", "Parser", "Problem", "Target", "parse_numbers", "parse_quality"]

NUMBER, BLANK, ODD, WORD, TEXT, WRONG = range(6)
_MAX_TEXT: Final = 65_536
_MAX_SIGNALS: Final = 100_000
_TOLD: Final = 20
_OUTSIDE: Final = 9
_EXACT: Final = 2.0**53
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ODD: Final = pa.array(["nan", "na", "n/a", "#n/a", "null", "none", "inf", "+inf", "-inf",
                        "infinity", "-infinity", "-nan"])  # fmt: skip
_WORDS: Final = pa.array(["false", "true"])
_QUALITY: Final = re.compile(r"(good|uncertain|bad)(?:/([a-z_]+|\d{1,3}))?")


@dataclass(frozen=True, slots=True)
class Problem:
    """A cell that is no sample: `row` counts from 0 in its table, `text` says what is wrong."""

    row: int
    text: str


@dataclass(slots=True)
class Target:
    """Where values go: a signal's path, its kind (None: not known yet) and what becomes of a value:
    `v * factor + offset`. `sid` is 0 as long as there is no such signal; `unit` is that of the
    file, of the signal where it has one."""

    path: str
    kind: Kind | None = None
    unit: str = ""
    factor: float = 1.0
    offset: float = 0.0
    sid: int = 0


@dataclass(frozen=True, slots=True)
class Cells:
    """Samples of a table, columns of shape `(n,)`: `key` is the target's number, `v` NaN for null;
    `s` is None where no sample is a text. `wrong` counts the problems, `problems` tells some."""

    key: Column
    ts: Column
    v: Column
    q: Column
    s: pa.Array | None
    wrong: int
    problems: list[Problem]


def parse_numbers(column: pa.Array, decimal: str = ".") -> tuple[Column, Column]:
    """Return (values float64, what each cell is uint8), both of shape `(n,)`.

    NUMBER, BLANK, ODD (not a number, infinite), WORD (true, false: 1, 0) or WRONG; the value is NaN
    for all but numbers and words.
    """
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        blank = column.is_null().to_numpy(zero_copy_only=False)
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        what = np.where(blank, BLANK, np.where(np.isfinite(values), NUMBER, ODD))
        return np.where(what == NUMBER, values, np.nan), what.astype(np.uint8)
    if decimal == ",":
        # A point is no mark of thousands either: what has one must not become another number.
        column = pc.replace_substring(pc.replace_substring(column, ".", "?"), ",", ".")
    try:
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        if np.isfinite(values).all():
            return values, np.zeros(len(values), np.uint8)
    except pa.ArrowInvalid:
        pass
    texts = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    fits = pc.match_substring_regex(texts, _NUMBER)
    values = pc.if_else(fits, texts, None).cast(pa.float64()).to_numpy(zero_copy_only=False)
    lower = pc.utf8_lower(texts)
    word = pc.fill_null(pc.index_in(lower, _WORDS), -1).to_numpy()
    what = np.select(
        [np.isfinite(values), pc.equal(texts, "").to_numpy(zero_copy_only=False), word >= 0,
         pc.is_in(lower, _ODD).to_numpy(zero_copy_only=False) | np.isinf(values)],
        [NUMBER, BLANK, WORD, ODD], WRONG,
    )  # fmt: skip
    values = np.where(word >= 0, word, np.where(np.isfinite(values), values, np.nan))
    return values, what.astype(np.uint8)


def parse_quality(text: str) -> int | None:
    """Return the quality that `describe` (or a number) tells, None where it tells none.

    >>> parse_quality("bad/sensor"), parse_quality("good"), parse_quality("513"), parse_quality("x")
    (517, 0, 513, None)
    """
    if text.isascii() and text.isdigit() and len(text) < 4:
        return int(text) if int(text) < BAD + 256 else None
    match = _QUALITY.fullmatch(text)
    if match is None:
        return None
    base = {"good": GOOD, "uncertain": UNCERTAIN, "bad": BAD}[match[1]]
    reason = match[2] or "0"
    known = {one.name.lower(): int(one) for one in Reason}
    number = int(reason) if reason.isdigit() else known.get(reason, 256)
    return base + number if number < 256 else None


@dataclass(slots=True)
class Parser:
    """Reads the tables of one file, one after the other.

    `targets` are known beforehand (wide, or a run whose check has found them), or found on the way
    by `resolve(name, unit, kind)`. `newest` is the last stamp (µs) that is not in the future.
    """

    form: Form
    newest: int
    resolve: Callable[[str, str, str], Target]
    targets: list[Target] = field(default_factory=list)
    _number: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def parse(self, table: pa.Table) -> Cells:
        """Return the samples of a table with this form's columns."""
        ts, flag = parse_stamps(_one(table, self.form.time.column), self.form.time)
        key, row, v, what, s, q = (self._wide if self.form.layout == "wide" else self._long)(table)
        told = _Told()
        flag = np.where((flag == FITS) & ((ts < 0) | (ts > self.newest)), _OUTSIDE, flag)
        used = what != BLANK
        fits = used & (flag[row] == FITS)
        self._tell_times(told, table, flag, np.unique(row[used & ~fits]))
        v = self._check_kinds(told, key, row, v, what, s, fits)
        fits &= ~told.marked(len(fits))
        pick = np.flatnonzero(fits)
        texts = None if s is None else s.take(pa.array(pick))
        if texts is not None and texts.null_count == len(texts):
            texts = None
        v, q = np.where(what == TEXT, np.nan, v)[pick], q[pick]
        empty = np.isnan(v) & (what[pick] != TEXT) & (q < BAD)
        q = np.where(empty, bad(Reason.NOT_A_NUMBER), q)
        return Cells(key[pick], ts[row[pick]], v, q, texts, told.count, told.problems)

    def number(self, name: str, unit: str = "", kind: str = "") -> int:
        """Return the number of the target of this name; a new one is resolved."""
        found = self._number.get((name, unit, kind))
        if found is None:
            if len(self.targets) >= _MAX_SIGNALS:
                raise Refused(f"the file names more than {_MAX_SIGNALS} signals",
                              hint="Import it in parts", code="import.signals")  # fmt: skip
            found = self._number[name, unit, kind] = len(self.targets)
            self.targets.append(self.resolve(name, unit, kind))
        return found

    def numbered(self) -> list[tuple[tuple[str, str, str], int]]:
        """Return (name, unit, kind) as the file has them, with the number of their target."""
        return list(self._number.items())

    def _wide(self, table: pa.Table) -> "_Raw":
        columns = [column for column in self.form.columns if column.use]
        keys = [self.number(c.path, c.unit, c.kind) for c in columns]
        is_text = [self.targets[key].kind == Kind.STRING for key in keys]
        numeric = [(k, c) for k, c, text in zip(keys, columns, is_text, strict=True) if not text]
        textual = [(k, c) for k, c, text in zip(keys, columns, is_text, strict=True) if text]
        n, ordered = len(table), [key for key, _ in numeric + textual]
        v, what = np.empty(0), np.empty(0, np.uint8)
        if numeric:
            cells = [_one(table, column.name) for _, column in numeric]
            same = len({cell.type for cell in cells}) == 1
            parts = [parse_numbers(cell, self.form.decimal)
                     for cell in ([pa.concat_arrays(cells)] if same else cells)]  # fmt: skip
            v, what = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        s = None
        if textual:
            texts = pa.concat_arrays([_text(_one(table, c.name), self.form) for _, c in textual])
            null = texts.is_null().to_numpy(zero_copy_only=False)
            s = pa.concat_arrays([pa.nulls(len(v), pa.utf8()), texts])
            what = np.concatenate((what, np.where(null, BLANK, TEXT).astype(np.uint8)))
            v = np.concatenate((v, np.full(len(texts), np.nan)))
        key = np.repeat(np.array(ordered, np.int32), n)
        row = np.tile(np.arange(n), len(ordered))
        return key, row, v, what, s, np.zeros(len(v), np.int32)

    def _long(self, table: pa.Table) -> "_Raw":
        long, n = self.form.long, len(table)
        names = _words(table, long.path)
        units = _text(_words(table, long.unit), self.form) if long.unit else pa.array([""] * n)
        kinds = _words(table, long.kind) if long.kind else pa.array([""] * n)
        joined = pc.binary_join_element_wise(names, units, kinds, "\0").dictionary_encode()
        numbers = [self.number(*name.split("\0")) for name in joined.dictionary.to_pylist()]
        key = np.array(numbers, np.int32)[joined.indices.to_numpy()]
        v, what = parse_numbers(_one(table, long.value), self.form.decimal)
        s = None
        stringy = np.array([t.kind == Kind.STRING for t in self.targets])[key]
        if long.text:
            s = _text(_one(table, long.text), self.form)
        elif stringy.any():
            s = _text(_one(table, long.value).cast(pa.utf8()), self.form)
            s = pc.if_else(pa.array(stringy), s, None)
        if s is not None:
            has_text = s.is_valid().to_numpy(zero_copy_only=False)
            both = has_text & (what != BLANK) & bool(long.text)
            what = np.where(has_text, np.where(both, WRONG, TEXT), what).astype(np.uint8)
        what[what == BLANK] = ODD  # a line of its own: the value is null
        q = self._qualities(table, what)
        return key, np.arange(n), v, what, s, q

    def _qualities(self, table: pa.Table, what: Column) -> Column:
        if not self.form.long.quality:
            return np.zeros(len(what), np.int32)
        coded = _words(table, self.form.long.quality).dictionary_encode()
        known = [parse_quality(word) if word else 0 for word in coded.dictionary.to_pylist()]
        q = np.array([-1 if one is None else one for one in known], np.int32)
        q = q[coded.indices.to_numpy()]
        what[q < 0] = WRONG
        known_or_good: Column = np.maximum(q, 0)
        return known_or_good

    def _tell_times(self, told: "_Told", table: pa.Table, flag: Column, rows: Column) -> None:
        form = self.form.time
        sentences = {
            EMPTY: "the time is empty",
            SKIPPED: f"the clocks of {form.zone} skipped this local time",
            TWICE: f"the clocks of {form.zone} showed this time twice; say which is meant (fold)",
            _OUTSIDE: "the time lies before 1970 or in the future",
        }
        cells = _one(table, form.column)
        told.count += len(rows)
        for at in rows[:_TOLD].tolist():
            sentence = sentences.get(int(flag[at]), f"this is no time of the form {form.format}")
            told.problems.append(Problem(at, f"{_shown(cells[at].as_py())}: {sentence}"))

    def _check_kinds(
        self, told: "_Told", key: Column, row: Column, v: Column, what: Column,
        s: pa.Array | None, fits: Column,
    ) -> Column:  # fmt: skip
        """Tell what does not suit its signal's kind; return the values in the signals' units."""
        targets = self.targets
        kinds = [target.kind for target in targets]
        is_ = {kind: np.array([k == kind for k in kinds])[key] for kind in Kind}
        open_ = np.array([kind is None for kind in kinds])[key]
        factor = np.array([target.factor for target in targets])[key]
        offset = np.array([target.offset for target in targets])[key]
        v = np.where((factor != 1) | (offset != 0), v * factor + offset, v)
        has = (what == NUMBER) | (what == WORD)
        with np.errstate(invalid="ignore"):
            broken = has & ((v != np.rint(v)) | (np.abs(v) > _EXACT))
            rules = [
                (what == WRONG, "is no number"),
                ((what == WORD) & ~is_[Kind.BOOL], "is no number"),
                ((what == TEXT) & ~is_[Kind.STRING] & ~open_, "is a text, and the signal has none"),
                (has & is_[Kind.STRING], "is a number, and the signal has texts"),
                (broken & is_[Kind.INT], "is no whole number"),
                (has & is_[Kind.BOOL] & (v != 0) & (v != 1), "is neither true nor false"),
            ]  # fmt: skip
        if s is not None:
            long = pc.greater(pc.binary_length(s), _MAX_TEXT)
            rules.append((pc.fill_null(long, False).to_numpy(zero_copy_only=False),
                          f"is a text of more than {_MAX_TEXT} bytes"))  # fmt: skip
        for mask, sentence in rules:
            where = np.flatnonzero(mask & fits)
            told.add(where, row, [f"{targets[key[i]].path} {sentence}" for i in where[:_TOLD]])
        return v


_Raw = tuple[Column, Column, Column, Column, pa.Array | None, Column]
"""key, row, v, what, s, q"""


@dataclass(slots=True)
class _Told:
    """Problems as they are found: how many, the first of them, and which samples they spoil."""

    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    _where: list[Column] = field(default_factory=list)

    def add(self, where: Column, row: Column, sentences: Sequence[str]) -> None:
        """Add the problem of samples `where`; `sentences` tell the first of them."""
        self.count += len(where)
        self._where.append(where)
        for at, sentence in zip(where.tolist(), sentences, strict=False):
            self.problems.append(Problem(int(row[at]), f"the cell for {sentence}"))

    def marked(self, n: int) -> Column:
        """Return the mask of samples with a problem."""
        mask = np.zeros(n, bool)
        for where in self._where:
            mask[where] = True
        return mask


def _one(table: pa.Table, name: str) -> pa.Array:
    """Return a column in one piece, dictionaries unfolded."""
    places = table.schema.get_all_field_indices(name)
    if len(places) != 1:
        many = "is there more than once" if places else "is missing"
        raise Refused(f"the column '{name[:80]}' {many}", code="import.column",
                      hint="Name the columns as the file's first line does")  # fmt: skip
    column = table.column(places[0])
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    return array.cast(pa.utf8()) if pa.types.is_large_string(array.type) else array


def _words(table: pa.Table, name: str) -> pa.Array:
    texts = pc.utf8_trim_whitespace(_one(table, name).cast(pa.utf8()))
    return pc.fill_null(pc.replace_substring(texts, "\0", ""), "")


def _text(column: pa.Array, form: Form) -> pa.Array:
    texts = column.cast(pa.utf8())
    if form.apostrophes:
        texts = pc.replace_substring_regex(texts, r"^'('*[=+\-@\t\r])", r"\1")
    return texts


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return "'" + (text if len(text) <= 60 else text[:57] + "...") + "'"
