"""Mean, deviation, and the paired difference with its interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Of the values of n seeds."""

    n: int
    mean: float
    sd: float | None
    """Sample standard deviation, over n - 1; None for one value."""


@dataclass(frozen=True)
class Difference:
    """Of the differences of n seeds."""

    n: int
    mean: float
    low: float | None
    """Lower end of the 95 % interval; None for one seed, which has no interval."""
    high: float | None
    """Upper end."""

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def summarise(values: ArrayLike) -> Summary:
    """Of one or more values (n,)."""
    x = np.asarray(values, dtype=np.float64)
    return Summary(len(x), float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else None)


def paired_difference(values: ArrayLike, reference: ArrayLike) -> Difference:
    """Mean of `values` - `reference`, (n,) each, the same seed at the same place.

    The interval is Student's: mean -+ t sd / sqrt(n), with the t of n - 1 degrees of freedom that holds the
    middle 95 %. It takes the differences of seeds for independent and roughly normal.
    """
    found = summarise(np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64))
    if found.sd is None:
        return Difference(found.n, found.mean, None, None)
    half = float(stdtrit(found.n - 1, (1 + CONFIDENCE) / 2)) * found.sd / np.sqrt(found.n)
    return Difference(found.n, found.mean, float(found.mean - half), float(found.mean + half))
