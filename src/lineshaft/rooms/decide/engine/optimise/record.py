"""What an optimiser remembers of a plant: blocks of periods.

Rules: a handle enters scaled to its range (0 at `low`, 1 at `high`); a block is the mean of `BLOCK`
periods; what was not measured is NaN and stays so; only the newest `KEPT` blocks are remembered.
"""

import io
from typing import Any, Final

import numpy as np

from lineshaft.rooms.decide.engine.method import Floats

__all__ = ["BLOCK", "KEPT", "Record", "Rows", "packed", "unpacked"]

BLOCK: Final = 6
KEPT: Final = 8000


class Rows:
    """Blocks as arrays: `x (T, handles)`, `out (T, outputs)`, `within (T, outputs)` the variance of
    the periods within a block. Blocks follow one another without a gap."""

    def __init__(self, x: Floats, out: Floats, within: Floats) -> None:
        self.x, self.out, self.within = x, out, within

    def __len__(self) -> int:
        return len(self.x)


class Record:
    """The memory. Outputs are the objective first, then the limited signals."""

    def __init__(self, handles: int, outputs: int) -> None:
        self._n, self._m = handles, outputs
        self._blocks = list[Floats]()
        self._stacked: Rows | None = None
        self._open = np.zeros((4, max(handles, outputs)))
        self.periods = 0

    @property
    def blocks(self) -> int:
        """How many blocks have been closed, the forgotten ones included."""
        return self.periods // BLOCK

    def add(self, x: Floats, out: Floats) -> None:
        """Take one period: handles `(handles,)`, finite, and outputs `(outputs,)`, NaN where
        missing."""
        there = np.isfinite(out)
        filled = np.where(there, out, 0.0)
        m = self._m
        self._open[0, : self._n] += x
        self._open[1, :m] += filled
        self._open[2, :m] += filled**2
        self._open[3, :m] += there
        self.periods += 1
        if self.periods % BLOCK == 0:
            self._close()

    def _close(self) -> None:
        m, count = self._m, self._open[3, : self._m]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(count * 2 >= BLOCK, self._open[1, :m] / count, np.nan)
            spread = (self._open[2, :m] / count - mean**2) * count / (count - 1)
        row = [self._open[0, : self._n] / BLOCK, mean, np.maximum(spread, 0.0)]
        self._blocks.append(np.concatenate(row))
        del self._blocks[:-KEPT]
        self._open[:] = 0.0
        self._stacked = None

    def rows(self, until: int | None = None) -> Rows:
        """Return the remembered blocks, oldest first; `until`: only that many of all closed."""
        if self._stacked is None:
            width = self._n + 2 * self._m
            table = np.array(self._blocks) if self._blocks else np.zeros((0, width))
            n, m = self._n, self._m
            self._stacked = Rows(table[:, :n], table[:, n : n + m], table[:, n + m :])
        last = self._stacked
        if until is None or until >= self.blocks:
            return last
        keep = max(0, len(last) - (self.blocks - until))
        return Rows(last.x[:keep], last.out[:keep], last.within[:keep])

    def save(self) -> dict[str, Any]:
        """Return all of it as arrays."""
        width = self._n + 2 * self._m
        blocks = np.array(self._blocks).reshape(-1, width)
        return {"blocks": blocks, "open": self._open, "periods": self.periods}

    def load(self, kept: dict[str, Any]) -> None:
        """Take over what `save` gave."""
        self._blocks = list(kept["blocks"])
        self._open = np.array(kept["open"])
        self.periods = int(kept["periods"])
        self._stacked = None


def packed(arrays: dict[str, Any]) -> bytes:
    """Return arrays as the bytes of an `npz`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, Any]:
    """Return what `packed` took."""
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        return dict(kept)
