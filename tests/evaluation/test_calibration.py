"""Thresholds for a wanted FMR, against plain counting, resampled sets, and known populations."""

from dataclasses import replace
from math import comb, isnan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from evenface.evaluation.metrics import calibration as module
from evenface.evaluation.metrics import read_tar, roc
from evenface.evaluation.metrics.calibration import (
    PeoplesScores,
    by_person,
    l2,
    pairs_wanted,
    squared_l2,
    threshold_at,
)

TARGETS = (0.5, 0.2, 0.1, 0.05, 0.01)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.lists(st.integers(0, 12), min_size=1, max_size=20),
    st.sampled_from(TARGETS),
)
def test_the_smallest_score_seen_that_keeps_the_fmr(impostor, genuine, fmr):
    found = threshold_at(impostor, genuine, fmr)
    n = len(impostor)

    def passing(t):
        return sum(score >= t for score in impostor)

    good = [t for t in impostor + genuine if passing(t) <= fmr * n + 1e-9]
    if fmr * n < 1 - 1e-9 or not good:
        assert not found.measurable and isnan(found.fnmr) and "not measurable" in found.note
        return
    assert found.threshold == min(good)
    assert (found.impostors, found.impostors_passing) == (n, passing(min(good)))
    rejected = sum(score < min(good) for score in genuine)
    assert (found.genuine, found.genuine_rejected) == (len(genuine), rejected)
    assert found.fnmr == rejected / len(genuine)
    assert bool(found.note) == (fmr * n < 10 - 1e-9)

    at = read_tar(roc(impostor + genuine, np.arange(n + len(genuine)) >= n), fmr)
    assert at.tar == (len(genuine) - rejected) / len(genuine) and at.threshold == found.threshold


@given(st.integers(0, 10_000), st.sampled_from((0.05, 0.1, 0.2)))
def test_the_highest_impostors_are_enough(seed, fmr):
    rng = np.random.default_rng(seed)
    impostor, genuine = rng.integers(0, 40, 300) / 40, rng.random(30)
    highest = np.sort(impostor)[::-1][:120]
    assert threshold_at(rng.permutation(highest), genuine, fmr, 300) == threshold_at(impostor, genuine, fmr)


def test_what_cannot_be_measured_is_said():
    scores = np.linspace(0, 1, 50)
    few = threshold_at(scores, [0.99], 0.02)
    assert few.measurable and few.note == "rests on too few: 1 impostor pairs may pass, fewer than 10"
    none = threshold_at(scores, [0.99], 0.019)
    assert none.note == "not measurable: 50 impostor pairs are fewer than 1/FMR"
    assert none.impostors_passing == 0 and none.genuine_rejected == none.genuine
    tied = threshold_at(np.ones(50), [0.5], 0.1)
    assert tied.note == "not measurable: the highest score is that of more than 5 impostor pairs"
    short = threshold_at(scores, [0.99], 0.1, impostors=1000)
    assert short.note == "not measured: 100 impostor pairs may pass, and 50 scores are at hand"
    assert threshold_at(scores, [0.99], 0.02, impostors=1000).measurable


@pytest.mark.parametrize(
    ("impostor", "genuine", "fmr"),
    [([0.1], [0.2], 0.0), ([0.1], [0.2], 1.0), ([], [0.2], 0.1), ([0.1], [], 0.1), ([np.nan], [0.2], 0.1)],
)
def test_nonsense_is_refused(impostor, genuine, fmr):
    with pytest.raises(ValueError, match=r"fmr|finite"):
        threshold_at(impostor, genuine, fmr)


@pytest.mark.parametrize(("n", "fmr"), [(40, 0.1), (100, 0.03), (12, 0.5), (9, 0.9)])
def test_the_ranks_of_the_thresholds_interval(n, fmr):
    """By the plain sum: how likely r of n impostors or more reach the wanted quantile."""

    def reach(r):
        return sum(comb(n, i) * fmr**i * (1 - fmr) ** (n - i) for i in range(r, n + 1))

    a = max((r for r in range(1, n + 1) if 1 - reach(r) <= 0.025), default=None)  # S(a) < t: fewer than a do
    b = min((r for r in range(1, n + 1) if reach(r) <= 0.025), default=None)  # S(b) > t: b or more do
    scores = np.linspace(0.9, 0.1, n)
    low, high = threshold_at(scores, [0.5], fmr).threshold_interval
    assert high == pytest.approx(1.0 if a is None else scores[a - 1])
    assert low == pytest.approx(-1.0 if b is None else scores[b - 1])


def test_both_intervals_hold_what_they_promise():
    """Uniform scores: the wanted quantile is 1 - FMR, and the true FMR of a threshold t is 1 - t."""
    rng, n, fmr, times = np.random.default_rng(3), 1500, 0.01, 2000
    quantile = rate = 0
    for _ in range(times):
        found = threshold_at(rng.random(n), [0.5], fmr)
        quantile += found.threshold_interval[0] <= 1 - fmr <= found.threshold_interval[1]
        rate += found.fmr_interval[0] <= 1 - found.threshold <= found.fmr_interval[1]
    assert 0.945 < quantile / times < 0.985
    assert 0.945 < rate / times < 0.985


def test_the_fmr_interval_is_that_of_the_order_statistics():
    found = threshold_at(np.linspace(0, 1, 1000), [0.5], 0.02)
    k, n = 20, 1000
    assert found.impostors_passing == k
    assert found.fmr_interval == pytest.approx((beta(k, n - k + 1).ppf(0.025), beta(k + 1, n - k).ppf(0.975)))


@given(st.integers(0, 10_000), st.floats(-0.99, 0.99))
def test_cosine_and_distances_pass_the_same_pairs(seed, t):
    a, b = np.random.default_rng(seed).normal(size=(2, 200, 3))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    cosine, squared = (a * b).sum(1), ((a - b) ** 2).sum(1)
    clear = np.abs(cosine - t) > 1e-12  # beyond rounding
    assert ((cosine >= t) == (squared <= squared_l2(t)))[clear].all()
    assert ((cosine >= t) == (np.linalg.norm(a - b, axis=1) <= l2(t)))[clear].all()
    assert l2(1 + 1e-16) == 0.0 and squared_l2(-1.0) == 4.0


def made_people(rng, people=7, most=4):
    """Ragged people of tied scores, all pairs: (score of each pair of pictures, person of each picture)."""
    labels = np.repeat(np.arange(people), rng.integers(1, most + 1, people))
    labels = np.append(labels, [0, 0])
    n = len(labels)
    scores = np.round(np.tanh(rng.normal(size=(n, n))), 1)
    return np.triu(scores) + np.triu(scores, 1).T, labels


def as_pairs(scores, labels, listed=None):
    i, j = np.triu_indices(len(labels), 1)
    if listed is not None:
        i, j = i[listed], j[listed]
    s, same = scores[i, j], labels[i] == labels[j]
    order = np.argsort(-s[~same], kind="stable")
    return PeoplesScores(
        s[~same][order],
        np.stack([labels[i], labels[j]], axis=1)[~same][order],
        np.bincount(labels) if listed is None else None,
        s[same],
        labels[i][same],
    )


def resampled(scores, labels, keep, count, fmr, threshold):
    """One drawing, written out: every copy of a person is a person, and copies of one person do not meet."""
    copies = [(p, c) for p in range(len(count)) for c in range(count[p])]
    impostor, genuine = [], []
    for x, (p, _) in enumerate(copies):
        for q, _ in copies[x:]:
            for i in np.flatnonzero(labels == p):
                for j in np.flatnonzero(labels == q):
                    if not keep[min(i, j), max(i, j)]:
                        continue
                    if p != q:
                        impostor.append(scores[i, j])
        rows = np.flatnonzero(labels == p)
        genuine += [scores[i, j] for i in rows for j in rows if i < j and keep[i, j]]
    if not impostor or not genuine:
        return None
    s = np.array(impostor)
    good = [t for t in s if (s >= t).sum() <= fmr * len(s) + 1e-9]
    return min(good, default=1.0), (s >= threshold).mean(), (np.array(genuine) < threshold).mean()


@pytest.mark.parametrize("complete", [True, False])
def test_by_person_is_the_set_of_the_people_drawn(complete):
    rng = np.random.default_rng(5)
    scores, labels = made_people(rng)
    n, fmr, threshold, replicates = len(labels), 0.2, 0.3, 40
    listed = None if complete else rng.random(n * (n - 1) // 2) < 0.7
    keep = np.zeros((n, n), bool)
    keep[np.triu_indices(n, 1)] = True if complete else listed
    pairs = as_pairs(scores, labels, listed)
    assert pairs.impostors == len(pairs.scores)

    draw, people, found = np.random.default_rng(9), labels.max() + 1, []
    while len(found) < replicates:
        count = np.bincount(draw.integers(people, size=people), minlength=people)
        one = resampled(scores, labels, keep, count, fmr, threshold)
        found += [] if one is None else [one]
    expected = [
        (np.quantile(x, 0.025, method="lower"), np.quantile(x, 0.975, method="higher"))
        for x in np.array(found).T
    ]
    by = by_person(pairs, fmr, threshold, replicates=replicates, seed=9)
    np.testing.assert_allclose([by.threshold, by.fmr, by.fnmr], expected)


def test_by_person_needs_only_the_highest(monkeypatch):
    monkeypatch.setattr(module, "_SPARE", 60)
    rng = np.random.default_rng(1)
    scores, labels = made_people(rng, people=30)
    whole = as_pairs(scores + 1e-3 * rng.random(scores.shape), labels)
    at = threshold_at(whole.scores, whole.genuine, 0.05)
    wanted = pairs_wanted(at.impostors_passing)
    assert wanted < len(whole.scores) / 2

    def highest(count):
        return replace(whole, scores=whole.scores[:count], people=whole.people[:count])

    assert highest(wanted).impostors == len(whole.scores)
    assert by_person(highest(wanted), 0.05, at.threshold) == by_person(whole, 0.05, at.threshold)
    short = by_person(highest(at.impostors_passing), 0.05, at.threshold)
    assert short.threshold[0] == -1.0  # half of the drawings run out of pairs


def test_people_who_all_match_say_nothing_about_fnmr():
    labels = np.repeat(np.arange(6), 2)
    scores = np.where(labels[:, None] == labels, 0.9, np.random.default_rng(0).random((12, 12)) / 2)
    by = by_person(as_pairs(np.triu(scores) + np.triu(scores, 1).T, labels), 0.1, 0.6)
    assert np.isnan(by.fnmr).all() and by.threshold[0] < by.threshold[1]


def test_pairs_of_the_same_people_need_the_interval_by_person():
    """Score = sum of the two people's own parts and of noise; the population's quantile is known.

    By person the interval holds it about as often as promised, by pairs it seldom does.
    """
    rng, people, each, fmr, times = np.random.default_rng(2), 60, 2, 0.02, 100
    labels = np.repeat(np.arange(people), each)
    truth = norm(scale=sqrt(2 * 0.15**2 + 0.1**2)).isf(fmr)
    held = np.zeros(2)
    for _ in range(times):
        own = rng.normal(scale=0.15, size=people)[labels]
        noise = rng.normal(scale=0.1, size=(len(labels), len(labels)))
        pairs = as_pairs(own[:, None] + own + np.triu(noise) + np.triu(noise, 1).T, labels)
        at = threshold_at(pairs.scores, pairs.genuine, fmr)
        by = by_person(pairs, fmr, at.threshold, replicates=200)
        for kind, (low, high) in enumerate((by.threshold, at.threshold_interval)):
            held[kind] += low <= truth <= high
    assert held[0] >= 0.85 * times and held[1] <= 0.5 * times
