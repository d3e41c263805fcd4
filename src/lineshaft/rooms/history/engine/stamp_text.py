"""From texts and numbers of the usual forms to stamps in µs UTC.

Rules: a stamp that cannot be read is marked, never guessed. A local time that the clocks skipped is
no time; one that they showed twice needs a word (`fold`): which of the two is meant.
"""

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.rows import Column

__all__ = [
    "EMPTY", "FITS", "SKIPPED", "TWICE", "UNREADABLE", "TimeForm", "check_time_form",
    "parse_stamps",
]  # fmt: skip

FITS, EMPTY, UNREADABLE, SKIPPED, TWICE = range(5)
_EPOCH: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
_DAY_US: Final = 86_400_000_000
_FAR: Final = 1 << 58
_ISO: Final = (
    r"^(?P<Y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?:[Tt ](?P<H>\d{2}):(?P<M>\d{2})"
    r"(?::(?P<S>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)? ?(?P<z>[Zz]|[+-]\d{2}(?::?\d{2})?)?$"
)
_TWO: Final = r"\d{1,2}"
_TOKENS: Final = {
    "%Y": r"(?P<Y>\d{4})", "%y": r"(?P<y>\d{2})", "%m": f"(?P<m>{_TWO})", "%d": f"(?P<d>{_TWO})",
    "%H": f"(?P<H>{_TWO})", "%I": f"(?P<H>{_TWO})", "%M": f"(?P<M>{_TWO})", "%S": f"(?P<S>{_TWO})",
    "%f": r"(?P<f>\d{1,9})", "%p": r"(?P<p>[AaPp])[Mm]", "%b": r"(?P<b>[A-Za-z]{3})",
    "%z": r"(?P<z>[Zz]|[+-]\d{2}:?\d{2})", "%%": "%",
}  # fmt: skip
_MONTHS: Final = pa.array(
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
)
_OFFSET: Final = re.compile(r"([+-])(\d{2}):?(\d{2})")


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How a column tells the time.

    `format` is `iso` (ISO 8601 with `T` or a space), `s`, `ms`, `us`, `ns` (since 1970), or a
    pattern of %Y %y %m %d %H %I %M %S %f %p %b %z. `zone` (an IANA name, UTC or +08:00) holds where
    the text names none; `fold` says which of two equal local times is meant: refuse, first, second.
    """

    column: str
    format: str = "iso"
    zone: str = "UTC"
    fold: str = "refuse"


def check_time_form(form: TimeForm) -> None:
    """Raise Refused where the format or the zone is none."""
    if form.format not in {"iso", *_EPOCH}:
        _pattern(form.format)
    if form.fold not in {"refuse", "first", "second"}:
        raise Refused(f"'{form.fold[:40]}' is no answer to a local time shown twice",
                      hint="Use refuse, first or second", code="import.fold")  # fmt: skip
    _fixed_offset(form.zone) if _OFFSET.fullmatch(form.zone) else _zone(form.zone)


def parse_stamps(column: pa.Array, form: TimeForm) -> tuple[Column, Column]:
    """Return (stamps in µs UTC int64, what each is uint8), both of shape `(n,)`.

    Stamps are 0 wherever the second is not FITS. Digits beyond a microsecond are cut.
    """
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(column.type):
        scale = _EPOCH[column.type.unit]
        ts, flag = _scaled(column.cast(pa.int64()), scale)
        aware = np.full(len(ts), column.type.tz is not None)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        ts, flag = _scaled(column, _EPOCH.get(form.format, 1))
        flag[(flag == FITS) & (form.format not in _EPOCH)] = UNREADABLE
        aware = np.ones(len(ts), bool)
    else:
        texts = pc.utf8_trim_whitespace(column.cast(pa.utf8()))
        ts, flag, aware = _from_texts(texts, form.format)
    local = ~aware & (flag == FITS)
    if local.any():
        ts[local], flag[local] = _to_utc(ts[local], form)
    ts[flag != FITS] = 0
    return ts, flag


def _scaled(numbers: pa.Array, nanoseconds: int) -> tuple[Column, Column]:
    """Return numbers of so many nanoseconds each as µs."""
    flag = np.where(numbers.is_null().to_numpy(zero_copy_only=False), EMPTY, FITS).astype(np.uint8)
    values = pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False)
    with np.errstate(all="ignore"):
        far = ~(np.abs(values.astype(np.float64)) * (nanoseconds / 1000) < _FAR)
        values = np.where(far, 0, values)
        if values.dtype.kind == "f":
            ts = np.rint(values * (nanoseconds / 1000)).astype(np.int64)
        elif nanoseconds >= 1000:
            ts = values.astype(np.int64) * (nanoseconds // 1000)
        else:
            ts = values.astype(np.int64) // 1000
    flag[far & (flag == FITS)] = UNREADABLE
    return ts, flag


def _from_texts(texts: pa.Array, format: str) -> tuple[Column, Column, Column]:
    """Return (µs, flag, whether the text named its zone)."""
    if format in _EPOCH:
        whole = pc.match_substring_regex(texts, r"^-?[0-8]?\d{1,18}$")
        broken = pc.match_substring_regex(texts, r"^-?\d{1,18}[.,]\d{0,9}$")
        exact, flag = _scaled(_cast_where(whole, texts, pa.int64()), _EPOCH[format])
        dotted = pc.replace_substring(texts, ",", ".")
        rough, other = _scaled(_cast_where(broken, dotted, pa.float64()), _EPOCH[format])
        ts, flag = np.where(flag == FITS, exact, rough), np.minimum(flag, other)
        return ts, _or_unreadable(flag, texts), np.ones(len(ts), bool)
    if format == "iso":
        for zone in (None, "UTC"):  # the two common forms at the speed of a cast
            try:
                ts = texts.cast(pa.timestamp("us", tz=zone))
            except pa.ArrowInvalid:
                continue
            return *_scaled(ts.cast(pa.int64()), 1000), np.full(len(texts), zone is not None)
    return _from_parts(texts, _ISO if format == "iso" else _pattern(format))


def _cast_where(fits: pa.Array, texts: pa.Array, kind: pa.DataType) -> pa.Array:
    return pc.if_else(fits, texts, pa.scalar(None, pa.utf8())).cast(kind)


def _or_unreadable(flag: Column, texts: pa.Array) -> Column:
    """Tell what is empty from what is not, among what did not match."""
    blank = pc.fill_null(pc.equal(texts, ""), True).to_numpy(zero_copy_only=False)
    return np.where(blank, EMPTY, np.where(flag == FITS, FITS, UNREADABLE)).astype(np.uint8)


def _from_parts(texts: pa.Array, pattern: str) -> tuple[Column, Column, Column]:
    found = pc.extract_regex(texts, pattern)
    names = [field.name for field in found.type]
    parts = dict(zip(names, found.flatten(), strict=True))

    def number(name: str, default: int) -> Column:
        if name not in parts:
            return np.full(len(texts), default, np.int64)
        some = pc.if_else(pc.equal(parts[name], ""), str(default), parts[name])
        column: Column = pc.fill_null(some.cast(pa.int64()), default).to_numpy()
        return column

    year, month, day = number("Y", 1970), number("m", 1), number("d", 1)
    if "y" in parts:
        year = number("y", 70)
        year = year + np.where(year < 69, 2000, 1900)  # the pivot of POSIX strptime
    if "b" in parts:
        where = pc.index_in(pc.utf8_lower(parts["b"]), _MONTHS)
        month = pc.fill_null(where, -1).to_numpy().astype(np.int64) + 1
    hour, minute, second = number("H", 0), number("M", 0), number("S", 0)
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False) & (year > 0)
    if "p" in parts:
        late = pc.fill_null(pc.equal(pc.utf8_lower(parts["p"]), "p"), False)
        fits &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + 12 * late.to_numpy(zero_copy_only=False)
    days, valid = _days(year, month, day)
    fits &= valid & (hour < 24) & (minute < 60) & (second < 60)
    ts = days * _DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000
    if "f" in parts:
        digits = pc.utf8_slice_codeunits(pc.utf8_rpad(parts["f"], 6, "0"), 0, 6)
        ts = ts + pc.fill_null(digits.cast(pa.int64()), 0).to_numpy()
    aware = np.zeros(len(texts), bool)
    if "z" in parts:
        offset, aware = _offsets_in(parts["z"])
        ts = ts - offset
    return np.where(fits, ts, 0), _or_unreadable(np.where(fits, FITS, 1), texts), aware


def _days(year: Column, month: Column, day: Column) -> tuple[Column, Column]:
    """Return (days since 1970, whether there is such a day)."""
    valid = (month >= 1) & (month <= 12) & (day >= 1)
    safe = np.where(valid, month, 1)
    first = ((year - 1970) * 12 + safe - 1).astype("datetime64[M]")
    start = first.astype("datetime64[D]").astype(np.int64)
    after = (first + 1).astype("datetime64[D]").astype(np.int64)
    days = start + day - 1
    return days, valid & (days < after)


def _offsets_in(zones: pa.Array) -> tuple[Column, Column]:
    """Return (µs east of UTC, whether one is named) for `Z`, `+08`, `+08:00` or nothing."""
    coded = zones.dictionary_encode()
    named = coded.dictionary.to_pylist()
    offsets = np.array([_fixed_offset(zone) if zone else 0 for zone in named] or [0], np.int64)
    aware = np.array([bool(zone) for zone in named] or [False])
    which = pc.fill_null(coded.indices, 0).to_numpy()
    return offsets[which], aware[which]


def _fixed_offset(zone: str) -> int:
    if zone in {"Z", "z"}:
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise Refused(f"there is no time zone {zone}", code="import.zone",
                      hint="Offsets lie between -15:59 and +15:59")  # fmt: skip
    return (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60_000_000


@functools.lru_cache(maxsize=64)
def _pattern(format: str) -> str:
    """Return the regular expression of a format; Refused where it is none."""
    pieces = re.findall(r"%.|[^%]", format)
    tokens = [piece for piece in pieces if len(piece) == 2 and piece != "%%"]
    wrong = [token for token in tokens if token not in _TOKENS]
    has_date = {"%d"} <= set(tokens) and {"%m", "%b"} & set(tokens) and {"%Y", "%y"} & set(tokens)
    groups = ["%H" if token == "%I" else token for token in tokens]
    halves = ("%I" in tokens) == ("%p" in tokens)
    whole = "".join(pieces) == format and len(format) <= 80
    if wrong or not has_date or len(set(groups)) < len(groups) or not halves or not whole:
        raise Refused(
            f"'{format[:80]}' is no form of a time",
            hint="Use iso, s, ms, us, ns, or a pattern such as %d.%m.%Y %H:%M:%S (with %I goes %p)",
            code="import.time_format",
        )
    return "^" + "".join(_TOKENS.get(piece) or re.escape(piece) for piece in pieces) + "$"


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, IsADirectoryError) as error:
        raise Refused(f"there is no time zone '{name[:80]}'", code="import.zone",
                      hint="Use Europe/Berlin, UTC, +08:00 or alike") from error  # fmt: skip


@functools.lru_cache(maxsize=2048)
def _changes(name: str, year: int) -> tuple[list[int], list[int]]:
    """Return the moments (µs UTC) of a year at which the zone's offset (µs) may change, the year's
    beginning included, and the offsets from then on."""
    zone, hour = _zone(name), timedelta(hours=1)

    def offset(at: datetime) -> int:
        return int(at.astimezone(zone).utcoffset() / timedelta(microseconds=1))  # type: ignore[operator]

    at, stop = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    moments, offsets = [at], [offset(at)]
    while at < stop:
        then = at + timedelta(days=1)
        if offset(then) != offsets[-1]:
            low, high = at, then
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
            rounded = (high + timedelta(seconds=30)).replace(second=0, microsecond=0)
            moments.append(rounded if offset(rounded - hour) == offsets[-1] else high)
            offsets.append(offset(then))
        at = then
    start = datetime(1970, 1, 1, tzinfo=UTC)
    return [(m - start) // timedelta(microseconds=1) for m in moments], offsets


def _to_utc(local: Column, form: TimeForm) -> tuple[Column, Column]:
    """Return (µs UTC, flag) of local times (PEP 495)."""
    flag = np.full(len(local), FITS, np.uint8)
    if form.zone == "UTC":
        return local, flag
    if _OFFSET.fullmatch(form.zone):
        return local - _fixed_offset(form.zone), flag
    years = np.clip([_year(int(local.min())) - 1, _year(int(local.max())) + 1], 1900, 2200)
    tables = [_changes(form.zone, year) for year in range(int(years[0]), int(years[1]) + 1)]
    moments = np.array([moment for table in tables for moment in table[0]], np.int64)
    offsets = np.array([offset for table in tables for offset in table[1]], np.int64)

    def offset_at(utc: Column) -> Any:
        return offsets[np.maximum(np.searchsorted(moments, utc, "right") - 1, 0)]

    early, late = (local - offset_at(local + shift) for shift in (-_DAY_US, _DAY_US))
    is_early, is_late = (offset_at(utc) == local - utc for utc in (early, late))
    flag[~is_early & ~is_late] = SKIPPED
    twice = is_early & is_late & (early != late)
    if form.fold == "refuse":
        flag[twice] = TWICE
    first, second = np.minimum(early, late), np.maximum(early, late)
    chosen = np.where(twice, second if form.fold == "second" else first,
                      np.where(is_early, early, late))  # fmt: skip
    return chosen, flag


def _year(us: int) -> int:
    return int(np.datetime64(us, "us").astype("datetime64[Y]").astype(int)) + 1970
