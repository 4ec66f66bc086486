"""The crop on the template, without aliasing."""

from math import ceil, hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError
from evenface.faces import similarity, template, warp
from evenface.faces.align import Points

_LARGEST = 16
"""Times the picture's area that a crop may show: points that are further apart are another picture's."""
_WARPED = 8192
"""Pixels a side that are warped at once."""


def crop(image: NDArray[np.uint8], points: Points, height: int = 112, width: int = 112) -> NDArray[np.uint8]:
    """The (height, width, 3) crop in which the five points lie on the template as best they can.

    A face that is larger than in the crop is first warped to a whole multiple of the crop's size, in which
    nothing shrinks, and then averaged over areas; bilinear interpolation alone would look at four of its many
    pixels. Black beyond the border.

    Args:
        image: (h, w, 3) uint8 RGB.
        points: (5, 2) x, y, pixels.

    Raises:
        UserError: the points lie in one place, outside of the picture, or too far apart for its size.
    """
    matrix = similarity(points, template(height, width))
    scale = hypot(*matrix[0, :2])
    sides = np.array(image.shape[1::-1])
    if height * width / scale**2 > _LARGEST * sides.prod():
        raise UserError("the points lie further apart than the picture is large; are they another picture's?")
    if not ((points >= -0.5) & (points < sides - 0.5)).all(axis=1).any():
        raise UserError("all points lie outside of the picture; are they another picture's?")
    times = max(1, ceil(1 / scale))
    if times > 2 and times * max(height, width) > _WARPED:
        half = cv2.resize(image, np.maximum(sides // 2, 1).tolist(), interpolation=cv2.INTER_AREA)
        return crop(
            np.asarray(half, np.uint8), (points + 0.5) * half.shape[1::-1] / sides - 0.5, height, width
        )
    fine = matrix * times
    fine[:, 2] += (times - 1) / 2  # pixel centres lie at whole numbers
    part, fine = _footprint(image, fine, height * times, width * times)
    large = warp(part, fine, height * times, width * times)
    small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def _footprint(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of the picture that a crop shows, and the matrix from its pixels.

    OpenCV warps no picture with a side of 32,768 pixels or more.
    """
    corners = np.array([[-1, -1], [width, -1], [-1, height], [width, height]])
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    sides = np.array(image.shape[1::-1])
    left, top = np.clip(np.floor(seen.min(axis=0)) - 1, 0, sides - 1).astype(int)
    right, bottom = np.clip(np.ceil(seen.max(axis=0)) + 2, (left + 1, top + 1), sides).astype(int)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    return image[top:bottom, left:right], moved
