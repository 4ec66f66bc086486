"""The ROC counted block by block, against the ROC of all scores at once."""

import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.evaluation.metrics import (
    RocCounter,
    counted,
    largest_tar,
    read_auc,
    read_best_accuracy,
    read_eer,
    read_tar,
    roc,
)

FARS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.25, 0.3, 0.5, 0.77, 0.99)


def compare(counter_curve, genuine, impostors):
    """All that may be read off the counted curve is what the curve of all scores says."""
    genuine, impostors = np.float64(genuine), np.float64(impostors)
    scores, same = np.append(genuine, impostors), np.arange(len(genuine) + len(impostors)) < len(genuine)
    whole = roc(scores, same)
    assert (counter_curve.genuine, counter_curve.impostors) == (len(genuine), len(impostors))
    rising, rising_impostors = np.sort(genuine), np.sort(impostors)
    for threshold, false, true in zip(
        counter_curve.thresholds, counter_curve.false_accepts, counter_curve.true_accepts, strict=True
    ):
        assert true == len(rising) - np.searchsorted(rising, threshold)
        assert false == len(rising_impostors) - np.searchsorted(rising_impostors, threshold)
    assert counter_curve.thresholds[0] == np.inf
    assert (np.diff(counter_curve.thresholds) < 0).all()
    assert counter_curve.thresholds[-1] == whole.thresholds[-1]
    assert len(counter_curve.thresholds) <= 3 * len(set(genuine)) + 2

    assert read_auc(counter_curve) == read_auc(whole)
    assert read_eer(counter_curve) == read_eer(whole)
    assert read_best_accuracy(counter_curve) == read_best_accuracy(whole)
    for far in FARS:
        assert largest_tar(counter_curve, far) == largest_tar(whole, far)
        for reading in ("conservative", "nearest", "interpolated"):
            counted_at, at = (read_tar(curve, far, reading) for curve in (counter_curve, whole))
            assert counted_at.tar == at.tar or np.isnan([counted_at.tar, at.tar]).all()
            assert counted_at.interval == at.interval or np.isnan(at.interval).all()
            assert counted_at.note == at.note
            if reading == "conservative" and at.measurable:
                assert (genuine >= counted_at.threshold).mean() == at.tar
                assert (impostors >= counted_at.threshold).sum() == counted_at.impostors_passing
                assert counted_at.impostors_passing <= at.impostors_passing


def blocks_of(values, cuts):
    return np.split(values, sorted(cut % (len(values) + 1) for cut in cuts))


@given(
    genuine=st.lists(st.integers(0, 9), min_size=1, max_size=25),
    impostors=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 100), max_size=5),
    dtype=st.sampled_from([np.float32, np.float64]),
    buffer=st.sampled_from([1, 2, 5, 1000]),
)
def test_blocks_of_tied_scores_count_as_all_at_once(genuine, impostors, cuts, dtype, buffer):
    genuine, impostors = np.array(genuine, dtype) / dtype(7), np.array(impostors, dtype) / dtype(7)
    with patch.multiple(counted, _LEAST=buffer, _PER_GENUINE=0):
        counter = RocCounter(genuine)
    for block in blocks_of(impostors, cuts):
        counter.add(block)
    compare(counter.roc(), genuine, impostors)


@given(
    genuine=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20),
    impostors=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50),
    dtype=st.sampled_from([np.float32, np.float64]),
    buffer=st.sampled_from([3, 1000]),
)
def test_any_scores_count_as_all_at_once(genuine, impostors, dtype, buffer):
    genuine, impostors = np.array(genuine, dtype), np.array(impostors, dtype)
    with patch.multiple(counted, _LEAST=buffer, _PER_GENUINE=0):
        counter = RocCounter(genuine)
    counter.add(impostors)
    compare(counter.roc(), genuine, impostors)


@pytest.mark.parametrize("digits", [2, 9])
def test_many_scores_in_blocks_of_all_sizes(digits):
    rng = np.random.default_rng(digits)
    genuine = rng.normal(0.4, 0.2, 3000).round(digits).astype(np.float32)
    impostors = rng.normal(0.0, 0.1, 300_000).round(digits).astype(np.float32)
    with patch.multiple(counted, _LEAST=70_000):
        counter = RocCounter(genuine)
    for block in blocks_of(impostors, rng.integers(0, len(impostors), 40)):
        counter.add(block)
    compare(counter.roc(), genuine, impostors)


def test_a_curve_may_be_taken_in_between_and_blocks_reused():
    counter = RocCounter(np.array([0.8, 0.2]))
    block = np.array([0.5, 0.1])
    counter.add(block)
    compare(counter.roc(), [0.8, 0.2], [0.5, 0.1])
    block[:] = [0.9, 0.2]
    counter.add(block)
    block[:] = 0
    counter.add([])
    compare(counter.roc(), [0.8, 0.2], [0.5, 0.1, 0.9, 0.2])


def test_neighbouring_floats_of_either_width_stay_apart():
    for dtype in (np.float32, np.float64):
        score = dtype(0.3)
        impostors = np.array([np.nextafter(score, dtype(1)), score, np.nextafter(score, dtype(0))])
        counter = RocCounter(np.array([score]))
        counter.add(impostors)
        curve = counter.roc()
        assert (curve.false_accepts.tolist(), curve.true_accepts.tolist()) == ([0, 1, 2, 3], [0, 0, 1, 1])


def test_float32_impostors_beside_float64_genuine_are_exact():
    counter = RocCounter(np.array([0.1]))
    counter.add(np.array([0.1], np.float32))  # a little above 0.1
    assert counter.roc().false_accepts.tolist() == [0, 1, 1]


def test_memory_goes_with_genuine_scores_and_not_with_impostors():
    rng = np.random.default_rng(0)
    counter = RocCounter(rng.normal(size=1000).astype(np.float32))
    block = rng.normal(size=100_000).astype(np.float32)
    tracemalloc.start()
    for _ in range(60):
        counter.add(block)
    counter.roc()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # all scores together are 24 MB


def test_unusable_scores_are_refused():
    with pytest.raises(ValueError, match="no genuine"):
        RocCounter([])
    with pytest.raises(ValueError, match="1 of 2 genuine scores are NaN"):
        RocCounter([0.1, np.nan])
    counter = RocCounter(np.array([0.1], np.float32))
    with pytest.raises(ValueError, match="no impostor"):
        counter.roc()
    with pytest.raises(ValueError, match="impostor scores are NaN or infinite"):
        counter.add(np.array([np.inf], np.float32))
    with pytest.raises(ValueError, match="shape"):
        counter.add(np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="float64, genuine ones float32"):
        counter.add(np.array([0.1]))
