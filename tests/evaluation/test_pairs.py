"""What all pair lists share: scores of pictures and of videos, the figures read off them, the errors."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evenface.errors import UserError
from evenface.evaluation.images import ImageSet
from evenface.evaluation.protocols.pairs import (
    HARDEST,
    PairList,
    PairSet,
    check_kinds,
    histogram,
    read_lines,
    tar_rate,
    template_crop,
)


def pair_set(tmp_path, pairs=200, pictures=60, *, item=None, folds=10, seed=0):
    rng = np.random.default_rng(seed)
    items = pictures if item is None else int(item.max()) + 1
    list_file = tmp_path / "list.txt"
    list_file.write_text("a list")
    first = rng.integers(0, items, pairs)
    return PairSet(
        name="set",
        images=ImageSet(
            tmp_path, [f"{i}.png" for i in range(pictures)], lambda i: np.zeros((1, 1, 3), np.uint8)
        ),
        first=first,
        second=(first + rng.integers(1, items, pairs)) % items,
        same=np.arange(pairs) % 2 == 0,
        fold=np.arange(pairs) * folds // pairs,
        conventions={"crop": "none"},
        sources=[list_file],
        people=rng.integers(0, 5, items),
        item=item,
    )


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    return (rng.normal(size=(60, 8)) * 10.0 ** rng.integers(-3, 4, (60, 1))).astype(np.float32)


def cosine(a, b):
    a, b = a.astype(float), b.astype(float)
    return a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)


def test_scores_are_cosines_and_figures_are_read_off_them(tmp_path, rows):
    pairs = pair_set(tmp_path)
    (result,) = pairs.score(rows)
    expected = [cosine(rows[a], rows[b]) for a, b in zip(pairs.first, pairs.second, strict=True)]
    np.testing.assert_allclose(result.pairs.scores, expected, atol=1e-6)
    assert result["auc"].value == pytest.approx(roc_auc_score(pairs.same, result.pairs.scores))
    assert result.counts == {"genuine pairs": 100, "impostor pairs": 100, "pictures": 60}
    assert (
        result.pairs.people.tolist()
        == np.stack([pairs.people[pairs.first], pairs.people[pairs.second]], 1).tolist()
    )
    assert [rate.key for rate in result.rates][:2] == ["accuracy", "auc"]
    assert len(result.more["folds"]["accuracies"]) == 10
    assert result["accuracy"].value == pytest.approx(np.mean(result.more["folds"]["accuracies"]))


def test_without_folds_there_is_no_accuracy(tmp_path, rows):
    (result,) = pair_set(tmp_path, folds=1).score(rows)
    assert "accuracy" not in result
    assert "folds" not in result.conventions
    assert "folds" not in result.more


def test_items_are_pooled_whatever_the_order_of_their_pictures(tmp_path, rows):
    item = np.random.default_rng(2).permutation(np.arange(60) % 13)
    pairs = pair_set(tmp_path, item=item)
    (result,) = pairs.score(rows)
    unit = np.stack([row / np.sqrt(row @ row) for row in rows.astype(float)])
    mean = [unit[item == i].mean(axis=0) for i in range(13)]
    expected = [cosine(mean[a], mean[b]) for a, b in zip(pairs.first, pairs.second, strict=True)]
    np.testing.assert_allclose(result.pairs.scores, expected, atol=1e-6)
    assert result.counts["videos"] == 13
    for pair in result.hardest:
        assert list(item).index(item[pair.first]) == pair.first  # the first picture of its video


def test_the_hardest_pairs_are_the_lowest_genuine_and_the_highest_impostor_ones(tmp_path, rows):
    pairs = pair_set(tmp_path)
    (result,) = pairs.score(rows)
    scores = result.pairs.scores
    genuine = [pair.score for pair in result.hardest if pair.same]
    impostor = [pair.score for pair in result.hardest if not pair.same]
    assert genuine == sorted(scores[pairs.same])[:HARDEST]
    assert impostor == sorted(scores[~pairs.same])[::-1][:HARDEST]
    for pair in result.hardest:
        assert pair.names == (f"{pair.first}.png", f"{pair.second}.png")
        assert pair.score == pytest.approx(cosine(rows[pair.first], rows[pair.second]), abs=1e-6)


def test_useless_embeddings_are_named(tmp_path, rows):
    pairs = pair_set(tmp_path)
    with pytest.raises(UserError, match="set: 59 embeddings for 60 pictures"):
        pairs.score(rows[:-1])
    for value in (0, np.nan, np.inf):
        bad = rows.copy()
        bad[7] = value
        with pytest.raises(UserError, match=r"7.png is all zero or not finite"):
            pairs.score(bad)


def test_histogram_counts_every_pair_once():
    scores = np.array([-1.0, 1.0, 1.0000001, 0.0, -0.0001, 0.0049, 0.995])
    counts = histogram(scores, np.array([True, True, False, False, False, False, False]))
    assert (counts.genuine.sum(), counts.impostor.sum()) == (2, 5)
    assert (counts.genuine[0], counts.genuine[-1], counts.impostor[-1], counts.impostor[99]) == (1, 1, 2, 1)
    assert counts.impostor[100] == 2


def test_tar_rate_speaks_of_its_far(tmp_path, rows):
    (result,) = pair_set(tmp_path).score(rows)
    rate = tar_rate(result.roc, 0.05)
    assert (rate.key, rate.label) == ("tar@far=0.05", "TAR at FAR 0.05")
    assert result["tar@far=1e-1"].value == tar_rate(result.roc, 0.1).value


def test_a_picture_that_occurs_again_keeps_its_index(tmp_path):
    table = PairList(tmp_path)
    table.add(("b", "x"), ("a", "x"), True, 0)
    table.add(("b", "x"), ("c", "w"), False, 1)
    pairs = table.build("set", lambda path: np.full((1, 1, 3), ord(path.name), np.uint8), {}, [])
    assert pairs.images.names == ["b", "a", "c"]
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0, 0], [1, 2])
    assert (pairs.same.tolist(), pairs.fold.tolist()) == ([True, False], [0, 1])
    assert pairs.people.tolist() == [1, 1, 0]
    assert pairs.images[2][0, 0, 0] == ord("c")
    table.add(("d", ""), ("c", "w"), False, 1)
    assert table.build("set", lambda path: np.zeros((1, 1, 3), np.uint8), {}, []).people is None


@pytest.mark.parametrize(
    ("same", "fold", "says"),
    [
        ([1, 1], [0, 0], "x: has genuine pairs only"),
        ([0, 0], [0, 1], "x: has impostor pairs only"),
        ([1, 0, 0], [0, 1, 1], "x: without its fold 1 there are pairs of one kind only"),
        ([0, 1, 0, 0], [0, 1, 1, 2], "x: without its fold 2 there"),
    ],
)
def test_kinds_that_leave_no_threshold_are_refused(same, fold, says):
    with pytest.raises(UserError, match=says):
        check_kinds(Path("x"), np.array(same, bool), np.array(fold))


@pytest.mark.parametrize(("same", "fold"), [([1, 0], [0, 0]), ([1, 0, 1, 0], [0, 0, 1, 1])])
def test_kinds_that_do_are_taken(same, fold):
    check_kinds(Path("x"), np.array(same, bool), np.array(fold))


def test_template_crops_are_112_by_112():
    crop = np.zeros((112, 112, 3), np.uint8)
    assert template_crop(crop, "x") is crop
    with pytest.raises(UserError, match=r"x: is 96x112 pixels, not a 112x112 crop on the template"):
        template_crop(np.zeros((112, 96, 3), np.uint8), "x")


@pytest.mark.parametrize("text", [b"a\nb", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb\n\n \n"])
def test_lines_come_without_ends_and_marks(tmp_path, text):
    (tmp_path / "x").write_bytes(text)
    assert read_lines(tmp_path / "x") == ["a", "b"]
