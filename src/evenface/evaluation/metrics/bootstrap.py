"""95 % intervals by person: what figures would do on other people, not on other pairs of these people."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.evaluation.metrics.roc import Roc, checked, roc

Statistic = Callable[[Roc], float]
"""A figure of a ROC, such as `read_eer`, or `lambda curve: largest_tar(curve, 1e-3)`."""
Interval = tuple[float, float]


def bootstrap_by_person(
    scores: ArrayLike,
    same: ArrayLike,
    people: ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """95 % percentile intervals of figures of a pair list, from drawing its people with replacement.

    Pairs that share a person are not independent: who is hard to recognise is so in all his pairs. So as
    many people are drawn as there are. Where person a is drawn count(a) times, a genuine pair of a weighs
    count(a), as each copy brings its own pairs, and an impostor pair of a and b weighs count(a) x count(b),
    as each copy of a meets each copy of b. Copies of one person do not meet, as nothing was measured that
    could stand for two people so alike.

    This is the vertex bootstrap (Snijders and Borgatti, Connections 1999). Fogliato, Patil and Perona (IJCV
    2024) compare it with others for face verification: to take pairs as independent, or to draw only one
    side of an impostor pair (the subsets bootstrap), gives too narrow intervals of the FAR. Their
    double-or-nothing weights have the same variance, but leave a quarter of the impostor pairs in a draw,
    too few to read a low FAR from.

    Where hardly two impostor pairs share a person, as in LFW's list, the weights vary more than those of
    pairs drawn one by one would, and what comes of impostors gets up to three times the variance: intervals
    are then on the wide side (as Owen, Annals of Applied Statistics 2007, shows of such bootstraps).

    To take accuracy with a threshold for each fold, subtract from each score the threshold of its fold, and
    ask for `lambda curve: read_accuracy(curve, 0.0)`.

    Args:
        scores: (P,) finite, higher = more alike.
        same: (P,) bool.
        people: (P, 2) integers, the two people of each pair: equal where `same`, otherwise different.
        statistics: by name. Ask for a TAR only where enough impostors may pass for it to be measurable.
        draws: 1 or more. A draw that has no genuine or no impostor pair is drawn again.
        seed: the same seed gives the same draws of the same people.

    Returns:
        (low, high) by name; both NaN where no draw changes the figure, as where no pair is decided wrongly:
        then the draws say nothing about it.

    Raises:
        ValueError: `people` does not fit, and as `roc` does.
    """
    values = draw_by_person(scores, same, people, statistics, draws, seed)
    return dict(zip(statistics, percentile_intervals(values), strict=True))


def draw_by_person(
    scores: ArrayLike,
    same: ArrayLike,
    people: ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int,
    seed: int,
) -> NDArray[np.float64]:
    """The figures (draws, len(statistics)) that `bootstrap_by_person` takes its intervals of."""
    s, y = checked(scores, same)
    pairs = _checked_people(people, y)
    curve = roc(s, y)
    falling = np.argsort(-s)
    genuine = pairs[falling[y[falling]], 0]
    first, second = pairs[falling[~y[falling]]].T
    rng, crowd = np.random.default_rng(seed), int(pairs.max()) + 1

    def drawn() -> Roc:
        """The ROC of one draw: at each point of `curve`, the weights of the pairs that pass."""
        while True:
            count = np.bincount(rng.integers(crowd, size=crowd), minlength=crowd)
            false = np.append(0, np.cumsum(count[first] * count[second]))
            true = np.append(0, np.cumsum(count[genuine]))
            if false[-1] and true[-1]:
                return Roc(curve.thresholds, false[curve.false_accepts], true[curve.true_accepts])

    values = np.empty((draws, len(statistics)))
    for row in values:
        draw = drawn()
        row[:] = [statistic(draw) for statistic in statistics.values()]
    return values


def percentile_intervals(values: NDArray[np.float64]) -> list[Interval]:
    """95 % percentile interval of each column of (draws, K) values; NaN where all are equal."""
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    constant = values.min(axis=0) == values.max(axis=0)
    return [
        (np.nan, np.nan) if c else (float(a), float(b)) for a, b, c in zip(low, high, constant, strict=True)
    ]


def _checked_people(people: ArrayLike, same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """People (P, 2) numbered from 0 on without gaps."""
    pairs = np.asarray(people)
    if pairs.shape != (len(same), 2) or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(
            f"people: expected integers of shape {(len(same), 2)}, found {pairs.dtype} of {pairs.shape}"
        )
    wrong = np.flatnonzero((pairs[:, 0] == pairs[:, 1]) != same)
    if len(wrong):
        kind = "a genuine pair of two people" if same[wrong[0]] else "an impostor pair of one person"
        raise ValueError(f"people: pair {wrong[0]} is {kind}")
    return np.unique(pairs, return_inverse=True)[1].reshape(pairs.shape).astype(np.int64)
