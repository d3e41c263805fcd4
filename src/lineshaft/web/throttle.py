"""Back-off for those who guess: by account and by address.

Rules: some failures are free, then each doubles the pause, up to five minutes; an attempt counts as
a failure until it succeeded, so that many at once gain nothing; what has been quiet for a quarter
of an hour is forgotten; memory is bounded, the longest quiet is forgotten first. Pure: the time is
an argument.
"""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from lineshaft.core.errors import Refused

__all__ = ["Throttle", "Throttled", "network_of"]

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 300.0
_QUIET_S: Final = 900.0
_MOST: Final = 10_000


class Throttled(Refused):
    """Too many failures; `retry_s` says when the next attempt is looked at."""

    def __init__(self, retry_s: int) -> None:
        super().__init__(
            "too many attempts failed", hint=f"Wait {retry_s} s, then try again",
            code="session.throttled", status=429,
        )  # fmt: skip
        self.retry_s = retry_s


@dataclass(slots=True)
class _Failures:
    count: int = 0
    until: float = 0.0
    last: float = 0.0


class Throttle:
    """Counts failures of one sort; `free` of them cost nothing."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._known: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, key: str, now: float) -> int:
        """Return for how many whole seconds an attempt would be turned away; 0 for none."""
        known = self._known.get(key)
        if known is None or now >= known.until:
            return 0
        return math.ceil(known.until - now)

    def count(self, key: str, now: float) -> None:
        """Count a failure."""
        known = self._known.pop(key, None)
        if known is None or now - known.last > _QUIET_S:
            known = _Failures()
        known.count, known.last = known.count + 1, now
        over = known.count - self._free
        if over >= 0:
            known.until = now + min(_FIRST_S * 2.0 ** min(over, 30), _LONGEST_S)
        self._known[key] = known
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def forget(self, key: str) -> None:
        """Forget all failures: its owner came in."""
        self._known.pop(key, None)

    def take_back(self, key: str) -> None:
        """Take back the failure last counted, with its pause."""
        known = self._known.get(key)
        if known is not None:
            known.count, known.until = max(known.count - 1, 0), 0.0


def network_of(address: str) -> str:
    """Return what one sender may easily change addresses in: an IPv6 /64, an IPv4 address alone.

    >>> network_of("2001:db8::1:2:3:4"), network_of("::ffff:192.0.2.7")
    ('2001:db8::/64', '192.0.2.7')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
