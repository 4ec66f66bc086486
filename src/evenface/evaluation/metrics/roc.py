"""The ROC of verification scores, and the two areas and points that summarise it."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Roc:
    """The ROC as points from nothing accepted to all accepted, in counts. A score >= threshold passes.

    From `roc` one point for each distinct score; from `RocCounter` those at which the curve turns.
    """

    thresholds: Floats
    """(K,) falling, the first +inf."""
    false_accepts: NDArray[np.int64]
    """(K,) impostor pairs that pass, 0 first, all of them last."""
    true_accepts: NDArray[np.int64]
    """(K,) genuine pairs that pass, 0 first, all of them last."""

    @property
    def impostors(self) -> int:
        """Number of impostor pairs."""
        return int(self.false_accepts[-1])

    @property
    def genuine(self) -> int:
        """Number of genuine pairs."""
        return int(self.true_accepts[-1])

    @property
    def far(self) -> NDArray[np.float64]:
        """(K,) false accept rate, 0 to 1."""
        return self.false_accepts / self.impostors

    @property
    def tar(self) -> NDArray[np.float64]:
        """(K,) true accept rate, 0 to 1."""
        return self.true_accepts / self.genuine

    @property
    def fnmr(self) -> NDArray[np.float64]:
        """(K,) false non-match rate, 1 - TAR: against `far`, the DET curve."""
        return (self.genuine - self.true_accepts) / self.genuine

    def thin(self, points: int) -> "Roc":
        """At most that many points, evenly spread over the logarithm of the FAR, for plots and storage.

        Of the points of one FAR the one with the largest TAR is taken. The first and the last point stay.

        Raises:
            ValueError: fewer than 4 points.
        """
        if points < 4:
            raise ValueError(f"points: {points} is too few to draw a curve by; give 4 or more")
        passing = np.append(0, np.geomspace(1, self.impostors, points - 2))
        keep = np.searchsorted(self.false_accepts, passing, side="right") - 1
        keep = np.unique(np.append(0, keep))
        return Roc(self.thresholds[keep], self.false_accepts[keep], self.true_accepts[keep])


def checked(scores: ArrayLike, same: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """The two as (N,) arrays of equal length with both kinds of pair; ValueError says what is wrong."""
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(same)
    if s.ndim != 1 or s.shape != y.shape:
        raise ValueError(f"scores {s.shape} and same {y.shape} must be one-dimensional and of one length")
    if y.dtype != np.bool_:
        raise ValueError(f"same must be bool, found {y.dtype}")
    if not np.isfinite(s).all():
        raise ValueError(f"{int((~np.isfinite(s)).sum())} of {len(s)} scores are NaN or infinite")
    if y.all() or not y.any():
        raise ValueError(f"no {'impostor' if y.any() else 'genuine'} pairs among {len(y)}; need both kinds")
    return s, y


def roc(scores: ArrayLike, same: ArrayLike) -> Roc:
    """The ROC of (N,) finite scores with (N,) bool `same`; tied scores pass together.

    Raises:
        ValueError: shapes differ, `same` is not bool, a score is not finite, or one kind of pair is absent.
    """
    s, y = checked(scores, same)
    order = np.argsort(-s, kind="stable")
    s, y = s[order], y[order]
    last_of_tie = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)
    true_accepts = np.cumsum(y, dtype=np.int64)[last_of_tie]
    return Roc(
        thresholds=np.concatenate([[np.inf], s[last_of_tie]]),
        false_accepts=np.append(0, last_of_tie + 1 - true_accepts).astype(np.int64),
        true_accepts=np.append(0, true_accepts).astype(np.int64),
    )


def auc(scores: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC: the chance that a genuine pair outscores an impostor pair, a tie counting one half.

    Exact (Mann-Whitney U over the number of genuine-impostor combinations). Raises ValueError as `roc` does.

    >>> auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    0.875
    """
    return read_auc(roc(scores, same))


def read_auc(curve: Roc) -> float:
    """`auc` of a ROC at hand."""
    false, true = _counts(curve)
    twice_u = np.sum(np.diff(false) * (true[1:] + true[:-1]))
    return int(twice_u) / (2 * curve.impostors * curve.genuine)


def eer(scores: ArrayLike, same: ArrayLike) -> float:
    """Equal error rate, 0 to 1: where FAR = 1 - TAR on the ROC, its points joined by straight lines.

    Raises ValueError as `roc` does.

    >>> eer([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    0.25
    """
    return read_eer(roc(scores, same))


def read_eer(curve: Roc) -> float:
    """`eer` of a ROC at hand."""
    false, true = _counts(curve)
    impostors, genuine = curve.impostors, curve.genuine
    # FAR + TAR - 1 over a common denominator: rises from nothing accepted to all, and crosses zero once.
    excess = false * genuine + true * impostors - impostors * genuine
    after = int(np.argmax(excess >= 0))
    low, high = int(excess[after - 1]), int(excess[after])
    step = int(false[after]) - int(false[after - 1])
    return float((int(false[after - 1]) + Fraction(-low * step, high - low)) / impostors)


def read_accuracy(curve: Roc, threshold: float) -> float:
    """Share of pairs decided rightly, 0 to 1, where a score >= `threshold` is called the same person.

    The curve must have a point for each distinct score, as those of `roc` have.
    """
    point = len(curve.thresholds) - 1 - int(np.searchsorted(curve.thresholds[::-1], threshold))
    right = curve.true_accepts[point] + curve.impostors - curve.false_accepts[point]
    return int(right) / (curve.genuine + curve.impostors)


def read_best_accuracy(curve: Roc) -> float:
    """`read_accuracy` at the threshold that is best for these very pairs, so on the bright side."""
    right = curve.true_accepts - curve.false_accepts
    return (int(right.max()) + curve.impostors) / (curve.genuine + curve.impostors)


def _counts(curve: Roc) -> tuple[NDArray[Any], NDArray[Any]]:
    """False and true accepts as integers whose products do not overflow, so that AUC and EER are exact."""
    fits = 2 * curve.impostors * curve.genuine < 2**63
    kind = np.int64 if fits else np.object_
    return curve.false_accepts.astype(kind), curve.true_accepts.astype(kind)
