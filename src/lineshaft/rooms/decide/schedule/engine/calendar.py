"""When machines are closed: shifts and windows as a sorted list of gaps.

Rules: seconds UTC throughout; a gap is [from, to); gaps never touch. Shifts follow the wall clock
of the shop's zone: a shift over a change to summer time is an hour shorter, as people's is.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from lineshaft.rooms.decide.schedule.model import Machine, Shift

__all__ = ["closures", "ended"]

Gap = tuple[int, int]
_DAY = 86_400


def closures(machine: Machine, zone: str, begin: int, end: int) -> list[Gap]:
    """Return the gaps of a machine between two moments (seconds UTC), cut there."""
    gaps = [(w.start // 1_000_000, -(-w.end // 1_000_000)) for w in machine.closed]
    if machine.shifts:
        gaps += _between(_open(machine.shifts, zone, begin, end), begin, end)
    return _joined((max(a, begin), min(b, end)) for a, b in gaps if a < end and b > begin)


def _open(shifts: Iterable[Shift], zone: str, begin: int, end: int) -> list[Gap]:
    """Return the open times between two moments, in order of time."""
    place = ZoneInfo(zone)
    day = datetime.fromtimestamp(begin - 2 * _DAY, UTC).date()
    last = datetime.fromtimestamp(end + 2 * _DAY, UTC).date()
    found = list[Gap]()
    while day <= last:
        for shift in shifts:
            if day.isoweekday() in shift.days:
                night = shift.end <= shift.begin
                found.append(
                    (
                        _moment(day.toordinal(), shift.begin, place),
                        _moment(day.toordinal() + night, shift.end, place),
                    )
                )
        day += timedelta(days=1)
    return _joined(found)


def _moment(day: int, seconds: int, place: ZoneInfo) -> int:
    local = datetime.fromordinal(day) + timedelta(seconds=seconds)
    return int(local.replace(tzinfo=place).timestamp())


def _joined(gaps: Iterable[Gap]) -> list[Gap]:
    """Return gaps in order of time, those that touch as one.

    >>> _joined([(5, 6), (1, 3), (2, 4)])
    [(1, 4), (5, 6)]
    """
    found = list[Gap]()
    for a, b in sorted(gaps):
        if b <= a:
            continue
        if found and a <= found[-1][1]:
            found[-1] = (found[-1][0], max(b, found[-1][1]))
        else:
            found.append((a, b))
    return found


def _between(times: Iterable[Gap], begin: int, end: int) -> list[Gap]:
    """Return what lies between times that are in order."""
    found, at = list[Gap](), begin
    for a, b in times:
        if a > at:
            found.append((at, min(a, end)))
        at = max(at, b)
    return [*found, (at, end)]


def ended(gaps: Iterable[Gap], at: int, work: int) -> int:
    """Return when `work` seconds begun at a moment are done, gaps (in order) left out.

    >>> ended([(10, 20)], 5, 7)
    22
    """
    for a, b in gaps:
        if b <= at:
            continue
        if work <= a - at:
            break
        work -= max(a - at, 0)
        at = b
    return at + work
