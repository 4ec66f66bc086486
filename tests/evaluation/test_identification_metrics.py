"""CMC and TPIR at FPIR, re-derived from whole score matrices, and public mistakes that change the number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from evenface.evaluation.metrics import cmc, open_set, read_tpir

GALLERY = 4


@st.composite
def searches(draw):
    """(mated, mate, nonmated): score matrices (M, GALLERY) and (U, GALLERY) with ties, and places (M,)."""
    row = st.lists(st.integers(0, 6), min_size=GALLERY, max_size=GALLERY)
    mated = draw(st.lists(row, min_size=1, max_size=12))
    mate = draw(st.lists(st.integers(0, GALLERY - 1), min_size=len(mated), max_size=len(mated)))
    nonmated = draw(st.lists(row, min_size=1, max_size=25))
    return np.array(mated, float), np.array(mate), np.array(nonmated, float)


def best(mated, mate, nonmated):
    """What `open_set` takes of score matrices; a mate that ties with another candidate is no hit."""
    own = mated[np.arange(len(mated)), mate]
    others = np.where(np.arange(mated.shape[1]) == mate[:, None], -np.inf, mated)
    return mated.max(axis=1), own > others.max(axis=1), nonmated.max(axis=1)


def rates(mated, mate, nonmated, threshold):
    """(FPIR, TPIR) by the definition, a probe at a time."""
    alarms = sum(any(score >= threshold for score in row) for row in nonmated)
    found = 0
    for row, m in zip(mated, mate, strict=True):
        better = [k for k in range(len(row)) if k != m and row[k] >= row[m]]
        found += not better and row[m] >= threshold
    return alarms / len(nonmated), found / len(mated)


@given(searches())
def test_every_point_of_the_curve_is_what_counting_gives(search):
    curve = open_set(*best(*search))
    for threshold, fpir, tpir in zip(curve.thresholds, curve.fpir, curve.tpir, strict=True):
        assert (fpir, tpir) == rates(*search, threshold)
    assert (curve.fpir[0], curve.tpir[0], curve.fpir[-1]) == (0, 0, 1)
    scores, hit, strangers = best(*search)
    assert curve.thresholds.tolist() == [np.inf, *sorted({*scores[hit], *strangers}, reverse=True)]


@given(searches(), st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9]))
def test_tpir_at_fpir_agrees_with_all_thresholds(search, fpir):
    mated, _, nonmated = search
    got = read_tpir(open_set(*best(*search)), fpir)
    if fpir * len(nonmated) < 1 - 1e-9:
        assert np.isnan([got.tpir, got.threshold, *got.interval]).all()
        assert got.note.startswith(f"not measurable: {len(nonmated)} non-mated")
        return
    everywhere = [np.inf, *np.unique(np.append(mated, nonmated))]
    points = [rates(*search, threshold) for threshold in everywhere]
    assert got.tpir == max(tpir for at, tpir in points if at <= fpir + 1e-12)
    at, tpir = rates(*search, got.threshold)
    assert (at * len(nonmated), tpir) == (pytest.approx(got.false_positives), got.tpir)
    assert bool(got.note) == (fpir * len(nonmated) < 10 - 1e-9)
    hits = round(tpir * len(mated))
    low, high = got.interval
    assert low == 0 if hits == 0 else binom.sf(hits - 1, len(mated), low) == pytest.approx(0.025)
    assert high == 1 if hits == len(mated) else binom.cdf(hits, len(mated), high) == pytest.approx(0.025)


def ten_strangers(highest):
    """Ten non-mated probes: each with that highest score, beside 99 low ones."""
    return np.concatenate([np.array(highest)[:, None], np.full((10, 99), 0.1)], axis=1)


def test_the_threshold_comes_from_each_strangers_best_score_and_not_from_all_scores():
    strangers = ten_strangers([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.4, 0.3, 0.3, 0.2])
    mated = np.array([0.95, 0.85, 0.75, 0.55])
    curve = open_set(mated, np.ones(4, bool), strangers.max(axis=1))
    got = read_tpir(curve, 0.1)
    assert (got.tpir, got.false_positives) == (0.5, 1)
    assert 0.8 < got.threshold <= 0.85
    # One in ten of all 1,000 scores is at or above 0.1: then every stranger raises an alarm.
    assert np.mean(mated >= np.quantile(strangers, 0.9)) == 1.0


def test_a_mate_that_passes_at_rank_two_is_no_hit():
    strangers = [0.5, 0.4, 0.3, 0.2, 0.1] * 2
    passing = read_tpir(open_set([0.9, 0.8], np.array([True, False]), strangers), 0.1)
    assert passing.tpir == 0.5
    assert open_set([0.9, 0.8], np.array([True, False]), strangers).tpir[-1] == 0.5  # the rank-1 rate


def test_the_fpir_does_not_exceed_the_target_even_if_the_next_is_nearer():
    # Ten strangers, three of them with one score: FPIR 0 or 0.3 or more. 0.3 is nearer to 0.2 than 0 is.
    curve = open_set([0.9, 0.6], np.array([True, True]), [0.6] * 3 + [0.1] * 7)
    assert (read_tpir(curve, 0.2).tpir, read_tpir(curve, 0.2).false_positives) == (0.5, 0)
    assert (read_tpir(curve, 0.3).tpir, read_tpir(curve, 0.3).false_positives) == (1.0, 3)


def test_nothing_passes_where_strangers_score_highest():
    got = read_tpir(open_set([0.5], np.array([True]), [0.9] * 100), 0.5)
    assert (got.tpir, got.threshold, got.false_positives) == (0.0, np.inf, 0)
    missed = read_tpir(open_set([0.5], np.array([False]), [0.1] * 100), 0.5)
    assert missed.tpir == 0.0


@pytest.mark.parametrize(
    "nonmated,fpir,starts",
    [(99, 0.01, "not measurable"), (100, 0.01, "rests on too few: 1 non-mated"), (1000, 0.01, "")],
)
def test_what_rests_on_too_few_strangers_is_marked(nonmated, fpir, starts):
    got = read_tpir(open_set([2.0], np.array([True]), np.arange(nonmated) / nonmated), fpir)
    assert got.note.startswith(starts)
    assert bool(got.note) == bool(starts)
    assert np.isnan(got.tpir) == starts.startswith("not")


def test_the_permitted_strangers_are_counted_without_rounding():
    curve = open_set([2.0], np.array([True]), np.arange(100))
    assert read_tpir(curve, 0.29).false_positives == 29  # as floats 0.29 x 100 is a little below 29


@given(st.lists(st.lists(st.integers(0, 5), min_size=GALLERY, max_size=GALLERY), min_size=1), st.data())
def test_cmc_agrees_with_looking_through_the_candidates(matrix, data):
    mate = [data.draw(st.integers(0, GALLERY - 1)) for _ in matrix]
    ranks = [1 + sum(score > row[m] for score in row) for row, m in zip(matrix, mate, strict=True)]
    for most in (2, GALLERY, 9):
        curve = cmc(ranks, most)
        assert curve.rates.tolist() == [np.mean([rank <= r for rank in ranks]) for r in range(1, most + 1)]
        assert curve.probes == len(matrix)
    assert curve.rates[GALLERY - 1] == 1


def test_cmc_at_a_rank_and_its_interval():
    curve = cmc([1, 1, 1, 2, 5, 200], most=5)
    assert [curve.at(rank) for rank in (1, 2, 4, 5)] == [3 / 6, 4 / 6, 4 / 6, 5 / 6]
    low, high = curve.interval(2)
    assert binom.sf(3, 6, low) == pytest.approx(0.025)
    assert binom.cdf(4, 6, high) == pytest.approx(0.025)
    for rank in (0, 6, -1):
        with pytest.raises(ValueError, match="ranks 1 to 5"):
            curve.at(rank)
        with pytest.raises(ValueError, match="ranks 1 to 5"):
            curve.interval(rank)


@pytest.mark.parametrize("ranks", [[], [0, 1], [1.0, 2.0], [[1, 2]], [-1]])
def test_ranks_are_checked(ranks):
    with pytest.raises(ValueError, match="ranks"):
        cmc(np.array(ranks))


@pytest.mark.parametrize(
    "mated,hit,nonmated,says",
    [
        ([0.5], [True], [], "1 mated and 0 non-mated"),
        ([], np.zeros(0, bool), [0.5], "0 mated and 1 non-mated"),
        ([0.5, 0.4], [True], [0.5], r"\(2,\), \(1,\)"),
        ([0.5], [1], [0.5], "bool"),
        ([[0.5]], [[True]], [0.5], r"\(1, 1\)"),
        ([np.nan], [True], [0.5], "NaN"),
        ([0.5], [True], [np.inf], "infinite"),
    ],
)
def test_unusable_searches_are_refused(mated, hit, nonmated, says):
    with pytest.raises(ValueError, match=says):
        open_set(mated, hit, nonmated)


@pytest.mark.parametrize("fpir", [0, 1, 1.5, -0.1, np.nan])
def test_fpir_is_checked(fpir):
    with pytest.raises(ValueError, match="fpir"):
        read_tpir(open_set([0.5], [True], [0.1]), fpir)
