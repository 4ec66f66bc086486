import cv2
import numpy as np
import pytest

from evenface.align.crop import crop
from evenface.errors import UserError
from evenface.faces import TEMPLATE_112, similarity, template, warp


def scene(side: int) -> np.ndarray:
    """Fine stripes, which alias, over large shapes, which stay."""
    y, x = np.mgrid[:side, :side]
    large = 127 + 60 * np.sin(x / side * 40) * np.cos(y / side * 30)
    fine = 60 * np.sign(np.sin(x * 2.1 + y * 1.3))
    return np.repeat(np.clip(large + fine, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def mean_over_areas(
    image: np.ndarray, to_picture: np.ndarray, height: int, width: int, fine: int
) -> np.ndarray:
    """Every crop pixel as the mean of fine x fine samples of the area that it covers, slowly."""
    y, x = np.mgrid[: height * fine, : width * fine]
    places = np.stack([(x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5], axis=-1)
    u, v = np.moveaxis(places @ to_picture[:, :2].T + to_picture[:, 2], -1, 0).astype(np.float32)
    seen = cv2.remap(image.astype(np.float32), u, v, cv2.INTER_LINEAR)
    return seen.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))


@pytest.mark.parametrize(
    "size, fine, most", [(150, 16, 4.5), (300, 16, 2.0), (1000, 24, 1.0), (3000, 40, 1.0)]
)
def test_a_large_face_does_not_alias(size: int, fine: int, most: float):
    image = scene(round(size * 1.2))
    angle, scale = 0.2, size / 112
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_picture = np.hstack([turn, [[size * 0.25], [size * 0.03]]])
    points = TEMPLATE_112 @ turn.T + to_picture[:, 2]
    true = mean_over_areas(image, to_picture, 112, 112, fine)

    def away(picture: np.ndarray) -> float:
        return float(np.sqrt(((picture - true) ** 2).mean()))

    assert away(crop(image, points).astype(float)) < most
    assert away(warp(image, similarity(points, TEMPLATE_112)).astype(float)) > 10  # bilinear alone


def test_a_small_face_is_warped_as_everywhere():
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    points = TEMPLATE_112 * 0.7 + [3.2, 4.1]
    for height, width in ((112, 112), (112, 96), (224, 224), (160, 140)):
        expected = warp(image, similarity(points, template(height, width)), height, width).astype(int)
        found = crop(image, points, height, width)
        assert found.shape == (height, width, 3)
        assert np.abs(found - expected).max() <= 8  # OpenCV's warp knows 1/32 of a pixel


def test_beyond_the_border_it_is_black_and_nowhere_else():
    image = np.full((60, 60, 3), 200, np.uint8)
    found = crop(image, TEMPLATE_112 * 0.5 + 8)  # pixels 0 to 103 show the picture's 8 to 59
    assert (found[:103, :103] == 200).all()
    assert not found[106:].any()
    assert not found[:, 106:].any()


def test_a_picture_wider_than_opencv_warps():
    image = np.zeros((130, 40_000, 3), np.uint8)
    points = TEMPLATE_112 + np.array([39_800, 5])
    for (x, y), value in zip(points, (50, 100, 150, 200, 250), strict=True):
        cv2.circle(image, (round(x), round(y)), 4, (value,) * 3, -1)
    found = crop(image, points)
    for (x, y), value in zip(TEMPLATE_112, (50, 100, 150, 200, 250), strict=True):
        assert found[round(y), round(x)].tolist() == [value] * 3


def test_a_face_larger_than_is_warped_at_once():
    image = cv2.resize(scene(1000), (9000, 9000), interpolation=cv2.INTER_LINEAR)
    points = TEMPLATE_112 * 75 + [200, 300]
    true = crop(cv2.resize(image, (1000, 1000), interpolation=cv2.INTER_AREA), (points + 0.5) / 9 - 0.5)
    assert np.abs(crop(image, points).astype(int) - true.astype(int)).mean() < 1


@pytest.mark.parametrize(
    "points, words",
    [
        (np.ones((5, 2)), "in one place"),
        (TEMPLATE_112 * 1e6, "further apart"),
        (TEMPLATE_112 - 500, "outside"),
        (TEMPLATE_112 * 1e150, "further apart|outside"),
    ],
)
def test_points_that_are_not_this_pictures(points: np.ndarray, words: str):
    with pytest.raises(UserError, match=words):
        crop(np.zeros((112, 112, 3), np.uint8), points)
