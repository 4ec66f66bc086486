"""Intervals by person: against copying the people out, and how often they hold the truth."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from evenface.evaluation.metrics import (
    bootstrap_by_person,
    eer,
    largest_tar,
    read_accuracy,
    read_auc,
    read_best_accuracy,
    read_eer,
    roc,
    tar_at_far,
)
from evenface.evaluation.metrics.bootstrap import draw_by_person

FAR = 0.1
FIGURES = {
    "tar": partial(largest_tar, far=FAR),
    "eer": read_eer,
    "auc": read_auc,
    "accuracy": partial(read_accuracy, threshold=0.5),
    "best": read_best_accuracy,
}


@st.composite
def pair_list(draw):
    """Few people with few distinct scores: (scores, same, people), both kinds present."""
    crowd = draw(st.integers(2, 6))
    pairs = st.tuples(st.integers(0, crowd - 1), st.integers(0, crowd - 1), st.integers(0, 5))
    rows = [*draw(st.lists(pairs, max_size=30)), (0, 0, 4), (0, 1, 2)]
    people, scores = np.array(rows)[:, :2], np.array(rows)[:, 2] / 5
    return scores, people[:, 0] == people[:, 1], people


def copied_out(scores, same, people, drawn):
    """The list of pairs that these people, some of them several times, have among them."""
    found, kinds = [], []
    for score, kind, (a, b) in zip(scores, same, people, strict=True):
        for i, one in enumerate(drawn):
            for j, other in enumerate(drawn):
                if (one, other) == (a, b) and (i == j) == bool(kind):
                    found.append(score)
                    kinds.append(kind)
    return np.array(found), np.array(kinds, bool)


@given(pair_list(), st.integers(0, 99))
def test_a_draw_is_the_pair_list_of_the_people_drawn(pairs, seed):
    scores, same, people = pairs
    values = draw_by_person(scores, same, people * 10 - 3, FIGURES, draws=3, seed=seed)
    rng, names = np.random.default_rng(seed), np.unique(people)
    for row in values:
        while True:
            drawn = names[rng.integers(len(names), size=len(names))]
            s, y = copied_out(scores, same, people, drawn)
            if y.any() and not y.all():
                break
        points = [((s[~y] >= t).mean(), (s[y] >= t).mean()) for t in [np.inf, *np.unique(s)]]
        expected = [
            max(tar for far, tar in points if far <= FAR + 1e-12),
            eer(s, y),
            np.mean(
                (s[y][:, None] > s[~y]) + (s[y][:, None] == s[~y]) / 2,
            ),
            ((s >= 0.5) == y).mean(),
            max(((s >= t) == y).mean() for t in [np.inf, *np.unique(s)]),
        ]
        assert row == pytest.approx(expected, abs=1e-12)


def test_intervals_are_the_percentiles_of_the_draws_and_follow_the_seed():
    scores, same, people = crowd_of(np.random.default_rng(0), 30)
    intervals = bootstrap_by_person(scores, same, people, FIGURES, draws=200, seed=5)
    values = np.sort(draw_by_person(scores, same, people, FIGURES, draws=200, seed=5), axis=0)
    assert list(intervals) == list(FIGURES)
    for (low, high), column in zip(intervals.values(), values.T, strict=True):
        assert column[4] <= low <= column[5]
        assert column[194] <= high <= column[195]
    assert bootstrap_by_person(scores, same, people, FIGURES, draws=200, seed=6) != intervals


def crowd_of(rng, size, each=8):
    """People who are each easy or hard: `each` genuine pairs a person, all impostor pairs of two people.

    A genuine score is N(2, 1), an impostor score N(0, 1), and both vary mostly with the person.
    """
    ease, look = 2 + np.sqrt(0.8) * rng.normal(size=size), np.sqrt(0.3) * rng.normal(size=size)
    own = np.repeat(np.arange(size), each)
    a, b = np.array(list(combinations(range(size), 2))).T
    genuine = ease[own] + np.sqrt(0.2) * rng.normal(size=len(own))
    impostors = look[a] + look[b] + np.sqrt(0.4) * rng.normal(size=len(a))
    people = np.concatenate([np.stack([own, own], 1), np.stack([a, b], 1)])
    return np.append(genuine, impostors), people[:, 0] == people[:, 1], people


def test_intervals_by_person_hold_the_truth_where_those_by_pair_do_not():
    # Of the normal scores that `crowd_of` draws from.
    truth = {
        "tar": norm.sf(norm.isf(FAR) - 2),
        "eer": norm.sf(1),
        "auc": norm.cdf(2 / np.sqrt(2)),
    }
    figures = {name: FIGURES[name] for name in truth}
    held, held_by_pair, wider = dict.fromkeys(truth, 0), 0, 0
    rounds = 120
    for seed in range(rounds):
        scores, same, people = crowd_of(np.random.default_rng(seed), 50)
        intervals = bootstrap_by_person(scores, same, people, figures, draws=200, seed=seed)
        for name, (low, high) in intervals.items():
            held[name] += low <= truth[name] <= high
        by_pair = tar_at_far(scores, same, FAR).interval
        held_by_pair += by_pair[0] <= truth["tar"] <= by_pair[1]
        wider += intervals["tar"][1] - intervals["tar"][0] > by_pair[1] - by_pair[0]
    # With so few people 93 to 94 % of percentile intervals hold the truth; of 120, that is 103 to 118.
    assert all(103 <= count <= 118 for count in held.values()), held
    assert held_by_pair < 0.6 * rounds  # they are a third as wide
    assert wider == rounds


def test_pairs_that_share_no_person_get_three_times_the_variance():
    impostors = 400
    people = np.concatenate([[[0, 0]], 1 + np.arange(2 * impostors).reshape(-1, 2)])
    scores = np.append(2.0, np.arange(impostors) < 80)  # FAR 0.2 at threshold 0.5
    far = {"far": lambda curve: curve.far[curve.thresholds >= 0.5][-1]}
    values = draw_by_person(scores, np.arange(impostors + 1) == 0, people, far, draws=2000, seed=0)
    assert 2.6 < values.var() / (0.2 * 0.8 / impostors) < 3.4


def test_nothing_is_said_of_a_figure_that_no_draw_changes():
    scores, same, people = crowd_of(np.random.default_rng(1), 10)
    scores[same] = scores.max() + 1
    intervals = bootstrap_by_person(scores, same, people, FIGURES, draws=50)
    for name in ("tar", "eer", "auc", "best"):
        assert np.isnan(intervals[name]).all()
    assert np.isfinite(intervals["accuracy"]).all()


def test_draws_without_a_kind_of_pair_are_drawn_again():
    # Only where both people are drawn is there an impostor pair: half of the draws.
    values = draw_by_person(
        [0.9, 0.8, 0.1], [True, True, False], [[4, 4], [7, 7], [4, 7]], {"auc": read_auc}, draws=50, seed=0
    )
    assert (values == 1).all()


def test_scores_less_their_folds_thresholds_give_the_accuracy_by_fold():
    scores, same, _ = crowd_of(np.random.default_rng(2), 20)
    fold = np.arange(len(scores)) % 3
    thresholds = np.array([0.8, 1.0, 1.3])[fold]
    shifted = roc(scores - thresholds, same)
    assert read_accuracy(shifted, 0.0) == ((scores >= thresholds) == same).mean()


@pytest.mark.parametrize(
    "people,says",
    [
        ([[0, 0], [0, 1]], "shape"),
        ([[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]], "integers"),
        ([[0, 0], [1, 1], [1, 2]], "pair 1 is an impostor pair of one person"),
        ([[0, 3], [0, 1], [1, 2]], "pair 0 is a genuine pair of two people"),
    ],
)
def test_people_are_checked(people, says):
    with pytest.raises(ValueError, match=says):
        bootstrap_by_person([0.9, 0.5, 0.1], [True, False, False], people, FIGURES)
