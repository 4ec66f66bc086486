"""Random changes to a fitted face picture, one sample at a time, on the CPU."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError, require_range
from evenface.faces.format import Colour

Image = NDArray[np.uint8]

LEAST_RESOLUTION = 0.4
BLUR = (0.005, 0.02)  # of the width
ERASED = 127  # close to 0 for the network


@dataclass(frozen=True)
class AugmentConfig:
    """How training pictures are changed at random. 0 is off; only the mirror image is on to start with."""

    flip: float = 0.5
    """Probability of the mirror image, 0 to 1."""
    rotate: float = 0.0
    """Largest rotation about the middle, degrees, 0 to 180."""
    scale: float = 0.0
    """Largest relative change of size, 0 to 0.9: at 0.1 the face is shown 0.9 to 1.1 times as large."""
    shift: float = 0.0
    """Largest shift along each axis, as a fraction of the picture's width, 0 to 1."""
    brightness: float = 0.0
    """Largest relative change of every pixel, 0 to 1."""
    contrast: float = 0.0
    """Largest relative change of a pixel's distance to the picture's mean, 0 to 1."""
    gamma: float = 0.0
    """Largest change of the gray scale's exponent, 0 to 1: at 0.2 it lies between 1/1.2 and 1.2."""
    light: float = 0.0
    """Largest slope of the light, 0 to 1: at 0.3 an edge may be 30 % brighter, its opposite 30 % darker."""
    gray: float = 0.0
    """Probability that a colour picture loses its colour, 0 to 1. A gray input has none to lose."""
    low_resolution: float = 0.0
    """Probability of shrinking to 40 to 100 % of the pixels' number along each axis and back, 0 to 1."""
    blur: float = 0.0
    """Probability of a Gaussian blur with a deviation of 0.5 to 2 % of the picture's width, 0 to 1."""
    noise: float = 0.0
    """Largest standard deviation of Gaussian noise, as a fraction of the pixels' range, 0 to 1."""
    erase: float = 0.0
    """Probability that a rectangle is painted over with mid-gray, 0 to 1."""
    erase_area: tuple[float, float] = (0.02, 0.2)
    """Least and largest part of the picture that the rectangle covers, each 0 to 1."""

    def __post_init__(self) -> None:
        upper = {"rotate": 180.0, "scale": 0.9}
        for name, value in vars(self).items():
            if name != "erase_area":
                require_range(f"data.augment.{name}", value, 0, upper.get(name, 1.0))
        if not 0 <= self.erase_area[0] <= self.erase_area[1] <= 1:
            raise UserError(
                f"data.augment.erase_area: {self.erase_area} is not two rising numbers from 0 to 1"
            )


def augment(image: Image, config: AugmentConfig, rng: np.random.Generator, colour: Colour = "rgb") -> Image:
    """Change one uint8 picture (height, width, channels) at random; shape and dtype stay.

    `colour` is the order of the channels, which the weights of gray depend on. The input is not written to,
    and is itself returned where the draw changes nothing.
    """
    shape = image.shape
    if rng.random() < config.flip:
        image = _uint8(cv2.flip(image, 1))
    if config.rotate or config.scale or config.shift:
        angle, size, x, y = rng.uniform(-1, 1, 4)
        move = config.shift * shape[1]
        image = warp(image, config.rotate * angle, 1 + config.scale * size, move * x, move * y)
    if config.gamma:
        image = change_gamma(image, (1 + config.gamma) ** rng.uniform(-1, 1))
    if config.light:
        image = light_from(image, *(config.light * rng.uniform(-1, 1, 2)))
    if config.brightness or config.contrast:
        bright, contrast = rng.uniform(-1, 1, 2)
        image = adjust(image, 1 + config.brightness * bright, 1 + config.contrast * contrast)
    if colour != "gray" and rng.random() < config.gray:
        to_gray = cv2.COLOR_RGB2GRAY if colour == "rgb" else cv2.COLOR_BGR2GRAY
        image = _uint8(cv2.cvtColor(cv2.cvtColor(image, to_gray), cv2.COLOR_GRAY2RGB))
    if rng.random() < config.low_resolution:
        image = lower_resolution(image, rng.uniform(LEAST_RESOLUTION, 1))
    if rng.random() < config.blur:
        image = _uint8(cv2.GaussianBlur(image, (0, 0), rng.uniform(*BLUR) * shape[1]))
    if config.noise:
        spread = 255 * config.noise * rng.random()
        image = _clipped(image.reshape(shape) + spread * rng.standard_normal(shape, dtype=np.float32))
    if rng.random() < config.erase:
        image = _erase(image, config.erase_area, rng)
    return image.reshape(shape)  # OpenCV drops a lone channel


def warp(image: Image, degrees: float, scale: float, right: float, down: float) -> Image:
    """Rotate counter-clockwise and scale about the middle, then shift by pixels; the border is replicated."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += np.array([right, down])
    return _uint8(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def adjust(image: Image, brightness: float, contrast: float) -> Image:
    """Multiply the pixels by `brightness`, then their distances to the new mean by `contrast`; clipped."""
    mean = brightness * float(image.mean())
    table = (np.arange(256) * brightness - mean) * contrast + mean
    return _uint8(cv2.LUT(image, _clipped(table)))


def change_gamma(image: Image, exponent: float) -> Image:
    """Raise the pixels, as fractions of 255, to the power `exponent`: above 1 is darker."""
    return _uint8(cv2.LUT(image, _clipped(255 * (np.arange(256) / 255) ** exponent)))


def light_from(image: Image, right: float, down: float) -> Image:
    """Multiply by a plane that is 1 in the middle, 1 + right at the right edge and 1 + down at the bottom."""
    height, width = image.shape[:2]
    plane = 1 + right * np.linspace(-1, 1, width) + down * np.linspace(-1, 1, height)[:, None]
    return _clipped(image * plane.reshape(height, width, *[1] * (image.ndim - 2)))


def lower_resolution(image: Image, factor: float) -> Image:
    """Shrink each side to `factor` of its pixels, by areas, and enlarge it again."""
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return _uint8(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _erase(image: Image, area: tuple[float, float], rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    pixels = rng.uniform(*area) * height * width
    ratio = 2 ** rng.uniform(-1, 1)  # height over width, from 1:2 to 2:1
    tall = min(height, round((pixels * ratio) ** 0.5))
    wide = min(width, round((pixels / ratio) ** 0.5))
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    image = image.copy()
    image[top : top + tall, left : left + wide] = ERASED
    return image


def _clipped(values: NDArray[np.floating]) -> Image:
    return _uint8(np.clip(np.rint(values), 0, 255))


def _uint8(image: object) -> Image:
    return np.asarray(image, dtype=np.uint8)
