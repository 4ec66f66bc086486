"""People whose centres are closer than two people's are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evenface.check.cleaning.calibration import Histogram
from evenface.check.cleaning.faces import CHUNK, Floats, Ints

MOST = 4096
"""Pairs of people that are kept."""
_PAIR = np.dtype([("first", "i8"), ("second", "i8"), ("cosine", "f4")])


@dataclass(frozen=True, eq=False)
class Alike:
    """The pairs (K,) of people whose centres are nearest, the nearest first."""

    first: Ints
    second: Ints
    cosine: Floats
    by_chance: NDArray[np.float64]
    """How many pairs of different people are expected to be as near, of all there are; infinite where there
    are too few people to say."""


def alike(first: Floats, second: Floats | None = None, most: int = MOST) -> Alike:
    """The most alike of all pairs of rows of `first` (P, D) and `second` (Q, D), or within `first`."""
    seen = Histogram()
    found = np.zeros(0, dtype=_PAIR)
    others = first if second is None else second
    start = 0
    while start < len(first):
        left = start if second is None else 0  # within one set each pair once
        stop = start + max(1, CHUNK // max(1, len(others) - left))
        cosine = first[start:stop] @ others[left:].T
        if second is None:
            seen.add(cosine[np.triu_indices_from(cosine, 1)])
            cosine[np.tril_indices_from(cosine)] = -np.inf
        else:
            seen.add(cosine)
        flat = cosine.ravel()
        least = found["cosine"][-1] if len(found) == most else -np.inf
        best = np.flatnonzero(flat > least)
        if len(best) > most:
            best = best[np.argpartition(-flat[best], most - 1)[:most]]
        new = np.empty(len(best), dtype=_PAIR)
        new["first"], new["second"] = np.divmod(best, cosine.shape[1])
        new["first"] += start
        new["second"] += left
        new["cosine"] = flat[best]
        found = np.sort(np.concatenate([found, new]), order=["cosine", "first", "second"])[::-1][:most]
        start = stop
    tail = seen.tail()
    by_chance = np.full(len(found), np.inf) if tail is None else tail.by_chance(found["cosine"])
    return Alike(found["first"], found["second"], found["cosine"], by_chance)
