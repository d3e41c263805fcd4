"""Plants whose gain is known: what a loop saves there, hidden under all that plants do.

None of them is what the account believes a plant to be. The cost answers a load (steps, ramps,
wander) along a curve and late, and the weather; shifts and weeks shape it, it drifts (a random
walk, or fouling that is cleaned off), upsets come and go, its noise is autocorrelated, in half of
the plants of second order; values are missing. The loop's effect comes in with a lag of second
order, over an inventory that for hours shows up to three times the saving (or hides it); in some
plants it grows over the first week, and in all it depends on the load. What people declare as time
to settle is off by up to a factor of two. The truth of a period is the saving that would stand if
the plant had settled, at that load and day.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lineshaft.rooms.decide.engine.value import SwitchBack

__all__ = ["Plant", "plant"]

Floats = NDArray[np.float64]
BASE, _FIRST_H, _FINE = 100.0, 336, 4  # cost an hour; hours before the loop; steps in an hour


@dataclass(frozen=True, slots=True)
class Plant:
    """Hour by hour `(n_hours,)`: cost (NaN: missing), loop on, load and weather as measured, and
    the saving that stands once settled; `settle_h` is what people declare."""

    cost: Floats
    on: NDArray[np.bool_]
    explain: Floats
    saving: Floats
    settle_h: float


def plant(seed: int, hours: int, gain: float | None = None) -> Plant:
    """Return the plant of this seed; a gain of None is drawn, 2 to 8 % of the cost."""
    random = np.random.default_rng([20_261_130, seed])
    share = float(random.uniform(0.02, 0.08)) if gain is None else gain
    off_h, seed_of_plan = float(random.uniform(16, 28)), int(random.integers(1 << 30))
    plan = SwitchBack(_FIRST_H, 72.0, off_h, seed_of_plan, 16.0)
    on = np.array([plan.on(float(hour)) for hour in range(hours)])
    load, weather = _load(random, hours), _weather(random, hours)
    full = share * BASE * (1 + random.uniform(-1, 1) * (load - 1) * 3)
    if random.random() < 0.25:
        full = full * np.clip((np.arange(hours) - _FIRST_H) / 168, 0, 1)
    slow_h = float(np.exp(random.uniform(np.log(0.4), np.log(3))))
    seen = _lagged(on, full, slow_h, random)
    late = _filter(np.repeat(load, _FINE), random.uniform(0.3, 2) * _FINE)
    late = late.reshape(hours, _FINE).mean(axis=1)
    off = late - 1
    cost = BASE * (1 + random.uniform(0.3, 1.2) * off + random.uniform(-1, 1) * off**2)
    cost += random.uniform(-0.3, 0.3) * weather + _shifts(random, hours) + _drift(random, hours)
    cost += _noise(random, hours) + _upsets(random, hours) - seen
    cost[random.random(hours) < 0.02] = np.nan
    measured = np.stack([load, weather], axis=1)
    measured += random.normal(0, (0.002, 0.3), measured.shape)
    return Plant(cost, on, measured, full, 5 * slow_h * float(2 ** random.uniform(-1, 1)))


def _filter(signal: Floats, steps: float) -> Floats:
    keep, out, state = np.exp(-1 / steps), np.empty(len(signal)), float(signal[0])
    for i, value in enumerate(signal):
        state = keep * state + (1 - keep) * value
        out[i] = state
    return out


def _lagged(
    on: NDArray[np.bool_], full: Floats, slow_h: float, random: np.random.Generator
) -> Floats:
    """Return the saving as it shows, means of hours: second order, and an inventory that fills."""
    wish = np.repeat(np.where(on, full, 0.0), _FINE)
    settled = _filter(_filter(wish, slow_h * _FINE), 0.3 * slow_h * _FINE)
    inventory = settled - _filter(settled, slow_h * _FINE)
    shown = settled + random.uniform(-1, 6) * inventory
    return np.asarray(shown.reshape(-1, _FINE).mean(axis=1))


def _load(random: np.random.Generator, hours: int) -> Floats:
    target, level = np.empty(hours), 1.0
    for hour in range(hours):
        if random.random() < 1 / 20:
            level = float(random.uniform(0.8, 1.2))
        target[hour] = level
    return _filter(target, 1.5) + 0.01 * _walk(random, hours, 12.0)


def _weather(random: np.random.Generator, hours: int) -> Floats:
    day = np.sin(2 * np.pi * (np.arange(hours) - 9) / 24)
    return 15 + 5 * day + 4 * _walk(random, hours, 72.0)


def _walk(random: np.random.Generator, hours: int, memory_h: float) -> Floats:
    """Return first-order autoregressive noise of deviation one."""
    keep = np.exp(-1 / memory_h)
    steps = random.normal(0, np.sqrt(1 - keep**2), hours)
    steps[0] = random.normal()
    out = np.empty(hours)
    state = 0.0
    for i, step in enumerate(steps):
        state = keep * state + step
        out[i] = state
    return out


def _shifts(random: np.random.Generator, hours: int) -> Floats:
    """Return how three shifts and the weekend differ, in steps."""
    hour = np.arange(hours)
    crews = random.normal(0, random.uniform(0, 1.0), 3)[(hour // 8) % 3]
    return np.asarray(crews + random.normal(0, 0.7) * ((hour // 24) % 7 >= 5))


def _drift(random: np.random.Generator, hours: int) -> Floats:
    if random.random() < 0.5:
        return np.cumsum(random.normal(0, random.uniform(0, 0.06), hours))
    length, slope = random.uniform(150, 600), random.uniform(0, 3)
    return np.asarray(slope * ((np.arange(hours) + random.uniform(0, length)) % length) / length)


def _noise(random: np.random.Generator, hours: int) -> Floats:
    memory = float(np.exp(random.uniform(np.log(1), np.log(24))))
    slow = _walk(random, hours, memory)
    if random.random() < 0.5:
        slow = _filter(slow, random.uniform(0.5, 3))
    return random.uniform(0.5, 3) * slow + random.normal(0, random.uniform(0.2, 1.5), hours)


def _upsets(random: np.random.Generator, hours: int) -> Floats:
    out = np.zeros(hours)
    for start in np.flatnonzero(random.random(hours) < 1 / 240):
        length = int(random.integers(2, 24))
        out[start : start + length] += random.choice((-1, 1)) * random.uniform(3, 10)
    return out
