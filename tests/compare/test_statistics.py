"""Against scipy's tests, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evenface.compare.statistics import paired_difference, summarise

VALUES = st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=2, max_size=12)


def test_mean_and_sample_deviation_by_hand():
    found = summarise([0.1, 0.2, 0.6])
    mean = (0.1 + 0.2 + 0.6) / 3
    deviation = math.sqrt(sum((x - mean) ** 2 for x in (0.1, 0.2, 0.6)) / 2)
    assert (found.n, found.mean, found.sd) == (3, pytest.approx(mean), pytest.approx(deviation))


def test_one_value_has_neither_deviation_nor_interval():
    assert summarise([0.3]).sd is None
    found = paired_difference([0.5], [0.2])
    assert (found.n, found.low, found.high) == (1, None, None) and found.mean == pytest.approx(0.3)
    assert not found.excludes_zero


def test_two_seeds_by_the_table_of_t():
    found = paired_difference([0.4, 0.6], [0.1, 0.1])  # differences 0.3 and 0.5; t of 1 degree is 12.706
    half = 12.7062 * math.sqrt(0.02) / math.sqrt(2)
    assert (found.low, found.high) == (pytest.approx(0.4 - half, 1e-4), pytest.approx(0.4 + half, 1e-4))


@given(VALUES)
def test_interval_is_that_of_the_paired_t_test(values):
    a, b = np.array(values).T
    found = paired_difference(a, b)
    if np.std(a - b) < 1e-9:
        assert found.low == pytest.approx(found.mean, abs=1e-7)
        return
    oracle = stats.ttest_rel(a, b)
    low, high = oracle.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    if abs(oracle.pvalue - 0.05) > 1e-6:
        assert found.excludes_zero == (oracle.pvalue < 0.05)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(4000):
        found = paired_difference(0.3 + rng.normal(size=4), np.zeros(4))
        covered += found.low <= 0.3 <= found.high
    assert 0.95 == pytest.approx(covered / 4000, abs=0.011)  # 3 standard errors
