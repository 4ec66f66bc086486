"""Accuracy by fold: known answers, brute force, and the laws of a threshold that never saw its fold."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evenface.evaluation.metrics import accuracy_by_fold
from evenface.evaluation.metrics.folds import best_threshold


def test_known_answer():
    # Fold 0 separates between 0.4 and 0.6, fold 1 between 0.7 and 0.9.
    scores = [0.6, 0.4, 0.9, 0.7]
    same = [True, False, True, False]
    result = accuracy_by_fold(scores, same, [0, 0, 1, 1])
    assert result.thresholds.tolist() == [pytest.approx(0.8), pytest.approx(0.5)]
    assert result.accuracies.tolist() == [0.5, 0.5]
    assert (result.mean, result.deviation, result.standard_error) == (0.5, 0.0, 0.0)


def test_deviation_is_the_population_one_and_standard_error_the_sample_one():
    # The thresholds of both other folds lie below 1, so only fold 0, whose impostor scores 2, errs.
    scores = [3, 2, 3, 0, 3, 0]
    result = accuracy_by_fold(scores, [True, False] * 3, [0, 0, 1, 1, 2, 2])
    assert result.accuracies.tolist() == [0.5, 1.0, 1.0]
    assert result.mean == pytest.approx(5 / 6)
    assert result.deviation == pytest.approx(np.sqrt(2 / 9) / 2)
    assert result.standard_error == pytest.approx(np.sqrt(2 / 9 * 3 / 2) / 2 / np.sqrt(3))


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=40).flatmap(
        lambda s: st.tuples(st.just(s), st.lists(st.booleans(), min_size=len(s), max_size=len(s)))
    )
)
def test_best_threshold_is_best_and_the_middle_of_its_equals(pairs):
    scores, same = np.array(pairs[0], float), np.array(pairs[1])
    assume(same.any() and not same.all())
    levels = np.unique(scores)[::-1]
    cuts = [np.inf, *((levels[:-1] + levels[1:]) / 2), levels[-1]]
    right = [int(((scores >= cut) == same).sum()) for cut in cuts]
    best = [cut for cut, count in zip(cuts, right, strict=True) if count == max(right)]
    assert best_threshold(scores, same) == best[(len(best) - 1) // 2]


def test_threshold_between_neighbouring_floats_still_parts_them():
    low = 1.0
    high = np.nextafter(low, 2)
    threshold = best_threshold([high, low], [True, False])
    assert low < threshold <= high


def test_float32_scores_are_parted_as_exactly_as_float64():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([high, low, high, low], np.float32)
    result = accuracy_by_fold(scores, [True, False] * 2, [0, 0, 1, 1])
    assert result.accuracies.tolist() == [1.0, 1.0]


def test_a_fold_never_sees_its_own_pairs():
    rng = np.random.default_rng(0)
    scores, same, fold = rng.normal(size=200), rng.random(200) < 0.5, np.arange(200) % 4
    before = accuracy_by_fold(scores, same, fold)
    scores[fold == 2] = rng.normal(5, 3, size=50)
    after = accuracy_by_fold(scores, same, fold)
    assert after.thresholds[2] == before.thresholds[2]


def test_fold_numbers_are_names_only_but_their_order_is_kept():
    rng = np.random.default_rng(1)
    scores, same, fold = rng.normal(size=90), rng.random(90) < 0.5, np.arange(90) % 3
    a, b = accuracy_by_fold(scores, same, fold), accuracy_by_fold(scores, same, fold * 10 + 5)
    assert a.accuracies.tolist() == b.accuracies.tolist()


@pytest.mark.parametrize(
    "fold,says",
    [
        ([0, 0, 0, 0], "one fold"),
        ([0, 0, 1], "shape"),
        ([0.0, 0.0, 1.0, 1.0], "integers"),
        ([0, 1, 0, 1], "no genuine|no impostor"),
    ],
)
def test_folds_are_checked(fold, says):
    scores, same = [0.9, 0.1, 0.8, 0.2], [True, False, True, False]
    with pytest.raises(ValueError, match=says):
        accuracy_by_fold(scores, same, fold)
