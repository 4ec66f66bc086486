"""ROC, AUC, EER and TAR at FAR: against scikit-learn, brute force, and laws that they must obey."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import binom
from sklearn.metrics import roc_auc_score, roc_curve

from evenface.evaluation.metrics import auc, eer, roc, tar_at_far

LEVELS = 7  # few distinct scores, so that ties are common


@st.composite
def scored_pairs(draw):
    """(scores, same): small integers as scores, both kinds present."""
    genuine = draw(st.lists(st.integers(0, LEVELS), min_size=1, max_size=30))
    impostors = draw(st.lists(st.integers(0, LEVELS), min_size=1, max_size=30))
    scores = np.array(genuine + impostors, dtype=float)
    return scores, np.arange(len(scores)) < len(genuine)


@given(scored_pairs())
def test_roc_and_auc_agree_with_scikit_learn(pairs):
    scores, same = pairs
    far, tar, thresholds = roc_curve(same, scores, drop_intermediate=False)
    curve = roc(scores, same)
    assert_allclose(curve.far, far)
    assert_allclose(curve.tar, tar)
    assert_allclose(curve.thresholds, thresholds)
    assert auc(scores, same) == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


@given(scored_pairs())
def test_every_roc_point_is_what_counting_gives(pairs):
    scores, same = pairs
    curve = roc(scores, same)
    for threshold, false, true in zip(curve.thresholds, curve.false_accepts, curve.true_accepts, strict=True):
        assert (false, true) == ((scores[~same] >= threshold).sum(), (scores[same] >= threshold).sum())


@given(scored_pairs())
def test_auc_is_the_share_of_genuine_impostor_combinations_won(pairs):
    scores, same = pairs
    difference = scores[same][:, None] - scores[~same][None, :]
    assert auc(scores, same) == pytest.approx(((difference > 0) + (difference == 0) / 2).mean(), abs=1e-12)


def exact_eer(scores, same) -> Fraction:
    """Where the ROC, drawn with straight lines, meets FAR = FRR, in fractions without rounding."""
    points = [
        (
            Fraction(int((scores[~same] >= t).sum()), int((~same).sum())),
            Fraction(int((scores[same] < t).sum()), int(same.sum())),
        )
        for t in [np.inf, *np.unique(scores)[::-1]]
    ]
    for (far, frr), (next_far, next_frr) in pairwise(points):
        if far <= frr and next_far >= next_frr:
            share = (frr - far) / ((next_far - next_frr) - (far - frr))
            return far + share * (next_far - far)
    raise AssertionError("FAR starts below FRR and ends above it, so they must meet")


@given(scored_pairs())
def test_eer_is_where_both_errors_are_equal(pairs):
    scores, same = pairs
    assert eer(scores, same) == pytest.approx(float(exact_eer(scores, same)), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_eer_of_many_pairs_is_where_both_errors_are_equal(seed):
    rng = np.random.default_rng(seed)
    same = np.arange(500) < 210
    scores = np.round(rng.normal(size=500) + same, 2)
    assert eer(scores, same) == pytest.approx(float(exact_eer(scores, same)), abs=1e-12)


@given(scored_pairs())
def test_turning_scores_and_labels_round_changes_neither_eer_nor_auc(pairs):
    scores, same = pairs
    assert eer(-scores, ~same) == pytest.approx(eer(scores, same), abs=1e-12)
    assert auc(-scores, ~same) == pytest.approx(auc(scores, same), abs=1e-12)
    assert auc(-scores, same) == pytest.approx(1 - auc(scores, same), abs=1e-12)


@given(scored_pairs(), st.randoms(use_true_random=False))
def test_order_of_pairs_and_rising_transforms_change_nothing(pairs, random):
    scores, same = pairs
    order = list(range(len(scores)))
    random.shuffle(order)
    for moved in (np.exp(scores)[order], (scores**3 - 50)[order], (scores / 7)[order].astype(np.float32)):
        assert eer(moved, same[order]) == eer(scores, same)
        assert auc(moved, same[order]) == auc(scores, same)
        moved_tar = tar_at_far(moved, same[order], 0.3)
        assert_allclose(moved_tar.tar, tar_at_far(scores, same, 0.3).tar)


@pytest.mark.parametrize(
    "genuine,impostors,expected", [([3, 4], [1, 2], 0.0), ([1, 2], [3, 4], 1.0), ([5, 5], [5, 5], 0.5)]
)
def test_eer_of_separated_swapped_and_equal_scores(genuine, impostors, expected):
    assert eer(genuine + impostors, np.array([True, True, False, False])) == expected


@given(scored_pairs(), st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.99]))
def test_tar_at_far_agrees_with_brute_force_over_thresholds(pairs, far):
    scores, same = pairs
    impostors = int((~same).sum())
    points = [((scores[~same] >= t).mean(), (scores[same] >= t).mean()) for t in [np.inf, *np.unique(scores)]]
    result = tar_at_far(scores, same, far)
    assert result.measurable == (far * impostors > 1 - 1e-9)
    if not result.measurable:
        assert np.isnan([result.tar, result.threshold, *result.interval]).all()
        assert "not measurable" in result.note
        return
    assert result.tar == pytest.approx(max(tar for at, tar in points if at <= far + 1e-12), abs=1e-12)
    assert (scores[same] >= result.threshold).mean() == pytest.approx(result.tar)
    assert (scores[~same] >= result.threshold).sum() == result.impostors_passing

    nearest = min(points, key=lambda point: (round(abs(point[0] - far), 9), point[0], -point[1]))
    assert tar_at_far(scores, same, far, "nearest").tar == pytest.approx(nearest[1], abs=1e-12)

    upper = {at: max(tar for a, tar in points if a == at) for at, _ in points}
    steps = sorted(upper)
    between = tar_at_far(scores, same, far, "interpolated")
    assert between.tar == pytest.approx(np.interp(far, steps, [upper[at] for at in steps]), abs=1e-9)
    assert np.isnan(between.threshold)


def many(impostors: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate([np.arange(impostors), impostors + np.arange(50) - 20]).astype(float)
    return scores, np.arange(len(scores)) >= impostors


@pytest.mark.parametrize(
    "impostors,far,measurable,reliable",
    [
        (1000, 1e-3, True, False),
        (999, 1e-3, False, False),
        (9999, 1e-3, True, False),
        (10000, 1e-3, True, True),
        (100, 0.29, True, True),  # as floats 0.29 x 100 is a little below 29
        (100, 0.1, True, True),
        (1_000_000, 1e-5, True, True),
    ],
)
def test_what_rests_on_too_few_impostors_is_marked(impostors, far, measurable, reliable):
    result = tar_at_far(*many(impostors), far)
    assert (result.measurable, result.reliable) == (measurable, reliable)
    assert bool(result.note) == (not reliable)
    if measurable:
        assert result.impostors_passing == int(far * impostors + 1e-9)


def test_tied_scores_at_the_threshold_pass_together_or_not_at_all():
    scores = np.array([0.9, 0.5, 0.5, 0.5] + [0.5] * 3 + [0.1] * 17)
    same = np.arange(24) < 4
    # 20 impostors, three of them tied with genuine pairs: FAR 0.1 permits two, so none of the tie passes.
    assert tar_at_far(scores, same, 0.1).tar == 0.25
    assert tar_at_far(scores, same, 0.15).tar == 1.0


def test_interval_is_the_exact_binomial_one():
    scores, same = many(1000)
    result = tar_at_far(scores, same, 0.005)
    passing = round(result.tar * 50)
    assert 0 < passing < 50
    low, high = result.interval
    assert binom.sf(passing - 1, 50, low) == pytest.approx(0.025)
    assert binom.cdf(passing, 50, high) == pytest.approx(0.025)
    assert tar_at_far(np.arange(50), np.arange(50) >= 25, 0.1).interval[1] == 1.0
    assert tar_at_far(-np.arange(50), np.arange(50) >= 25, 0.1).interval[0] == 0.0


@pytest.mark.parametrize(
    "scores,same,says",
    [
        ([0.1, np.nan], [True, False], "NaN"),
        ([0.1, np.inf], [True, False], "infinite"),
        ([0.1, 0.2], [True, True], "no impostor pairs"),
        ([0.1, 0.2], [False, False], "no genuine pairs"),
        ([0.1, 0.2, 0.3], [True, False], "one length"),
        ([0.1, 0.2], [1, 0], "bool"),
        ([], np.zeros(0, bool), "no genuine pairs"),
    ],
)
@pytest.mark.parametrize("metric", [roc, auc, eer, lambda s, y: tar_at_far(s, y, 0.1)])
def test_unusable_input_is_refused(metric, scores, same, says):
    with pytest.raises(ValueError, match=says):
        metric(scores, same)


@pytest.mark.parametrize("far,reading", [(0.0, "nearest"), (1.0, "nearest"), (0.1, "lucky")])
def test_far_and_reading_are_checked(far, reading):
    with pytest.raises(ValueError, match=r"far|reading"):
        tar_at_far([1.0, 0.0], [True, False], far, reading)


def test_metrics_need_neither_torch_nor_opencv():
    code = (
        "import sys, evenface.evaluation.metrics; "
        "sys.exit(', '.join({'torch', 'cv2', 'evenface.faces'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
