"""What a bank believes of a sum of its states: an interval, and how much evidence is against zero.

Rules: it is a mixture of Student t, one part a member, so an interval holds what is not known of
the noise, too. It is a quarter wider than the members say, because no member is the plant: that
much was needed for 95 of 100 of the plants of `bench.value_plants` (seeds that the bench does not
use), whose noise, upsets, drift and settling are of other kinds than the bank's. Evidence is the
ratio of the densities at zero before and after (Savage-Dickey, Dickey 1971); under no gain it
exceeds 20 at any time, however often one looks, with a chance of at most 1 in 20 (Ville's
inequality, as far as the model is right).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, stdtr

from lineshaft.rooms.decide.engine.value.bank import GAIN_SPREAD, Bank

__all__ = ["Belief", "believe"]

Floats = NDArray[np.float64]
_DOUBT = 1.25


@dataclass(frozen=True, slots=True)
class Belief:
    """The middle, the interval that holds 95 %, and the evidence against zero (a ratio)."""

    middle: float
    low: float
    high: float
    evidence: float


def believe(bank: Bank, what: Floats, hours: float = 1.0) -> Belief:
    """Return what is believed of a sum of states `(n,)` divided by `hours`, in units of spread."""
    weight = bank.weights
    middle = bank.mean @ what / hours
    variance = np.maximum((bank.cov @ what) @ what, 1e-18)
    spread = _DOUBT * np.sqrt(variance * bank.size) / hours
    keep = weight > 1e-7
    mixture = _Mixture(weight[keep] / weight[keep].sum(), middle[keep], spread[keep], bank.seen)
    before = 1 / np.sqrt(2 * np.pi * GAIN_SPREAD**2 * float(weight @ bank.size))
    return Belief(
        float(weight @ middle), mixture.quantile(0.025), mixture.quantile(0.975),
        before / max(mixture.density(0.0), 1e-300),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Mixture:
    weight: Floats
    middle: Floats
    spread: Floats
    freedom: int

    def below(self, value: float) -> float:
        return float(self.weight @ stdtr(self.freedom, (value - self.middle) / self.spread))

    def density(self, value: float) -> float:
        n = self.freedom
        z = (value - self.middle) / self.spread
        front = gammaln((n + 1) / 2) - gammaln(n / 2) - 0.5 * np.log(n * np.pi)
        each = np.exp(front - (n + 1) / 2 * np.log1p(z * z / n)) / self.spread
        return float(self.weight @ each)

    def quantile(self, share: float) -> float:
        reach = 40 * float(self.spread.max())
        low, high = float(self.middle.min()) - reach, float(self.middle.max()) + reach
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.below(middle) < share else (low, middle)
        return (low + high) / 2
