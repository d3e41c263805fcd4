"""Times as people write them, as the platform takes them: int µs since 1970 UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from lineshaft.core.errors import Refused

__all__ = ["Duration", "Moment", "duration_us", "moment_us", "time_range"]

Moment = datetime | int | str
Duration = str | timedelta

_UNITS: Final = {
    "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "min": 60_000_000, "h": 3_600_000_000,
    "d": 86_400_000_000, "w": 604_800_000_000,
}  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def duration_us(length: Duration) -> int:
    """Return µs of "90s", "15m", "8h", "7d", "2w", "1.5h" or a timedelta; more than nothing.

    >>> duration_us("8h"), duration_us("1.5h"), duration_us(timedelta(minutes=1))
    (28800000000, 5400000000, 60000000)
    """
    if isinstance(length, timedelta):
        found = length // _MICROSECOND
    else:
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|min|m|h|d|w)", str(length).strip())
        found = round(float(match[1]) * _UNITS[match[2]]) if match else 0
    if found <= 0:
        raise Refused(f"'{length}' is no duration", hint="Write 90s, 15m, 8h or 7d",
                      code="query.duration")  # fmt: skip
    return found


def moment_us(when: Moment) -> int:
    """Return µs of a datetime with a time zone, of ISO 8601 text with one, or of µs.

    Raises Refused for a time without zone: nobody can know which it is.

    >>> moment_us("2026-01-01T08:00:00+08:00") == moment_us(datetime(2026, 1, 1, tzinfo=UTC))
    True
    """
    if isinstance(when, int) and not isinstance(when, bool):
        return when
    given: object = when
    if isinstance(when, str):
        try:
            given = datetime.fromisoformat(when)
        except ValueError:
            raise Refused(f"'{when[:60]}' is no time", hint="Write 2026-01-31T08:00:00+01:00",
                          code="query.time") from None  # fmt: skip
    if not isinstance(given, datetime):
        raise Refused(f"{type(when).__name__} is no time", hint="Give a datetime with a time zone",
                      code="query.time")  # fmt: skip
    if given.tzinfo is None:
        raise Refused(f"the time {given} has no time zone", hint="Say which: "
                      "datetime(…, tzinfo=UTC) or ZoneInfo('Europe/Berlin')",
                      code="query.zone")  # fmt: skip
    return (given - _EPOCH) // _MICROSECOND


def time_range(
    start: Moment | None, end: Moment | None, last: Duration | None, now: int
) -> dict[str, int]:
    """Return the query's `from` and `to`: `last` counts back from `end`, which is now by default.

    An end that is not given is left to the platform, whose clock counts.
    """
    until = {} if end is None else {"to": moment_us(end)}
    if last is not None:
        if start is not None:
            raise Refused("both 'start' and 'last' are given", hint="Give one of them",
                          code="query.range")  # fmt: skip
        return {"from": max(0, until.get("to", now) - duration_us(last)), **until}
    return until if start is None else {"from": moment_us(start), **until}
