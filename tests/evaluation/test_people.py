"""All pairs and rank-1 of a folder of people, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from evenface.errors import UserError
from evenface.evaluation.people import all_pairs, rank1, unit_rows


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
