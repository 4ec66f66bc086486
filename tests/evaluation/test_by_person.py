"""Intervals and differences by person of whole results."""

from dataclasses import replace

import numpy as np
import pytest

from evenface.evaluation.by_person import differences, with_intervals
from evenface.evaluation.images import ImageSet
from evenface.evaluation.metrics import bootstrap_by_person, read_eer, read_tar
from evenface.evaluation.metrics.folds import accuracy_by_fold
from evenface.evaluation.protocols import PairSet


def pair_set(tmp_path, people: int = 40, known: bool = True, folds: int = 10) -> PairSet:
    """Each person's two pictures, and each person's first with the next one's: 40 + 40 pairs."""
    who = np.repeat(np.arange(people), 2)
    first = np.concatenate([np.arange(0, 2 * people, 2)] * 2)
    second = np.concatenate([np.arange(1, 2 * people, 2), (np.arange(0, 2 * people, 2) + 2) % (2 * people)])
    (tmp_path / "list.txt").write_text("x")
    return PairSet(
        name="Set",
        images=ImageSet(tmp_path, [str(i) for i in range(2 * people)], lambda i: np.zeros((112, 112, 3))),
        first=first,
        second=second,
        same=np.repeat([True, False], people),
        fold=np.tile(np.arange(people) % folds, 2),
        conventions={},
        sources=[tmp_path / "list.txt"],
        people=who if known else None,
    )


def embeddings(seed: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, 6))
    return (np.repeat(centres, 2, axis=0) + noise * rng.normal(size=(80, 6))).astype(np.float32)


def test_intervals_are_those_of_the_bootstrap(tmp_path):
    pairs = pair_set(tmp_path)
    (plain,) = pairs.score(embeddings(0, 1.0))
    found = with_intervals(plain)
    scores = plain.pairs
    expected = bootstrap_by_person(scores.scores, scores.same, scores.people, {"eer": read_eer}, 1000)
    assert found["eer"].interval == expected["eer"]
    assert plain["auc"].interval is None and found["auc"].interval[0] < found["auc"].value
    low, high = found["accuracy"].interval
    assert low < found["accuracy"].value < high
    assert found["tar@far=1e-2"] == plain["tar@far=1e-2"]  # not measurable
    assert "by person" in found.conventions["intervals"]
    assert [rate.value for rate in found.rates[:3]] == [rate.value for rate in plain.rates[:3]]


def test_accuracy_is_drawn_with_the_threshold_of_each_fold(tmp_path):
    pairs = pair_set(tmp_path)
    (result,) = pairs.score(embeddings(0, 1.0))
    decided = (result.pairs.scores >= result.pairs.thresholds) == result.pairs.same
    assert decided.mean() == pytest.approx(result["accuracy"].value)
    for fold, threshold in enumerate(result.more["folds"]["thresholds"]):
        assert (result.pairs.thresholds[pairs.fold == fold] == threshold).all()
    # Drawn by hand: a pair weighs the product of how often its people were drawn.
    rng, means = np.random.default_rng(5), []
    a, b = result.pairs.people.T
    for _ in range(2000):
        count = np.bincount(rng.integers(40, size=40), minlength=40)
        weight = np.where(a == b, count[a], count[a] * count[b])
        means.append((weight * decided).sum() / weight.sum())
    np.testing.assert_allclose(
        with_intervals(result)["accuracy"].interval, np.quantile(means, [0.025, 0.975]), atol=0.02
    )


def test_accuracy_is_not_drawn_where_folds_differ_in_size(tmp_path):
    """The share of all pairs decided rightly is then another figure than the mean over folds."""
    pairs = replace(pair_set(tmp_path), fold=np.tile(np.minimum(np.arange(40) // 5, 1), 2))
    first, second = (pairs.score(embeddings(seed, 1.0))[0] for seed in (0, 1))
    decided = [accuracy_by_fold(first.pairs.scores, pairs.same, pairs.fold).accuracies.mean()]
    assert first["accuracy"].value == pytest.approx(decided[0])
    assert with_intervals(first)["accuracy"].interval is None
    assert "accuracy" not in differences(first, second) and "eer" in differences(first, second)


def test_nobody_is_drawn_where_nobody_is_known(tmp_path):
    (result,) = pair_set(tmp_path, known=False).score(embeddings(0, 1.0))
    assert with_intervals(result) is result
    assert differences(result, result) == {}


@pytest.mark.parametrize("reading", ["conservative", "nearest", "interpolated"])
def test_a_tar_is_drawn_as_it_is_read(tmp_path, reading):
    (tmp_path / "big").mkdir()
    pairs = pair_set(tmp_path / "big", people=400)
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.normal(size=(400, 6)), 2, axis=0) + rng.normal(size=(800, 6))
    (result,) = pairs.score(rows.astype(np.float32), reading)
    scores = result.pairs
    expected = bootstrap_by_person(
        scores.scores,
        scores.same,
        scores.people,
        {"tar": lambda curve: read_tar(curve, 0.1, reading).tar},
        1000,
    )
    assert with_intervals(result)["tar@far=1e-1"].interval == expected["tar"]


def test_a_rate_that_no_draw_changes_keeps_its_interval(tmp_path):
    (tmp_path / "big").mkdir()
    pairs = pair_set(tmp_path / "big", people=400)
    rows = np.repeat(np.random.default_rng(3).normal(size=(400, 600)), 2, axis=0).astype(np.float32)
    (result,) = pairs.score(rows)
    at = with_intervals(result)["tar@far=1e-1"]
    assert at.value == 1.0 and at.interval == result["tar@far=1e-1"].interval
    assert at.interval[0] < 1.0


def test_a_better_model_is_seen_to_be_better(tmp_path):
    pairs = pair_set(tmp_path)
    (worse,), (better,) = pairs.score(embeddings(0, 1.6)), pairs.score(embeddings(1, 0.5))
    found = differences(worse, better)
    assert set(found) == {"accuracy", "auc", "eer"}  # four impostors may pass at FAR 0.1: too few
    for key, sign in (("accuracy", 1), ("auc", 1), ("eer", -1)):
        one = found[key]
        assert (one.first, one.second) == (worse[key].value, pytest.approx(better[key].value))
        assert one.difference == pytest.approx(better[key].value - worse[key].value)
        assert sign * one.interval[0] > 0 and sign * one.interval[1] > 0
    same = differences(worse, worse)
    assert all(one.difference == 0 and np.isnan(one.interval[0]) for one in same.values())


def test_other_lists_are_not_compared(tmp_path):
    pairs = pair_set(tmp_path)
    (one,) = pairs.score(embeddings(0, 1.0))
    (tmp_path / "other").mkdir()
    other = pair_set(tmp_path / "other")
    (tmp_path / "other/list.txt").write_text("y")
    (two,) = other.score(embeddings(0, 1.0))
    assert differences(one, two) == {}
