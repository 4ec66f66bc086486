"""How many images each person of a cut has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenface.data.cuts import at_most, draw, draw_people, geometric, most, power, sizes
from evenface.errors import UserError


@pytest.mark.parametrize("law", [geometric, power])
@given(people=st.integers(2, 200), imbalance=st.floats(1, 100))
def test_the_last_has_1_of_imbalance_of_the_first(law, people, imbalance):
    shares = law(people, imbalance)
    assert shares[0] / shares[-1] == pytest.approx(imbalance)
    assert len(shares) == people and (np.diff(shares) <= 0).all()


def test_laws_at_known_places():
    assert geometric(3, 100.0).tolist() == pytest.approx([1, 0.1, 0.01])
    assert power(4, 16.0).tolist() == pytest.approx([1, 1 / 4, 1 / 9, 1 / 16])


@given(people=st.integers(1, 50), each=st.integers(1, 30), imbalance=st.floats(1, 10))
def test_sizes_add_up_and_are_within_one_of_their_share(people, each, imbalance):
    images = people * each
    shares = power(people, imbalance)
    exact = shares / shares.sum() * images
    try:
        counts = sizes(shares, images, "lab")
    except UserError:
        assert exact.min() < 1
    else:
        assert counts.min() >= 1 and counts.sum() == images and np.abs(counts - exact).max() < 1


def test_too_few_images_are_refused():
    with pytest.raises(UserError, match=r"lab\.images: 10 .* the last gets none; use more"):
        sizes(geometric(8, 1000.0), 10, "lab")


LABELS = np.repeat([0, 1, 2, 3], [5, 2, 9, 4])


def test_the_person_with_the_most_images_comes_first():
    images = draw(LABELS, np.array([7, 4, 1]), np.random.default_rng(0), "data")
    assert np.bincount(LABELS[images], minlength=4).tolist() == [4, 0, 7, 1]
    assert len(set(images)) == 12 and (np.diff(images) > 0).all()


def test_a_draw_follows_its_generator():
    one, same, other = (draw(LABELS, np.array([5, 3]), np.random.default_rng(s), "data") for s in (0, 0, 1))
    assert one.tolist() == same.tolist() != other.tolist()


def test_a_cut_that_cannot_be_had_names_the_place():
    with pytest.raises(UserError, match=r"place 2 of the cut needs 6 images and has 5; use fewer"):
        draw(LABELS, np.array([6, 6]), np.random.default_rng(0), "data")
    with pytest.raises(UserError, match=r"data\.people: 5 are more than there are, 4"):
        draw(LABELS, np.array([1] * 5), np.random.default_rng(0), "data")


def test_at_most_keeps_everything_of_small_classes():
    images = at_most(LABELS, np.full(4, 4), np.random.default_rng(3))
    assert np.bincount(LABELS[images]).tolist() == [4, 2, 4, 4]


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=20),
    imbalance=st.floats(1, 30),
    seed=st.integers(0, 9),
)
def test_the_most_images_are_there_and_one_more_are_not(counts, imbalance, seed):
    labels, shares = np.repeat(np.arange(len(counts)), counts), geometric(len(counts), imbalance)
    images = most(shares, np.array(counts))
    exact = shares / shares.sum()
    have = np.sort(counts)[::-1]
    assert (exact * images <= have + 1e-9).all() and (exact * (images + 1) > have - 1e-9).any()
    if (np.floor(exact * images) >= 1).all():
        drawn = draw(labels, sizes(shares, images, "data"), np.random.default_rng(seed), "data")
        assert len(drawn) == images


def test_people_are_drawn_as_often_as_they_have_images():
    """Two of three with 4, 2 and 1 images; by hand: of the pairs without the last 4/7 2/3 + 2/7 4/5."""
    labels = np.repeat(np.arange(4), [4, 2, 1, 0])
    rng = np.random.default_rng(0)
    drawn = np.array([draw_people(labels, 2, 1, rng, "lab") for _ in range(4000)])
    assert (drawn.sum(axis=1) == 2).all()
    assert (~drawn[:, 2]).mean() == pytest.approx(4 / 7 * 2 / 3 + 2 / 7 * 4 / 5, abs=0.03)


def test_those_with_too_few_are_never_drawn():
    labels = np.repeat(np.arange(4), [9, 2, 3, 2])
    assert draw_people(labels, 2, 2.5, np.random.default_rng(0), "lab").tolist() == [True, False, True, False]
    with pytest.raises(UserError, match=r"lab\.people: 3 are more than those with 2\.5 images, 2"):
        draw_people(labels, 3, 2.5, np.random.default_rng(0), "lab")
    with pytest.raises(UserError, match="with 20 images, 0"):
        draw_people(labels, 3, 20, np.random.default_rng(0), "lab")
