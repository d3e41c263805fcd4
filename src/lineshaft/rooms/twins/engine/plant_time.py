"""Plant time: how long a plant has run that runs faster than the wall.

Rules: a clock is a signal that tells plant seconds per wall second; it holds until its next sample.
Without a sample yet, and without a clock, plant time is wall time.
"""

import numpy as np

from lineshaft.rooms.twins.engine.behaviour import Vector

__all__ = ["PlantTime"]

Stamps = np.ndarray[tuple[int], np.dtype[np.int64]]


class PlantTime:
    """Plant time of one clock; remembers where it last changed."""

    def __init__(self, wall: int = 0, plant: int = 0, speed: float = 1.0) -> None:
        self.wall, self.plant, self.speed = wall, plant, speed

    def of(self, stamps: Stamps) -> Stamps:
        """Return the plant time (µs) of wall stamps (µs), both `(n,)`, at the speed held now."""
        since: Stamps = np.rint((stamps - self.wall) * self.speed).astype(np.int64)
        return self.plant + since

    def hear(self, stamps: Stamps, speeds: Vector) -> None:
        """Take samples of the speed, in order of time; what is no speed is left out."""
        for at, speed in zip(stamps.tolist(), speeds.tolist(), strict=True):
            if at > self.wall and 0.0 < speed < 1e6 and speed != self.speed:
                self.plant += round((at - self.wall) * self.speed) if self.wall else at
                self.wall, self.speed = at, speed
