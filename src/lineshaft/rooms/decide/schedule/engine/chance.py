"""Chance inside kernels: one word of state, the same numbers for a seed on any machine.

Source: xorshift64* of Vigna (ACM Transactions on Mathematical Software 42, 2016).
"""

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.decide.schedule.engine.compiled import compiled

__all__ = ["Chance", "below", "seeded", "share"]

Chance = NDArray[np.uint64]  # (1,)


def seeded(seed: int) -> Chance:
    """Return a state for a seed."""
    return np.random.SeedSequence(seed).generate_state(1, np.uint64) | np.uint64(1)


@compiled
def _draw(chance: Chance) -> int:
    x = chance[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    chance[0] = x
    return np.int64((x * np.uint64(2685821657736338717)) >> np.uint64(33))  # type: ignore[return-value]


@compiled
def below(chance: Chance, n: int) -> int:
    """Return a whole number from 0 to n - 1."""
    return _draw(chance) % n


@compiled
def share(chance: Chance) -> float:
    """Return a number from 0 to 1, 1 left out."""
    return _draw(chance) / 2147483648.0
