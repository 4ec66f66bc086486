"""The similarity transform, the template and the warp, against their defining properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import least_squares

from evenface.errors import UserError
from evenface.faces import TEMPLATE_112, InputFormat, similarity, template, warp


def apply(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def test_template_is_the_published_one_and_96_is_8_columns_less():
    assert_allclose(template(112, 112), TEMPLATE_112, atol=1e-12)
    assert_allclose(template(112, 96), TEMPLATE_112 - [8, 0], atol=1e-12)
    published_112x96 = [
        [30.2946, 51.6963],
        [65.5318, 51.5014],
        [48.0252, 71.7366],
        [33.5493, 92.3655],
        [62.7299, 92.2041],
    ]
    assert_allclose(template(112, 96), published_112x96, atol=1e-9)


@pytest.mark.parametrize("height,width", [(64, 64), (56, 48), (224, 224)])
def test_template_of_other_sizes_agrees_with_resizing_a_112_crop(height, width):
    """A bright dot at each 112 template point ends up, by its centre of mass, at the other size's point."""
    form = InputFormat(height=height, width=width)
    for x, y in np.round(TEMPLATE_112).astype(int):
        picture = np.zeros((112, 112, 3), np.uint8)
        picture[y - 4 : y + 5, x - 4 : x + 5] = 200
        mass = form.fit(picture)[:, :, 0].astype(float)
        rows, columns = np.indices(mass.shape)
        centre = [(columns * mass).sum() / mass.sum(), (rows * mass).sum() / mass.sum()]
        shift = np.array([x, y]) - TEMPLATE_112[np.argmin(np.abs(TEMPLATE_112 - [x, y]).sum(axis=1))]
        expected = (
            template(height, width)[np.argmin(np.abs(TEMPLATE_112 - [x, y]).sum(axis=1))]
            + shift * height / 112
        )
        assert_allclose(centre, expected, atol=0.05)


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_similarity_is_recovered_exactly(angle, scale, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    assert_allclose(similarity(TEMPLATE_112, apply(matrix, TEMPLATE_112)), matrix, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_noisy_points_give_the_least_squares_optimum(seed):
    rng = np.random.default_rng(seed)
    source = rng.normal(50, 20, (5, 2))
    target = TEMPLATE_112 + rng.normal(0, 10, (5, 2))

    def residual(p):
        return (apply(np.array([[p[0], -p[1], p[2]], [p[1], p[0], p[3]]]), source) - target).ravel()

    best = least_squares(residual, [1.0, 0, 0, 0], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    assert_allclose(
        similarity(source, target), [[best[0], -best[1], best[2]], [best[1], best[0], best[3]]], atol=1e-5
    )


def test_a_mirrored_face_is_not_mirrored_back():
    matrix = similarity(TEMPLATE_112 * [-1, 1], TEMPLATE_112)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(
    "source,says",
    [
        (np.full((5, 2), 7.0), "one place"),
        (np.full((5, 2), np.nan), "not finite"),
        (np.zeros((5, 3)), "shape"),
        (np.zeros((1, 2)), "shape"),
        (np.eye(2), "as many"),
    ],
)
def test_points_that_fit_no_crop_are_refused(source, says):
    with pytest.raises(UserError, match=says):
        similarity(source, TEMPLATE_112)


def test_a_target_in_one_place_is_refused():
    with pytest.raises(UserError, match="one place"):
        similarity(TEMPLATE_112, np.full((5, 2), 3.0))


def test_warp_shifts_interpolates_and_leaves_black_beyond_the_border():
    image = np.zeros((10, 10, 3), np.uint8)
    image[4, 6] = (200, 100, 50)
    whole = warp(image, np.array([[1.0, 0, 2], [0, 1, 1]]), 12, 12)
    assert whole[5, 8].tolist() == [200, 100, 50]
    assert whole.sum() == image.sum()
    half = warp(image, np.array([[1.0, 0, 0.5], [0, 1, 0]]), 10, 10)
    assert half[4, 6].tolist() == half[4, 7].tolist() == [100, 50, 25]
    assert warp(np.full((4, 4, 3), 255, np.uint8), np.array([[1.0, 0, 0], [0, 1, 0]]), 8, 6)[:, 4:].max() == 0


def test_warp_puts_the_points_on_the_template():
    source = (TEMPLATE_112 * 1.7 + 30) @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + [60, 0]
    image = np.zeros((400, 400, 3), np.uint8)
    for x, y in np.round(source).astype(int):
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    crop = warp(image, similarity(source, TEMPLATE_112))
    for x, y in np.round(TEMPLATE_112).astype(int):
        assert crop[y, x].min() > 200
