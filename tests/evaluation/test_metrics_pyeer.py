"""Against pyeer, where its conventions say the same."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pyeer.eer_stats import calculate_roc, calculate_roc_auc, get_eer_values, get_fmr_op

from evenface.evaluation.metrics import RocCounter, eer, read_auc, read_eer, read_tar, roc


@st.composite
def genuine_and_impostors(draw):
    genuine = draw(st.lists(st.integers(0, 12), min_size=2, max_size=40))
    impostors = draw(st.lists(st.integers(0, 12), min_size=2, max_size=40))
    assume(len({*genuine, *impostors}) > 1)
    return np.array(genuine, float), np.array(impostors, float)


def joined(genuine, impostors):
    return np.append(genuine, impostors), np.arange(len(genuine) + len(impostors)) < len(genuine)


@given(genuine_and_impostors())
@pytest.mark.filterwarnings("ignore:It seems that the FMR")
def test_error_rates_at_every_score_and_the_span_of_the_eer(pair):
    genuine, impostors = pair
    thresholds, fmr, fnmr = calculate_roc(genuine, impostors)
    curve = roc(*joined(genuine, impostors))
    assert curve.thresholds[:0:-1].tolist() == thresholds.tolist()
    assert curve.far[:0:-1] == pytest.approx(fmr)
    assert curve.fnmr[:0:-1] == pytest.approx(fnmr)
    # They give both error rates at one threshold, and their mean; ours lies where the lines cross.
    _, low, high, _ = get_eer_values(fmr, fnmr)
    if high < 1:  # 1 stands for "do not cross"
        assert low - 1e-12 <= eer(*joined(genuine, impostors)) <= high + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_many_scores(seed):
    rng = np.random.default_rng(seed)
    genuine, impostors = rng.normal(2, 1, 3000), rng.normal(0, 1, 20_000)
    genuine[0] = 9  # so that they too have a point where no impostor passes
    _, fmr, fnmr = calculate_roc(genuine, impostors)
    counter = RocCounter(genuine)
    counter.add(impostors)
    curve = counter.roc()
    assert read_eer(curve) == pytest.approx(get_eer_values(fmr, fnmr)[3], abs=1 / 3000)
    assert read_auc(curve) == pytest.approx(calculate_roc_auc(fmr, fnmr), abs=1e-9)
    for far in (0.1, 0.05, 0.01, 0.001, 0.0003):
        theirs = get_fmr_op(fmr, fnmr, far)[1]
        assert read_tar(curve, far, "nearest").tar == pytest.approx(1 - theirs, abs=1e-12)
