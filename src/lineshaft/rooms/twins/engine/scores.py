"""Scores: how far each twin of a group is from its machine, and when that is worth a word.

Rules: a channel is one output of one row; only channels whose good period was learned are scored.
A twin has drifted when the mean of a channel left its place, or when most of its newest innovations
are as rare as one in a thousand; it has come back when neither was so for a while. One alarm alone
says nothing: of a thousand healthy samples one does that.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit

from lineshaft.core.samples import Floats
from lineshaft.rooms.twins.engine import drift

__all__ = ["Scores"]

Array = np.ndarray[Any, Any]
_STATE: Final = drift.State._fields
_PER_CHANNEL: Final = [name for name in drift.Healthy._fields if name != "weight"]
_NEWEST: Final = 0.05  # weight of the newest alarm in the share of alarms
_MOST, _FEW = 0.5, 0.05


class Scores:
    """The channels of one group, `outputs` for each row."""

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs
        self._healthy = _nothing(0)
        self._limits = np.zeros(0)
        self._state = drift.begin(self._healthy)
        self._share = np.zeros(0)
        self._drifted = np.zeros(0, np.int64)
        self._told: dict[int, drift.Healthy] = {}

    def set(self, rows: int, taught: Mapping[int, drift.Healthy]) -> None:
        """Score these rows, of `rows` in all; a channel whose good period is another one now
        begins anew."""
        n, r = rows * self._outputs, self._outputs
        healthy = _nothing(n)
        for row, known in taught.items():
            for name in _PER_CHANNEL:
                getattr(healthy, name)[row * r : row * r + r] = getattr(known, name)
            healthy.weight[...] = known.weight
        state = drift.begin(healthy)
        share, drifted = np.zeros(n), np.zeros(n, np.int64)
        same = [row for row, known in taught.items() if self._told.get(row) is known]
        kept = (np.array(same, np.int64)[:, None] * r + np.arange(r)).ravel()
        kept = kept[kept < len(self._share)]
        for name in _STATE:
            getattr(state, name)[kept] = getattr(self._state, name)[kept]
        share[kept], drifted[kept] = self._share[kept], self._drifted[kept]
        self._healthy, self._state, self._share, self._drifted = healthy, state, share, drifted
        self._limits, self._told = drift.slow_limits(healthy), dict(taught)

    def hear(self, row: Array, output: Array, z: Floats, at: Array) -> list[tuple[int, int, int]]:
        """Take innovations; return (event, row, 1 or 0) where a channel drifted or came back."""
        if not self._told or not len(row):
            return []
        channel = row * self._outputs + output
        verdicts = drift.update(self._healthy, self._state, channel, z, at, limits=self._limits)
        turned = np.zeros(len(row), np.int64)
        _judge(channel, verdicts.fast, verdicts.slow, self._healthy.ready, self._share,
               self._drifted, turned)  # fmt: skip
        return [(int(e), int(row[e]), int(turned[e] > 0)) for e in np.flatnonzero(turned)]

    def of(self, rows: Array) -> Floats:
        """Return the score of each row: the highest of its channels, NaN where none is learned."""
        r = self._outputs
        channels = (np.asarray(rows, np.int64)[:, None] * r + np.arange(r)).ravel()
        fast, slow = drift.report(self._healthy, self._state, channels)
        ready = self._healthy.ready[channels].reshape(-1, r) > 0
        highest = np.where(ready, np.maximum(fast, slow).reshape(-1, r), -1.0).max(1)
        return np.where(highest < 0, np.nan, highest)

    def save(self) -> dict[str, Array]:
        """Return copies of everything that this knows but what was taught."""
        saved = {name: getattr(self._state, name).copy() for name in _STATE}
        return {**saved, "share": self._share.copy(), "drifted": self._drifted.copy()}

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved; the rows must be set as they were."""
        for name in _STATE:
            getattr(self._state, name)[:] = saved[name]
        self._share[:], self._drifted[:] = saved["share"], saved["drifted"]


def _nothing(channels: int) -> drift.Healthy:
    """Return channels of which nothing was learned."""
    none = np.zeros(0)
    return drift.learn(none, none, none, channels)


@njit(cache=True)
def _judge(
    channel: Any, fast: Any, slow: Any, ready: Any, share: Any, drifted: Any, turned: Any
) -> None:  # fmt: skip
    for e in range(channel.size):
        i = channel[e]
        if ready[i] == 0:
            continue
        share[i] += _NEWEST * ((1.0 if fast[e] else 0.0) - share[i])
        if drifted[i] == 0 and (slow[e] or share[i] > _MOST):
            drifted[i] = turned[e] = 1
        elif drifted[i] == 1 and not slow[e] and share[i] < _FEW:
            drifted[i], turned[e] = 0, -1
