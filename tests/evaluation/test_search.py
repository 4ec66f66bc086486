import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation import search
from evenface.evaluation.search import TopScores, exact_scores, pair_scores, rounding, top_candidates
from evenface.evaluation.templates import unit_rows


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks, tiles and products so small that every test crosses their borders."""
    monkeypatch.setattr(search, "_BLOCK", 16)
    monkeypatch.setattr(search, "_TILE", 8)
    monkeypatch.setattr(search, "_PRODUCT", 64)


def raw_rows(count: int, dimension: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32) * 3


def cosines(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    p, g = probes.astype(np.float64), gallery.astype(np.float64)
    return (p / np.linalg.norm(p, axis=1, keepdims=True)) @ (g / np.linalg.norm(g, axis=1, keepdims=True)).T


def test_candidates_are_those_of_all_scores():
    probes, gallery = unit_rows(raw_rows(21)), raw_rows(333, seed=1)
    found = top_candidates(probes, gallery, 7)
    expected = np.argsort(-cosines(probes, gallery), axis=1)[:, :7]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(cosines(probes, gallery), expected, 1), atol=rounding(12)
    )
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_candidates_after_each_part_are_those_of_what_passed_by():
    probes, gallery = unit_rows(raw_rows(9)), raw_rows(200, seed=1)
    top = TopScores(probes, 5, pairs=11)
    order = np.random.default_rng(2).permutation(200)
    for start, stop in ((0, 3), (3, 4), (4, 60), (60, 60), (60, 200)):
        top.add(gallery, np.sort(order[start:stop]))
        passed = np.sort(order[:stop])
        scores = cosines(probes, gallery[passed])
        best = np.argsort(-scores, axis=1)[:, :5]
        found = top.candidates()
        np.testing.assert_array_equal(found.index[:, : best.shape[1]], passed[best])
        assert (found.index[:, best.shape[1] :] == -1).all()
        assert (found.scores[:, best.shape[1] :] == -np.inf).all()
        highest = top.highest()
        expected = np.argsort(-scores, axis=None)[:11]
        assert set(zip(highest.probe, highest.index, strict=True)) == {
            (p, passed[g]) for p, g in zip(*np.unravel_index(expected, scores.shape), strict=True)
        }
        assert top.compared == scores.size


@pytest.mark.parametrize("rising", [True, False])
def test_sorted_galleries_are_searched_as_well(rising):
    """The worst order: every row beats all before it; and the best."""
    probe = np.eye(1, 12, dtype=np.float32)
    gallery = raw_rows(500)
    gallery = gallery[np.argsort(cosines(probe, gallery)[0] * (1 if rising else -1))]
    found = top_candidates(probe, gallery, 3)
    assert found.index[0].tolist() == ([499, 498, 497] if rising else [0, 1, 2])


def test_of_equal_rows_the_first_come_first():
    probes = unit_rows(raw_rows(3))
    gallery = np.repeat(raw_rows(1, seed=5), 100, axis=0)
    top = TopScores(probes, 4, pairs=10)
    top.add(gallery, np.arange(100))
    assert top.candidates().index.tolist() == [[0, 1, 2, 3]] * 3
    assert len(top.highest()) == 10


def test_negative_scores_and_zeros_are_ordered():
    gallery = np.array([[-1, 1], [0, 1], [-1, 0], [1, 5], [-1, 3]], np.float32)
    found = top_candidates(np.array([[1, 0]], np.float32), gallery, 5)
    assert found.index[0].tolist() == [3, 1, 4, 0, 2]
    assert found.scores[0, -1] == -1


def test_a_mapped_gallery_is_searched_in_place(tmp_path):
    gallery = raw_rows(100)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    probes = unit_rows(raw_rows(3, seed=1))
    np.testing.assert_array_equal(
        top_candidates(probes, mapped, 9).index, top_candidates(probes, gallery, 9).index
    )


@pytest.mark.parametrize("scale", [1e25, 1e-25, 1e-40])
def test_lengths_of_any_size_are_normalised(scale):
    """The squares of the largest and the smallest leave float32's range."""
    probes, gallery = unit_rows(raw_rows(3, seed=1)), raw_rows(90)
    expected = top_candidates(probes, gallery, 9)
    gallery[::2] = gallery[::2].astype(np.float64) * scale
    found = top_candidates(probes, gallery, 9)
    # At 1e-40 a float32 has few digits left.
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4 if scale < 1e-38 else rounding(12))


def test_candidates_below_the_least_are_spared():
    probes, gallery = unit_rows(raw_rows(9)), raw_rows(200, seed=1)
    scores = cosines(probes, gallery)
    least = np.sort(scores, axis=1)[:, -np.arange(1, 10)].diagonal().astype(np.float32) - 1e-5
    top = TopScores(probes, 6, 4, least)
    top.add(gallery, np.arange(200))
    merged = top.candidates()
    for probe in range(9):
        expected = np.argsort(-scores[probe])[: min(6, probe + 1)]
        assert merged.index[probe, : len(expected)].tolist() == expected.tolist()
        assert (merged.index[probe, len(expected) :] == -1).all()
    highest = top.highest()
    np.testing.assert_allclose(np.sort(highest.scores), np.sort(scores, axis=None)[-4:], atol=rounding(12))


def test_an_unusable_row_is_named():
    gallery = raw_rows(50)
    gallery[40] = 0
    top = TopScores(unit_rows(raw_rows(2)), 3)
    top.add(gallery, np.arange(40))
    with pytest.raises(UserError, match="picture 40 is all zero or not finite"):
        top.add(gallery, np.arange(30, 50), [f"picture {i}" for i in range(50)])


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    probes=st.integers(1, 20),
    rows=st.integers(1, 90),
    k=st.integers(1, 20),
    pairs=st.integers(0, 40),
)
def test_scores_with_many_ties_match_a_full_sort(seed, probes, rows, k, pairs):
    """Small whole numbers: many equal rows, and many scores that are equal but for rounding."""
    rng = np.random.default_rng(seed)
    low, high = [-1, -1, 2], [2, 2, 5]
    p = unit_rows(rng.integers(low, high, (probes, 3)))
    g = rng.integers(low, high, (rows, 3)).astype(np.float32)
    top = TopScores(p, k, pairs)
    cut = rng.integers(0, rows + 1)
    top.add(g, np.arange(cut))
    top.add(g, np.arange(cut, rows))
    scores = cosines(p, g)
    expected = -np.sort(-scores, axis=1)[:, :k]
    found = top.candidates()
    np.testing.assert_allclose(found.scores[:, : expected.shape[1]], expected, atol=rounding(3))
    for row, index in enumerate(found.index[:, : expected.shape[1]]):
        assert len(set(index)) == len(index)
        np.testing.assert_allclose(scores[row, index], expected[row], atol=2 * rounding(3))
    best = np.sort(scores, axis=None)[::-1][:pairs]
    np.testing.assert_allclose(np.sort(top.highest().scores)[::-1], best, atol=rounding(3))


def test_exact_scores_do_not_depend_on_where_a_row_stands():
    probes, gallery = unit_rows(raw_rows(3, 513)), np.repeat(raw_rows(1, 513, seed=1), 40, axis=0)
    scores = exact_scores(probes, gallery, np.zeros(40, np.int64), np.arange(40))
    assert len(set(scores.tolist())) == 1
    assert scores[0] == pytest.approx(float(cosines(probes[:1], gallery[:1])[0, 0]), abs=1e-7)
    assert len(exact_scores(probes, gallery, np.empty(0, np.int64), np.empty(0, np.int64))) == 0


@pytest.mark.parametrize("dimension", [2, 128, 512])
def test_products_err_by_no_more_than_the_bound(dimension):
    probes, gallery = unit_rows(raw_rows(30, dimension)), raw_rows(60, dimension, seed=1)
    found = top_candidates(probes, gallery, 60)
    probe = np.repeat(np.arange(30), 60)
    exact = exact_scores(probes, gallery, probe, found.index.ravel())
    assert np.abs(found.scores.ravel() - exact).max() < rounding(dimension)


@settings(max_examples=50)
@given(rows=st.integers(1, 40), pairs=st.integers(1, 300), seed=st.integers(0, 10**6))
def test_pair_scores_are_those_of_each_pair(rows, pairs, seed):
    rng = np.random.default_rng(seed)
    unit = unit_rows(rng.normal(size=(rows, 5)))
    first, second = rng.integers(0, rows, (2, pairs))
    found = pair_scores(unit, first, second)
    assert found.dtype == np.float32
    expected = [float(unit[a].astype(np.float64) @ unit[b]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, expected, atol=rounding(5))
