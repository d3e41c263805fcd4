"""What the outputs will do over the horizon, as matrices: free response and answer to moves.

Rules: all in scaled units (a handle's range, an output's reach: what all handles together can do to
it). The state is z = (change of x, newest y): `z+ = F z + G Δu`, and outputs of a period come with
it, so an offset of any kind is carried by y itself (velocity form, Pannocchia & Rawlings, AIChE J.
49 (2003) 426; Wang, Model Predictive Control System Design, 2009, ch. 1). Handles are constant
over blocks that grow along the horizon: the near future is decided finely, the far one roughly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats
from lineshaft.rooms.decide.engine.mpc.model import Model

__all__ = ["Horizon", "blocks_of", "horizon_of"]


@dataclass(frozen=True, slots=True)
class Horizon:
    """n states, m handles, p outputs, N periods, b blocks.

    move (n + p, n + p), push (n + p, m): the step of z. free (N p, n + p): outputs without moves.
    answer (N p, b m): outputs by where the handles stand in each block, from where they stand now.
    reach (p,), span (m,): what one scaled unit is.
    """

    move: Floats
    push: Floats
    free: Floats
    answer: Floats
    reach: Floats
    span: Floats
    starts: tuple[int, ...]


def blocks_of(horizon: int) -> tuple[int, ...]:
    """Return at which periods handles may move: each, then ever further apart.

    >>> blocks_of(40)
    (0, 1, 2, 3, 4, 6, 9, 13, 19, 28)
    """
    starts, at = [], 0
    while at < horizon:
        starts.append(at)
        at += max(1, at // 2)
    return tuple(starts)


def horizon_of(model: Model, span: Floats, periods: int, starts: Sequence[int]) -> Horizon:
    """Return the matrices of a model whose handles have these ranges `(m,)`."""
    n, m, p = len(model.a), len(model.inputs), len(model.outputs)
    steps = model.steps(periods) * span
    reach = np.abs(steps).sum(axis=2).max(axis=0)
    reach = np.where(reach > 0, reach, 1.0)
    c, d = model.c / reach[:, None], model.d * span / reach[:, None]
    move = np.block([[model.a, np.zeros((n, p))], [c, np.eye(p)]])
    push = np.vstack([model.b * span, d])
    free, row = np.empty((periods, p, n + p)), move[n:]
    for k in range(periods):
        free[k], row = row, row @ move
    answer = np.zeros((periods, p, len(starts), m))
    scaled = steps / reach[:, None]
    for i, start in enumerate(starts):
        answer[start:, :, i] += scaled[: periods - start]
        if i + 1 < len(starts):
            answer[starts[i + 1] :, :, i] -= scaled[: periods - starts[i + 1]]
    return Horizon(move, push, free.reshape(-1, n + p), answer.reshape(periods * p, -1),
                   reach, span, tuple(starts))  # fmt: skip
