"""The ROC of verification scores, and the two areas and points that summarise it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Roc:
    """One point per distinct score, from nothing accepted to all accepted. A score >= threshold passes."""

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
    false, true = curve.false_accepts, curve.true_accepts
    twice_u = np.sum(np.diff(false) * (true[1:] + true[:-1]))
    return float(twice_u / (2 * curve.impostors * curve.genuine))


def eer(scores: ArrayLike, same: ArrayLike) -> float:
    """Equal error rate, 0 to 1: where FAR = 1 - TAR on the ROC, its points joined by straight lines.

    Raises ValueError as `roc` does.

    >>> eer([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    0.25
    """
    return read_eer(roc(scores, same))


def read_eer(curve: Roc) -> float:
    """`eer` of a ROC at hand."""
    far = curve.far
    # Rises from -1 (nothing passes) to +1 (everything does), so it crosses zero exactly once.
    excess = far + curve.tar - 1
    after = int(np.argmax(excess >= 0))
    share = -excess[after - 1] / (excess[after] - excess[after - 1])
    return float(far[after - 1] + share * (far[after] - far[after - 1]))
