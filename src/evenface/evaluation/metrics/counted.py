"""An exact ROC of more impostor pairs than fit in memory."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.metrics.roc import Roc

_LEAST = 1 << 20  # impostor scores sorted at once, at least: what a processor's cache holds
_PER_GENUINE = 8  # and at least as many to a genuine score, so that looking these up costs less than the sort


class RocCounter:
    """Counts impostor scores as they come, against genuine scores at hand.

    The TAR changes at genuine scores only. So for each of these it is enough to know how many impostors lie
    above and at it, and how many share the score next above it. The ROC then has at most three points for
    each genuine score, all of them points of `roc` over all scores at once. Every TAR at a FAR (in all three
    readings), the AUC and the EER are exactly those of `roc`; only the point that is named for a FAR may
    differ, as `roc` can name an impostor score as threshold that gives the same TAR.

    Memory: about 120 bytes a genuine score, twice that while the ROC is built, and a few million bytes.

    Args:
        genuine: (G,) finite scores, higher = more alike. Float32 ones take half the buffer and half the time.

    Raises:
        ValueError: no genuine score, not one-dimensional, or one that is not finite.

    >>> counter = RocCounter([0.9, 0.5])
    >>> counter.add([0.5, 0.1])
    >>> counter.add([0.7])
    >>> curve = counter.roc()
    >>> curve.false_accepts.tolist(), curve.true_accepts.tolist()
    ([0, 0, 1, 2, 3], [0, 1, 1, 2, 2])
    """

    def __init__(self, genuine: ArrayLike) -> None:
        values = _floats(genuine, "genuine")
        if len(values) == 0:
            raise ValueError("no genuine scores")
        self._genuine, self._each = np.unique(values, return_counts=True)
        places = len(self._genuine)
        self._total = 0  # impostors counted in what follows
        self._under = 0  # impostors below all genuine scores: most of them, often, and not to be sorted
        self._lowest = np.inf  # of all impostor scores
        self._below = np.zeros(places, np.int64)  # impostors < each genuine score
        self._through = np.zeros(places, np.int64)  # impostors <= each genuine score
        self._next = np.full(places, np.inf, values.dtype)  # the lowest impostor score > each genuine score
        self._next_ties = np.zeros(places, np.int64)  # how many impostors have that score
        # Two infinities behind the scores, so that looking one or two places further needs no check.
        self._buffer = np.full(max(_LEAST, _PER_GENUINE * places) + 2, np.inf, values.dtype)
        self._waiting = 0

    def add(self, impostors: ArrayLike) -> None:
        """Count more impostor scores, (N,) finite.

        Raises:
            ValueError: not one-dimensional, not finite, or finer than the genuine scores (float64 beside
                float32), which rounding would make equal.
        """
        values = _floats(impostors, "impostor")
        if not np.can_cast(values.dtype, self._buffer.dtype):
            raise ValueError(f"impostor scores are {values.dtype}, genuine ones {self._buffer.dtype}")
        self._lowest = min(self._lowest, values.min(initial=np.inf))
        some, values = len(values), values[values >= self._genuine[0]]
        self._under += some - len(values)
        while len(values):
            part = values[: len(self._buffer) - 2 - self._waiting]
            self._buffer[self._waiting : self._waiting + len(part)] = part
            self._waiting += len(part)
            values = values[len(part) :]
            if self._waiting == len(self._buffer) - 2:
                self._count()

    def roc(self) -> Roc:
        """The ROC of all that was added so far.

        Raises:
            ValueError: no impostor score was added.
        """
        self._count()
        if self._total + self._under == 0:
            raise ValueError("no impostor scores were added")
        # By falling score, a row for each genuine score g: the last but one impostor score above it, the last
        # one above it, and g itself. The first two are left out where they are not there.
        reached = np.cumsum(self._each[::-1])
        false = (
            self._total
            - np.stack([self._through + self._next_ties, self._through, self._below], axis=1)[::-1]
        )
        true = np.stack([reached - self._each[::-1]] * 2 + [reached], axis=1)
        above = self._next.astype(np.float64)
        thresholds = np.stack([np.nextafter(above, np.inf), above, self._genuine], axis=1)[::-1]
        before = np.append(0, false[:-1, 2])[:, None]
        keep = np.append(false[:, :2] > before, np.ones((len(false), 1), np.bool_), axis=1)
        rest = [self._total + self._under] if self._under else []
        return Roc(
            thresholds=np.concatenate([[np.inf], thresholds[keep], [self._lowest] * len(rest)]),
            false_accepts=np.concatenate([[0], false[keep], rest]).astype(np.int64),
            true_accepts=np.concatenate([[0], true[keep], reached[-1:] if rest else []]).astype(np.int64),
        )

    def _count(self) -> None:
        """Count what waits in the buffer: sorted, it is looked up once for each genuine score."""
        if self._waiting == 0:
            return
        scores, n = self._buffer, self._waiting
        scores[n:] = np.inf
        scores[:n].sort()
        below = scores[:n].searchsorted(self._genuine)
        through = np.where(scores[below] == self._genuine, _tie_end(scores, n, below), below)
        following = scores[through]
        ties = _tie_end(scores, n, through) - through
        self._next_ties = np.where(
            following < self._next, ties, self._next_ties + np.where(following == self._next, ties, 0)
        )
        self._next = np.minimum(self._next, following)
        self._below += below
        self._through += through
        self._total += n
        self._waiting = 0


def _tie_end(scores: NDArray[Any], n: int, first: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of the n rising scores (two infinities follow), where the run of equals that starts at `first` ends."""
    end = first + 1
    longer = scores[end] == scores[first]
    end[longer] = scores[:n].searchsorted(scores[first[longer]], side="right")
    return end


def _floats(scores: ArrayLike, kind: str) -> NDArray[Any]:
    values = np.asarray(scores)
    if values.dtype != np.float32:
        values = values.astype(np.float64)
    if values.ndim != 1:
        raise ValueError(f"{kind} scores: expected shape (N,), found {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} {kind} scores are NaN or infinite"
        )
    return values
