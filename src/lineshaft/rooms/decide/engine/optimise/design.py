"""Which moves teach most: corners of a small box round a point, all handles at once.

Rules: the signs of the handles are orthogonal over the moves (R. L. Plackett and J. P. Burman, "The
design of optimum multifactorial experiments", Biometrika 33, 1946; here by Hadamard's matrices), so
each handle's effect is told from the others'; corners stay within 0 … 1, and where a surface says
that a corner would pass a limit, the handle most to blame is turned the other way.
"""

import numpy as np
from scipy.linalg import hadamard

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.optimise.choose import Bound

__all__ = ["probes", "turned"]


def probes(centre: Floats, size: Floats, least: int, dice: np.random.Generator) -> Floats:
    """Return at least `least` corners `(moves, handles)` of the box `centre ± size`."""
    n = len(centre)
    order = 1 << max(1, int(np.ceil(np.log2(max(n + 1, least)))))
    signs = hadamard(order).astype(np.float64)
    signs = signs[dice.permutation(order)][:, 1 + dice.permutation(order - 1)[:n]]
    signs = signs * dice.choice([-1.0, 1.0], n)
    return np.asarray(np.clip(centre + size * signs, 0.0, 1.0), np.float64)


def turned(corner: Floats, centre: Floats, bounds: list[Bound]) -> Floats:
    """Return the corner with handles turned until no bound is expected to be passed."""
    move = corner - centre
    for bound in bounds:
        slope = bound.sign * bound.surface.slope(centre)
        for _ in range(len(move)):
            blame = slope * move
            if bound.room(centre + move, 0.0) >= min(0.0, bound.room(centre, 0.0)) or (
                blame.max() <= 0
            ):
                break
            worst = int(blame.argmax())
            move[worst] = -move[worst]
    return np.clip(centre + move, 0.0, 1.0)
