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

from evenface.evaluation.metrics import (
    Roc,
    auc,
    eer,
    largest_tar,
    read_accuracy,
    read_auc,
    read_best_accuracy,
    read_eer,
    roc,
    tar_at_far,
)

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
    largest = largest_tar(roc(scores, same), far)
    assert largest == pytest.approx(max(tar for at, tar in points if at <= far + 1e-12), abs=1e-12)
    assert result.measurable == (far * impostors > 1 - 1e-9)
    if not result.measurable:
        assert np.isnan([result.tar, result.threshold, *result.interval]).all()
        assert "not measurable" in result.note
        return
    assert result.tar == largest
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


@given(scored_pairs(), st.floats(-1, LEVELS + 1))
def test_accuracy_is_the_share_of_right_decisions(pairs, threshold):
    scores, same = pairs
    curve = roc(scores, same)
    for at in (threshold, np.inf, -np.inf, *np.unique(scores)):
        if at <= scores.min():  # all are called the same person
            at = scores.min()
        assert read_accuracy(curve, at) == ((scores >= at) == same).mean()
    everywhere = [((scores >= at) == same).mean() for at in [np.inf, *np.unique(scores)]]
    assert read_best_accuracy(curve) == max(everywhere)


def test_counts_whose_products_leave_64_bits_are_exact():
    false = np.array([0, 3, 10**12, 5 * 10**12])
    true = np.array([0, 10**8 - 7, 10**8, 10**8 + 1])
    curve = Roc(np.array([np.inf, 2.0, 1.0, 0.0]), false, true)
    area = sum(
        Fraction(int(f1 - f0) * int(t0 + t1), 2 * int(false[-1]) * int(true[-1]))
        for (f0, f1), (t0, t1) in zip(pairwise(false), pairwise(true), strict=True)
    )
    assert read_auc(curve) == float(area)
    # FAR and FRR cross on the line between the second point and the third.
    rates = [
        (Fraction(int(f), int(false[-1])), 1 - Fraction(int(t), int(true[-1])))
        for f, t in zip(false[1:3], true[1:3], strict=True)
    ]
    (far, frr), (next_far, next_frr) = rates
    assert far < frr and next_far > next_frr
    slope = (next_frr - frr) / (next_far - far)
    assert read_eer(curve) == float((frr - slope * far) / (1 - slope))


@given(scored_pairs(), st.integers(4, 20))
def test_a_thinned_curve_keeps_points_and_both_ends(pairs, points):
    curve = roc(*pairs)
    thin = curve.thin(points)
    kept = list(zip(thin.thresholds, thin.false_accepts, thin.true_accepts, strict=True))
    all_points = list(zip(curve.thresholds, curve.false_accepts, curve.true_accepts, strict=True))
    assert len(kept) <= points
    assert set(kept) <= set(all_points)
    assert (kept[0], kept[-1]) == (all_points[0], all_points[-1])
    assert [row[0] for row in kept] == sorted({row[0] for row in kept}, reverse=True)


def test_a_thinned_curve_is_dense_at_every_decade():
    rng = np.random.default_rng(0)
    same = np.arange(110_000) < 10_000
    curve = roc(rng.normal(size=110_000) + 2 * same, same)
    thin = curve.thin(60)
    for low in 10.0 ** np.arange(-5, 0):
        assert ((thin.far > low * 0.999) & (thin.far <= low * 10)).sum() >= 5
    for far, tar in zip(thin.far, thin.tar, strict=True):
        assert not 0 < far < 1 or largest_tar(curve, far) == tar
    with pytest.raises(ValueError, match="3 is too few"):
        curve.thin(3)


@pytest.mark.parametrize("far,reading", [(0.0, "nearest"), (1.0, "nearest"), (0.1, "lucky")])
def test_far_and_reading_are_checked(far, reading):
    with pytest.raises(ValueError, match=r"far|reading"):
        tar_at_far([1.0, 0.0], [True, False], far, reading)
    if reading == "nearest":
        with pytest.raises(ValueError, match="far"):
            largest_tar(roc([1.0, 0.0], [True, False]), far)


def test_metrics_need_neither_torch_nor_opencv():
    code = (
        "import sys, evenface.evaluation.metrics; "
        "sys.exit(', '.join({'torch', 'cv2', 'evenface.faces'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
