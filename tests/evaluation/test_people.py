"""All pairs, their ROC, and rank-1 of a folder of people, against plain loops."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from evenface.errors import UserError
from evenface.evaluation.metrics import read_auc, read_eer, read_tar, roc
from evenface.evaluation.people import all_pairs, pairs_roc, rank1, unit_rows


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_all_pairs_and_rank1_agree_with_loops(seed, n):
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(n, 3)), rng.integers(0, 4, n)

    def cosine(i, j):
        return rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])

    scores, same = all_pairs(rows, labels)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    assert_allclose(scores, [cosine(i, j) for i, j in pairs], atol=1e-5)
    assert same.tolist() == [labels[i] == labels[j] for i, j in pairs]

    probes = [i for i in range(n) if (labels == labels[i]).sum() > 1]
    if not probes:
        with pytest.raises(UserError, match="two images"):
            rank1(rows, labels)
        return
    best = [max((j for j in range(n) if j != i), key=lambda j: cosine(i, j)) for i in probes]
    assert rank1(rows, labels) == pytest.approx(
        np.mean([labels[i] == labels[b] for i, b in zip(probes, best, strict=True)])
    )


def test_rank1_ignores_loners_as_probes_but_searches_them_and_misses_ties():
    a, b, c = [1.0, 0.0], [0.9, 0.1], [0.95, 0.05]
    assert rank1([a, b], [0, 0]) == 1.0
    assert rank1([a, b, c], [0, 0, 1]) == 0.0  # the loner stands between the two
    assert rank1([a, a, a], [0, 0, 1]) == 0.0  # tied with the loner


def test_lengths_do_not_matter_however_large_or_small():
    rows = np.array([[1.0, 2], [3, -1], [2, 2]])
    expected, _ = all_pairs(rows, [0, 1, 0])
    for factor in (1e-30, 1e30):
        assert_allclose(all_pairs(rows * factor, [0, 1, 0])[0], expected, rtol=1e-5)


def signs(rng, n, d=16):
    """Rows whose cosines float32 holds exactly, in whatever order they are summed, and many of them tied."""
    return rng.choice([-3.0, 3.0], size=(n, d))


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 6), st.sampled_from([1, 3, 7, 256]))
def test_the_roc_of_all_pairs_is_exact(seed, n, crowd, block):
    rng = np.random.default_rng(seed)
    rows, labels = signs(rng, n), 5 * rng.integers(0, crowd, n) - 7
    scores, same = all_pairs(rows, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evenface.evaluation.people._BLOCK", block)
        if same.all() or not same.any():
            with pytest.raises(UserError, match="two people or more, and one of them with two images"):
                pairs_roc(rows, labels)
            return
        curve, whole = pairs_roc(rows, labels), roc(scores, same)
    assert (curve.genuine, curve.impostors) == (whole.genuine, whole.impostors)
    assert (read_eer(curve), read_auc(curve)) == (read_eer(whole), read_auc(whole))
    for far in (0.01, 0.1, 0.3, 0.9):
        for reading in ("conservative", "nearest", "interpolated"):
            assert_allclose(read_tar(curve, far, reading).tar, read_tar(whole, far, reading).tar, rtol=0)
    points = set(zip(whole.false_accepts, whole.true_accepts, strict=True))
    for threshold, false, true in zip(curve.thresholds, curve.false_accepts, curve.true_accepts, strict=True):
        assert (false, true) == ((scores[~same] >= threshold).sum(), (scores[same] >= threshold).sum())
        assert (false, true) in points


def test_cosines_a_hair_apart_do_not_pass_together():
    rows = [[1.0, 0.0], [1 - 2.0**-21, 2.0**-10], [1.0, -1e-3 - 2.0**-10]]
    scores, same = all_pairs(rows, [0, 0, 1])
    assert 0 < scores[same].min() - scores[~same].max() < 2.0**-18
    assert read_auc(pairs_roc(rows, [0, 0, 1])) == 1.0


def test_all_pairs_are_never_held_at_once():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(4000, 8)).astype(np.float32), np.arange(4000) // 4
    tracemalloc.start()
    pairs_roc(rows, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # 4,000 x 4,000 cosines are 64 MB


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_row_without_direction_is_named(bad):
    with pytest.raises(UserError, match="row 1"):
        unit_rows([[1.0, 1.0], bad])


@pytest.mark.parametrize(
    ("rows", "labels"), [(np.ones((3, 2)), [0, 1]), (np.ones((1, 2)), [0]), (np.ones(3), [0, 1, 2])]
)
def test_shapes_are_checked(rows, labels):
    with pytest.raises(UserError, match=r"labels|embeddings"):
        all_pairs(rows, labels)
