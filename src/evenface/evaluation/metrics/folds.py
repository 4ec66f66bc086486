"""Accuracy with the threshold chosen on other folds than it is applied to, the rule of LFW and its kin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.metrics.roc import Floats, checked, roc

THRESHOLD_RULE = "best on the other folds, the middle one of equally good cuts"
"""`accuracy_by_fold`'s rule in words, to print beside its numbers."""


@dataclass(frozen=True, eq=False)
class FoldAccuracy:
    """Accuracy of each held-out fold, in the order of the fold numbers."""

    accuracies: NDArray[np.float64]
    """(F,) 0 to 1."""
    thresholds: NDArray[np.float64]
    """(F,) a score >= this is called the same person."""

    @property
    def mean(self) -> float:
        """Mean accuracy over folds, 0 to 1."""
        return float(self.accuracies.mean())

    @property
    def deviation(self) -> float:
        """Population standard deviation over folds (divided by F), which most papers print after ±."""
        return float(self.accuracies.std())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, sample deviation / sqrt(F): the one that LFW's own rules ask for."""
        return float(self.accuracies.std(ddof=1) / np.sqrt(len(self.accuracies)))


def accuracy_by_fold(scores: ArrayLike, same: ArrayLike, fold: ArrayLike) -> FoldAccuracy:
    """For each fold, the threshold that is best on all other folds together, applied to this one.

    A cut lies between two neighbouring distinct scores, or beyond the extremes. Of equally accurate cuts the
    middle one in order is taken (of an even number, the one with the higher threshold), and its threshold is
    half way between its two scores; above all scores it is +inf, below all of them the lowest score.

    Args:
        scores: (N,) finite, higher = more alike.
        same: (N,) bool.
        fold: (N,) integers, 2 different values or more.

    Raises:
        ValueError: fewer than two folds, shapes differ, or the folds left for choosing a threshold lack a
            kind of pair.
    """
    s, y = checked(scores, same)
    f = np.asarray(fold)
    if f.shape != s.shape or not np.issubdtype(f.dtype, np.integer):
        raise ValueError(f"fold must be integers of shape {s.shape}, found {f.dtype} of shape {f.shape}")
    numbers = np.unique(f)
    if len(numbers) < 2:
        raise ValueError("all pairs are in one fold; the threshold needs other folds to be chosen on")
    thresholds = np.array([best_threshold(s[f != n], y[f != n]) for n in numbers])
    accuracies = [np.mean((s[f == n] >= t) == y[f == n]) for n, t in zip(numbers, thresholds, strict=True)]
    return FoldAccuracy(np.array(accuracies), thresholds)


def best_threshold(scores: ArrayLike, same: ArrayLike) -> float:
    """The threshold of best accuracy on these pairs, by the tie rule of `accuracy_by_fold`."""
    curve = roc(scores, same)
    correct = curve.true_accepts - curve.false_accepts
    best = np.flatnonzero(correct == correct.max())
    cut = int(best[(len(best) - 1) // 2])
    return _between(curve.thresholds, cut)


def _between(thresholds: Floats, cut: int) -> float:
    if cut in (0, len(thresholds) - 1):
        return float(thresholds[cut])
    high, low = float(thresholds[cut]), float(thresholds[cut + 1])
    middle = low / 2 + high / 2
    return middle if low < middle <= high else high  # neighbouring floats have nothing in between
