"""Two models on the same pairs: differences by person, and McNemar's test."""

from functools import partial
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.evaluation.metrics import (
    accuracy_by_fold,
    best_threshold,
    bootstrap_by_person,
    compare_by_person,
    eer,
    largest_tar,
    mcnemar,
    read_best_accuracy,
    read_eer,
    tar_at_far,
)
from evenface.evaluation.metrics.bootstrap import draw_by_person

FIGURES = {
    "tar@far=1e-1": partial(largest_tar, far=0.1),
    "eer": read_eer,
    "accuracy": read_best_accuracy,
}


def two_models(rng, size=40, gain=0.0, each=6):
    """Scores of two models that find the same people hard; `gain` is what the second gives a genuine pair."""
    own = np.repeat(np.arange(size), each)
    a, b = np.array(list(combinations(range(size), 2))).T
    people = np.concatenate([np.stack([own, own], 1), np.stack([a, b], 1)])
    same = people[:, 0] == people[:, 1]
    ease = rng.normal(size=size)
    common = np.where(same, 2 + ease[people[:, 0]], 0.0) + 0.5 * rng.normal(size=len(same))
    own_ease = 0.3 * rng.normal(size=(2, size))[:, people[:, 0]]
    first, second = common + own_ease * same + 0.4 * rng.normal(size=(2, len(same)))
    return first, second + gain * same, same, people


def test_differences_are_those_of_the_same_draws():
    first, second, same, people = two_models(np.random.default_rng(0), gain=0.8)
    found = compare_by_person(first, second, same, people, FIGURES, draws=300, seed=4)
    one, two = (draw_by_person(s, same, people, FIGURES, 300, 4) for s in (first, second))
    for column, (name, of_one) in enumerate(
        {"tar@far=1e-1": lambda s: tar_at_far(s, same, 0.1).tar, "eer": lambda s: eer(s, same)}.items()
    ):
        got = found[name]
        assert (got.first, got.second) == (of_one(first), of_one(second))
        assert got.difference == got.second - got.first
        assert got.interval == pytest.approx(
            np.percentile(two[:, column] - one[:, column], [2.5, 97.5]), abs=1e-12
        )
    assert found["eer"].interval[1] < 0 < found["tar@far=1e-1"].interval[0]  # the second is better


def test_the_interval_of_a_difference_is_narrower_than_what_two_intervals_suggest():
    first, second, same, people = two_models(np.random.default_rng(1))
    found = compare_by_person(first, second, same, people, FIGURES, draws=300)
    for name, got in found.items():
        apart = [bootstrap_by_person(s, same, people, FIGURES, 300)[name] for s in (first, second)]
        assert np.ptp(got.interval) < np.hypot(np.ptp(apart[0]), np.ptp(apart[1]))


def test_the_interval_holds_zero_where_neither_model_is_better():
    rounds, held = 100, dict.fromkeys(FIGURES, 0)
    for seed in range(rounds):
        first, second, same, people = two_models(np.random.default_rng(seed))
        for name, got in compare_by_person(first, second, same, people, FIGURES, 150, seed).items():
            held[name] += got.interval[0] <= 0 <= got.interval[1]
    assert all(0.87 <= count / rounds for count in held.values()), held
    assert not all(count == rounds for count in held.values()), held


def test_a_model_on_another_scale_differs_in_nothing():
    first, _, same, people = two_models(np.random.default_rng(2))
    for got in compare_by_person(first, np.exp(first) - 9, same, people, FIGURES, draws=50).values():
        assert got.difference == 0
        assert np.isnan(got.interval).all()


def two_sided(n, m):
    """Exact p-value of n heads and m tails of a fair coin: outcomes at most as likely as this one."""
    return sum(comb(n + m, k) for k in range(n + m + 1) if comb(n + m, k) <= comb(n + m, n)) / 2 ** (n + m)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), max_size=40),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_mcnemar_agrees_with_counting(rows, first_threshold, second_threshold):
    rows = [*rows, (1, 2, True), (2, 1, False)]
    first, second, same = map(np.array, zip(*rows, strict=True))
    got = mcnemar(first, second, same, first_threshold, second_threshold)
    n = m = 0
    for a, b, y in rows:
        one, two = (a >= first_threshold) == y, (b >= second_threshold) == y
        n, m = n + (one and not two), m + (two and not one)
    assert (got.only_first, got.only_second) == (n, m)
    assert got.p == pytest.approx(two_sided(n, m))


def test_mcnemar_with_each_models_own_thresholds():
    first, second, same, _ = two_models(np.random.default_rng(3), gain=2.0)
    best = mcnemar(first, second, same, best_threshold(first, same), best_threshold(second, same))
    assert best.p < 1e-6
    assert best.only_second > best.only_first
    fold = np.arange(len(same)) % 5
    by_fold = [accuracy_by_fold(s, same, fold) for s in (first, second)]
    got = mcnemar(first, second, same, *(found.thresholds[fold] for found in by_fold))
    gained = (by_fold[1].accuracies - by_fold[0].accuracies) * np.bincount(fold)
    assert got.only_second - got.only_first == pytest.approx(gained.sum())


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="one length"):
        mcnemar([0.1, 0.2], [0.1], [True, False], 0, 0)
    with pytest.raises(ValueError, match="NaN"):
        compare_by_person([0.1, 0.2], [np.nan, 1], [True, False], [[0, 0], [0, 1]], FIGURES)
