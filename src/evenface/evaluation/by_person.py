"""Which of a pair list's rates can be drawn again on other people, and their intervals."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from evenface.evaluation.metrics import (
    Difference,
    Reading,
    Statistic,
    bootstrap_by_person,
    compare_by_person,
    largest_tar,
    read_accuracy,
    read_auc,
    read_eer,
    read_tar,
)
from evenface.evaluation.results import PairScores, Result

DRAWS = 1000


def with_intervals(result: Result) -> Result:
    """The same result with 95 % intervals by person (`bootstrap_by_person`), where the set says who is who.

    A rate that rests on too few, or that no draw changes, keeps its own, which takes pairs as independent.
    The threshold of each fold is taken as given.
    """
    pairs = result.pairs
    if pairs is None or pairs.people is None:
        return result
    found = bootstrap_by_person(pairs.scores, pairs.same, pairs.people, _of_curves(result), DRAWS)
    if (above := _above(pairs)) is not None:
        found |= bootstrap_by_person(above, pairs.same, pairs.people, _OF_DECISIONS, DRAWS)
    found = {key: interval for key, interval in found.items() if np.isfinite(interval).all()}
    said = f"by person, {DRAWS:,} draws of the people; pairs as independent where that says nothing"
    return replace(
        result,
        rates=tuple(replace(rate, interval=found.get(rate.key, rate.interval)) for rate in result.rates),
        conventions={**result.conventions, "intervals": said},
    )


def differences(first: Result, second: Result) -> Mapping[str, Difference]:
    """Second less first, by the rate's key, with 95 % intervals by person (`compare_by_person`).

    Of the rates that rest on enough and that drawing people again can change. None at all where the two are
    not of one pair list, or the list does not say who the people are.
    """
    one, two = first.pairs, second.pairs
    if one is None or two is None or one.people is None or first.sha256 != second.sha256:
        return {}
    found = compare_by_person(one.scores, two.scores, one.same, one.people, _of_curves(first), DRAWS)
    above, other = _above(one), _above(two)
    if above is not None and other is not None:
        found |= compare_by_person(above, other, one.same, one.people, _OF_DECISIONS, DRAWS)
    return {rate.key: found[rate.key] for rate in first.rates if rate.key in found}


_OF_DECISIONS: Mapping[str, Statistic] = {"accuracy": lambda curve: read_accuracy(curve, 0.0)}
"""Of scores that are above 0 where the pair is called one person."""


def _of_curves(result: Result) -> dict[str, Statistic]:
    """Of the rates that a ROC alone decides: AUC, EER, and TAR at a FAR that rests on enough."""
    reading = result.conventions.get("tar_reading")
    statistics: dict[str, Statistic] = {}
    for rate in result.rates:
        if rate.key == "auc":
            statistics[rate.key] = read_auc
        elif rate.key == "eer":
            statistics[rate.key] = read_eer
        elif (target := re.fullmatch(r"tar@far=(.+)", rate.key)) and reading and not rate.note:
            statistics[rate.key] = _tar_at(float(target[1]), reading)
    return statistics


def _tar_at(far: float, reading: str) -> Statistic:
    if reading == "conservative":
        return lambda curve: largest_tar(curve, far)
    return lambda curve: read_tar(curve, far, cast(Reading, reading)).tar


def _above(pairs: PairScores) -> NDArray[np.float64] | None:
    """(P,) how far each score lies above its fold's threshold; None without folds or a finite threshold."""
    if pairs.thresholds is None or not np.isfinite(pairs.thresholds).all():
        return None
    return np.asarray(pairs.scores - pairs.thresholds)
