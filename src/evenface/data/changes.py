"""The changes of augmentation, each a pure function of one uint8 picture (height, width, channels).

Shape and dtype stay, save that OpenCV drops a lone channel. The input is not written to.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.faces import TEMPLATE_112, similarity, template
from evenface.faces.format import Colour

Image = NDArray[np.uint8]

ERASED: Final = 127  # close to 0 for the network
LUMA: Final = (0.299, 0.587, 0.114)  # of red, green, blue
_YIQ = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_MASK_112 = np.array(  # bridge of the nose, cheek, jaw, below the chin, and back; convex
    [[61, 60], [90, 68], [88, 90], [72, 114], [40, 114], [24, 90], [22, 68], [51, 60]], dtype=np.float64
)
_UPPER = _MASK_112[:, 1] < 70


def mirror(image: Image) -> Image:
    """Left for right."""
    return _uint8(cv2.flip(image, 1))


def paint_mask(image: Image, drop: float, colour: NDArray[np.int64]) -> Image:
    """Paint a face mask of one `colour` (channels,), as `mask_edges` places it; its edges are smooth."""
    height, width = image.shape[:2]
    a, b, c = mask_edges(height, width, drop).astype(np.float32).T[..., None, None]
    within = a * np.arange(width, dtype=np.float32) + c + b * np.arange(height, dtype=np.float32)[:, None]
    share = (within.min(axis=0) + np.float32(0.5)).clip(0, 1)[:, :, None]
    return _clipped(image + share * (colour.astype(np.float32) - image))


def mask_edges(height: int, width: int, drop: float) -> NDArray[np.float64]:
    """The edges of a face mask over nose, mouth and chin, a convex polygon: (8, 3) of a, b, c.

    a x + b y + c is how many pixels x, y lies within the edge. The mask goes by the template points of a crop
    of this size; its upper edge is `drop` pixels of a 112x112 crop below the bridge of the nose.
    """
    outline = _MASK_112 + np.array([0, drop]) * _UPPER[:, None]
    matrix = similarity(TEMPLATE_112, template(height, width))
    outline = outline @ matrix[:, :2].T + matrix[:, 2]
    edges = np.roll(outline, -1, axis=0) - outline
    inwards = edges[:, ::-1] * [-1, 1] / np.linalg.norm(edges, axis=1, keepdims=True)
    return np.column_stack([inwards, -(inwards * outline).sum(axis=1)])


def warp(image: Image, degrees: float, scale: float, right: float, down: float) -> Image:
    """Rotate counter-clockwise and scale about the middle, then shift by pixels; the border is replicated."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += np.array([right, down])
    return _uint8(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def change_gamma(image: Image, exponent: float) -> Image:
    """Raise the pixels, as fractions of 255, to the power `exponent`: above 1 is darker."""
    return _uint8(cv2.LUT(image, _clipped(255 * (np.arange(256) / 255) ** exponent)))


def light_from(image: Image, right: float, down: float) -> Image:
    """Multiply by a plane that is 1 in the middle, 1 + right at the right edge and 1 + down at the bottom."""
    height, width = image.shape[:2]
    plane = 1 + right * np.linspace(-1, 1, width) + down * np.linspace(-1, 1, height)[:, None]
    return _clipped(image * plane.reshape(height, width, *[1] * (image.ndim - 2)))


def adjust(image: Image, brightness: float, contrast: float) -> Image:
    """Multiply the pixels by `brightness`, then their distances to the new mean by `contrast`; clipped."""
    mean = brightness * float(image.mean())
    table = (np.arange(256) * brightness - mean) * contrast + mean
    return _uint8(cv2.LUT(image, _clipped(table)))


def mix_channels(image: Image, matrix: NDArray[np.float64]) -> Image:
    """Multiply every pixel by a (3, 3) `matrix`, for example a `colour_matrix`; clipped."""
    return _uint8(cv2.transform(image, matrix))


def colour_matrix(saturation: float, degrees: float, colour: Colour) -> NDArray[np.float64]:
    """The (3, 3) matrix that scales a pixel's distance to its gray and turns its hue; its luma stays.

    The hue turns in the plane of I and Q (the YIQ space of NTSC), from red towards green to blue.
    """
    turn = np.deg2rad(degrees)
    cos, sin = saturation * np.cos(turn), saturation * np.sin(turn)
    matrix: NDArray[np.float64] = (
        np.linalg.inv(_YIQ) @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]) @ _YIQ
    )
    return matrix if colour == "rgb" else matrix[::-1, ::-1]


def to_gray(image: Image, red: int) -> Image:
    """Luma in all three channels, of which `red` (0 or 2) is the red one."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if red == 0 else cv2.COLOR_BGR2GRAY)
    return _uint8(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB))


def lower_resolution(image: Image, factor: float) -> Image:
    """Shrink each side to `factor` of its pixels, by areas, and enlarge it again."""
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return _uint8(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def blur(image: Image, deviation: float) -> Image:
    """Gaussian blur with a standard deviation in pixels; the border is mirrored."""
    return _uint8(cv2.GaussianBlur(image, (0, 0), deviation))


def add_noise(image: Image, noise: NDArray[np.float32]) -> Image:
    """Add an array of the picture's shape; clipped."""
    return _clipped(image + noise)


def recompress(image: Image, quality: int, red: int) -> Image:
    """Write as JPEG of a quality from 1 to 100, its chroma halved, and read it; `red` as in `to_gray`."""
    if red == 0:  # OpenCV writes BGR
        image = image[:, :, ::-1]
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    image = _uint8(cv2.imdecode(code, cv2.IMREAD_UNCHANGED))
    return image[:, :, ::-1] if red == 0 and image.ndim == 3 else image


def paint_rectangle(image: Image, top: int, left: int, tall: int, wide: int) -> Image:
    """Paint a rectangle of pixels in mid-gray."""
    image = image.copy()
    image[top : top + tall, left : left + wide] = ERASED
    return image


def _clipped(values: NDArray[np.floating]) -> Image:
    return _uint8(np.clip(np.rint(values), 0, 255))


def _uint8(image: object) -> Image:
    return np.asarray(image, dtype=np.uint8)
