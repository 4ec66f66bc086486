"""Warping a face picture so that its five points lie on the common template."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import UserError

Points = NDArray[np.float64]

TEMPLATE_112: Final[Points] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""(5, 2) x, y in pixels of a 112x112 crop: eye, eye, nose tip, mouth corner, mouth corner.

Of the eyes and corners the one on the left of the picture is first. SphereFace's and ArcFace's template.
"""
TEMPLATE_112.flags.writeable = False


def template(height: int = 112, width: int = 112) -> Points:
    """The five template points, (5, 2) float64 x, y, of a crop of this many pixels.

    The face's size follows the height alone and the crop is centred, so 112x96 is 112x112 with x - 8. Pixel
    centres are kept: for width <= height this is what `InputFormat.fit` makes of a 112x112 crop.
    """
    scale = height / 112
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.asarray((TEMPLATE_112 - 55.5) * scale + centre)


def similarity(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift, never a mirror image, that best takes `source` to `target`.

    Args:
        source: (K, 2) x, y, K >= 2.
        target: (K, 2) x, y.

    Returns:
        (2, 3) float64 matrix M with the least sum of squares |M [x, y, 1] - target|^2. Umeyama (PAMI 1991)
        has the general case; in the plane a similarity is z -> a z + b over complex numbers, which linear
        least squares solves in closed form.

    Raises:
        UserError: points not finite, or all in one place, or so placed that the best scale is zero.
    """
    src, dst = _points(source, "source"), _points(target, "target")
    if src.shape != dst.shape:
        raise UserError(f"align: {len(src)} source points for {len(dst)} target points; give as many of each")
    z, w = src @ [1, 1j], dst @ [1, 1j]
    dz, dw = z - z.mean(), w - w.mean()
    spread, cross = np.vdot(dz, dz).real, np.vdot(dz, dw)
    tiny = 1e-12
    if spread <= tiny * (1 + np.vdot(z, z).real) or abs(cross) <= tiny * (
        1 + np.sqrt(spread * np.vdot(w, w).real)
    ):
        raise UserError("align: the points lie in one place, so no crop fits them; check the landmarks")
    a = cross / spread
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], height: int = 112, width: int = 112
) -> NDArray[np.uint8]:
    """Crop of (height, width, 3) uint8 from an RGB `image` (H, W, 3): bilinear, black beyond the border.

    `matrix` is the (2, 3) map from the picture's pixels to the crop's, as `similarity` returns it.
    """
    crop = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(crop, dtype=np.uint8)


def _points(values: ArrayLike, name: str) -> Points:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise UserError(f"align: {name} points have shape {points.shape}; expected (K, 2) x, y with K >= 2")
    if not np.isfinite(points).all():
        raise UserError(f"align: {name} points hold a value that is not finite; check the landmarks")
    return points
