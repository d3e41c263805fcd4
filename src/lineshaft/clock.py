"""The one place that reads the clock.

Everything that needs the time takes it as an argument (pure code) or calls this module
(services). A house test holds the rest of the package to that.
"""

import time

__all__ = ["monotonic_s", "now_us"]


def now_us() -> int:
    """Return the wall time: microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def monotonic_s() -> float:
    """Return seconds of a clock that never jumps; only differences mean anything."""
    return time.monotonic()
