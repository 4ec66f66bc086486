"""Whether two pictures are one photograph, by laying one over the other."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 64  # pixels at which they are compared
_MIDDLE = slice(8, 56)
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
_BLACK = 4  # a warp's border and what lies next to it is no part of a photograph
_NEXT = np.ones((5, 5), dtype=np.uint8)
_DETAIL = 3.0  # pixels: what is coarser, such as where a face has its shadows, any two frontal pictures share
_LEAST = 0.3  # of the middle is there to be compared

_Gray = NDArray[np.float32]


def overlaid(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """The correlation, -1 to 1, of the detail in the middles of two RGB pictures, the second or its mirror
    image being moved, turned, stretched and sheared so that they agree best (ECC: Evangelidis and Psarakis
    2008).

    Brightness, contrast, slow shading and black borders do not count. -1 where nothing can be compared.
    """
    one, two = _small(first), _small(second)
    return max(_over(one, two), _over(one, np.ascontiguousarray(two[:, ::-1])))


def _small(picture: NDArray[np.uint8]) -> _Gray:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _over(one: _Gray, two: _Gray) -> float:
    there, other = (cv2.erode((gray > _BLACK).astype(np.uint8), _NEXT) for gray in (one, two))
    middle, size = one[_MIDDLE, _MIDDLE], (_MIDDLE.stop - _MIDDLE.start,) * 2
    move = np.eye(2, 3, dtype=np.float32)
    move[:, 2] = _MIDDLE.start
    try:
        for blur in (9, 3):  # the wide one reaches far, the narrow one is exact
            found = cv2.findTransformECC(middle, two, move, cv2.MOTION_AFFINE, _STEPS, 255 * other, blur)[1]
            move = np.asarray(found, dtype=np.float32)
    except cv2.error:  # they have nothing in common
        return -1.0
    if not 0.5 < float(np.linalg.det(move[:, :2])) < 2:  # a face made of a few pixels agrees with any
        return -1.0
    back = cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(two, move, size, flags=cv2.INTER_LINEAR | back)
    warped = cv2.warpAffine(other, move, size, flags=cv2.INTER_NEAREST | back)
    both = np.minimum(warped, there[_MIDDLE, _MIDDLE]).astype(np.uint8)
    if both.mean() < _LEAST:
        return -1.0
    left = _detail(middle, both)[both > 0]
    right = _detail(np.asarray(moved, dtype=np.float32), both)[both > 0]
    if min(left.std(), right.std()) < 1e-3:
        return -1.0
    return float(np.corrcoef(left, right)[0, 1])


def _detail(gray: _Gray, there: NDArray[np.uint8]) -> _Gray:
    """A picture less its blurred self, both of the pixels that are there."""
    weight = there.astype(np.float32)
    blurred = cv2.GaussianBlur(gray * weight, (0, 0), _DETAIL)
    return np.asarray(gray - blurred / (cv2.GaussianBlur(weight, (0, 0), _DETAIL) + 1e-3), dtype=np.float32)
