"""Which scores are out of the ordinary, told from the scores themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST = 20
"""Scores that quartiles are told from."""
_REACH = 2.2  # interquartile ranges beyond the quartile: of normal scores one in 6,000 lies there
_BINS = 20_000  # of cosines
_MOST = 1 - 1e-6  # of a cosine, so that artanh is finite
_PAIRS = 20  # that a quantile is told from, at least


def fence(scores: NDArray[np.floating]) -> float:
    """The score above which one is an outlier (Tukey 1977, at 2.2 interquartile ranges).

    Up to a quarter of the scores may be outliers without moving it much. Infinite, so that nothing is above
    it, for fewer than LEAST scores.
    """
    scores = scores[np.isfinite(scores)]
    if len(scores) < LEAST:
        return np.inf
    low, high = np.quantile(scores, [0.25, 0.75])
    return float(high + _REACH * (high - low))


class Histogram:
    """Counts cosines in bins, so that quantiles of billions fit in memory."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, dtype=np.int64)

    def add(self, cosines: NDArray[np.floating]) -> None:
        """Count these, of any shape."""
        bins = np.clip((cosines.ravel() + 1) * (_BINS / 2), 0, _BINS - 1).astype(np.int32)
        self.counts += np.bincount(bins, minlength=_BINS)

    def tail(self) -> "Tail | None":
        """How rare high cosines are; None for too few to say."""
        total = int(self.counts.sum())
        near = max(1e-3, _PAIRS / max(1, total))
        if 10 * near > 0.5:
            return None
        above = np.cumsum(self.counts[::-1])[::-1] / total
        places = [int(np.argmax(above <= rate)) for rate in (10 * near, near)]
        first, second = np.arctanh(np.clip(2 * np.array(places) / _BINS - 1, -_MOST, _MOST)).tolist()
        return Tail(total, near, second, max(second - first, 2 / _BINS))


@dataclass(frozen=True)
class Tail:
    """The high end of the cosines of different people's centres."""

    pairs: int
    rate: float
    """The share of them at `start` or above: one in 1,000, or 20 of them where they are few."""
    start: float
    """In Fisher's z, artanh of the cosine, as all here."""
    tenfold: float
    """How much higher a cosine is that a tenth as many reach, from 10 x `rate` to `rate`; the same on from
    there, which is too many of a tail like a normal one's."""

    def by_chance(self, cosines: NDArray[np.floating]) -> NDArray[np.float64]:
        """How many of all pairs of different people are expected at these cosines or above."""
        z = np.arctanh(np.clip(cosines.astype(np.float64), -_MOST, _MOST))
        return np.asarray(self.pairs * self.rate * 10.0 ** (-(z - self.start) / self.tenfold))


def listed(by_chance: NDArray[np.float64]) -> int:
    """The longest start of a list, the rarest first, that holds five times as many as chance gives."""
    there = np.flatnonzero(np.arange(1, len(by_chance) + 1) >= 5 * by_chance)
    return int(there[-1]) + 1 if len(there) else 0
