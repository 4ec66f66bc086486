"""Two models on the same pairs: is the one better, or did it have luck with these people?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from evenface.evaluation.metrics.bootstrap import Interval, Statistic, draw_by_person, percentile_intervals
from evenface.evaluation.metrics.roc import checked, roc


@dataclass(frozen=True)
class Difference:
    """One figure of two models."""

    first: float
    second: float
    difference: float
    """second - first."""
    interval: Interval
    """95 % of the difference, by person; NaN where no draw changes it."""


@dataclass(frozen=True)
class McNemar:
    """Pairs that only one of two models decides rightly, and how likely that is by chance."""

    only_first: int
    only_second: int
    p: float
    """Two-sided exact p-value, 0 to 1, that each of these pairs could as well be the other model's."""


def compare_by_person(
    first: ArrayLike,
    second: ArrayLike,
    same: ArrayLike,
    people: ArrayLike,
    statistics: Mapping[str, Statistic],
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """How figures of two models differ, with intervals from the same draws of people for both.

    What both models find hard drops out of the difference, so its interval is narrower than those of the two
    figures would suggest. The draws are those of `bootstrap_by_person`.

    Args:
        first: (P,) one model's scores.
        second: (P,) the other model's scores of the same pairs, on any scale of their own.
        same: (P,) bool.
        people: (P, 2) integers, the two people of each pair.
        statistics: by name.
        draws: 1 or more.
        seed: as in `bootstrap_by_person`.

    Raises:
        ValueError: as `bootstrap_by_person`.
    """
    one, two = (draw_by_person(scores, same, people, statistics, draws, seed) for scores in (first, second))
    intervals = percentile_intervals(two - one)
    curves = roc(first, same), roc(second, same)
    found = {}
    for (name, statistic), interval in zip(statistics.items(), intervals, strict=True):
        a, b = map(statistic, curves)
        found[name] = Difference(a, b, b - a, interval)
    return found


def mcnemar(
    first: ArrayLike,
    second: ArrayLike,
    same: ArrayLike,
    first_threshold: ArrayLike,
    second_threshold: ArrayLike,
) -> McNemar:
    """Exact McNemar test of two models' decisions on the same pairs (McNemar, Psychometrika 1947).

    It takes the pairs as independent, so where people occur in many pairs its p-value is too small; the
    interval of `compare_by_person` is not misled by that.

    Args:
        first: (P,) one model's scores.
        second: (P,) the other model's.
        same: (P,) bool.
        first_threshold: a score >= this is called the same person: one, such as `best_threshold`'s or that of
            a `TarAtFar`, or (P,) one for each pair, such as those of its fold.
        second_threshold: the same for the other model.

    Raises:
        ValueError: as `roc` does.

    >>> mcnemar([9, 8, 3, 1], [9, 2, 1, 3], [True, True, False, False], 5, 5)
    McNemar(only_first=1, only_second=0, p=1.0)
    """
    right = []
    for scores, threshold in ((first, first_threshold), (second, second_threshold)):
        s, y = checked(scores, same)
        right.append((s >= np.asarray(threshold)) == y)
    one, two = right
    only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
    apart = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, apart).pvalue) if apart else 1.0)
