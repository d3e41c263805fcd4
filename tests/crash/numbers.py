"""Samples that carry their own number, so that a lost or a doubled one can be named.

Block `b` holds the numbers `b·ROWS … (b+1)·ROWS−1`; the same block is the same bytes always. Some
blocks come late, some lie beyond midnight, the signals lie in two chunks.
"""

from itertools import pairwise

from lineshaft.core.samples import SampleBlock

ROWS = 40
SIDS = (1, 2, 3, 65_600)
DAY = 86_400_000_000
START = 19_700 * DAY + DAY - 2_000_000
_LATE = 6


def numbered(block: int) -> SampleBlock:
    """Return block `block`; every sixth goes back in time, before all others."""
    numbers = range(block * ROWS, (block + 1) * ROWS)
    sids = [SIDS[n % len(SIDS)] for n in numbers]
    steps = [n // len(SIDS) for n in numbers]
    late = block % _LATE == _LATE - 1
    stamps = [START - 1 - step * 100 if late else START + step * 1000 for step in steps]
    return SampleBlock.from_columns(
        sids, stamps, [float(n) for n in numbers], [0] * ROWS,
        origin="counter", arrival=START + 100 * DAY,
    )  # fmt: skip


def first_hole(numbers: list[int], count: int) -> str:
    """Say what is wrong with sorted numbers that should be 0 … count-1, or nothing."""
    if numbers == list(range(count)):
        return ""
    held = set(numbers)
    doubled = sorted({a for a, b in pairwise(numbers) if a == b})
    lost = [n for n in range(count) if n not in held]
    more = [n for n in numbers if n >= count]
    return f"of {count}: lost {lost[:20]}, doubled {doubled[:20]}, too many {more[:20]}"
