"""Random changes to fitted face pictures: which there are, and how a sample's own generator draws them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenface.data import batch_changes, changes
from evenface.data.changes import Image
from evenface.errors import UserError, require_range
from evenface.faces.format import Colour

BLUR = (0.005, 0.02)  # of the width
JPEG_QUALITY = (30, 95)
MASK_DROP = (0, 8)  # pixels of 112: from the bridge of the nose to just above its tip


@dataclass(frozen=True)
class AugmentConfig:
    """How training pictures are changed at random. 0 is off; only the mirror image is on to start with."""

    flip: float = 0.5
    """Probability of the mirror image, 0 to 1."""
    mask: float = 0.0
    """Probability that a face mask of a random colour is painted over nose, mouth and chin, 0 to 1."""
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
    saturation: float = 0.0
    """Largest relative change of a pixel's distance to its gray, 0 to 1. A gray input has none."""
    hue: float = 0.0
    """Largest turn of the hue, degrees, 0 to 180. A gray input has none."""
    gray: float = 0.0
    """Probability that a colour picture loses its colour, 0 to 1. A gray input has none to lose."""
    low_resolution: float = 0.0
    """Probability of shrinking to fewer pixels along each axis and back, 0 to 1."""
    low_resolution_least: float = 0.4
    """Least part of the pixels along each axis that is left then, 0.05 to 1; 16 of 112 pixels are 0.14."""
    blur: float = 0.0
    """Probability of a Gaussian blur with a deviation of 0.5 to 2 % of the picture's width, 0 to 1."""
    noise: float = 0.0
    """Largest standard deviation of Gaussian noise, as a fraction of the pixels' range, 0 to 1."""
    jpeg: float = 0.0
    """Probability of JPEG compression at a quality of 30 to 95, 0 to 1."""
    erase: float = 0.0
    """Probability that a rectangle is painted over with mid-gray, 0 to 1."""
    erase_area: tuple[float, float] = (0.02, 0.2)
    """Least and largest part of the picture that the rectangle covers, each 0 to 1."""

    def __post_init__(self) -> None:
        upper = {"rotate": 180.0, "scale": 0.9, "hue": 180.0}
        for name, value in vars(self).items():
            if name != "erase_area":
                least = 0.05 if name == "low_resolution_least" else 0
                require_range(f"data.augment.{name}", value, least, upper.get(name, 1.0))
        if not 0 <= self.erase_area[0] <= self.erase_area[1] <= 1:
            raise UserError(
                f"data.augment.erase_area: {self.erase_area} is not two rising numbers from 0 to 1"
            )


def augment(image: Image, config: AugmentConfig, rng: np.random.Generator, colour: Colour = "rgb") -> Image:
    """Change one uint8 picture (height, width, channels) at random; shape and dtype stay.

    `colour` is the order of the channels, which the weights of gray depend on. The input is not written to,
    and is itself returned where the draw changes nothing.
    """
    sample = Sample(config, rng, image.shape, colour)
    for step in steps(config):
        drawn = step.draw(sample)
        if drawn is not None:
            image = step.picture(image, *drawn).reshape(sample.shape)  # OpenCV drops a lone channel
    return image


def augment_batch(
    images: Tensor, config: AugmentConfig, draws: Sequence[int], seed: int, colour: Colour = "rgb"
) -> Tensor:
    """Change a batch, uint8 (B, channels, height, width) on any device, as `augment` changes its samples.

    `draws` are the numbers of the B draws since training began, the second half of their keys. Every sample
    gets the parameters, noise included, that `FaceDataset` draws for it with this seed; the results differ by
    roundings. The input is not written to.

    Raises:
        ValueError: there are not as many draws as images.
    """
    if len(draws) != len(images):
        raise ValueError(f"augment: {len(draws)} draws for {len(images)} images; give the draw of each")
    shape = (*images.shape[2:], images.shape[1])
    on = steps(config)
    samples = (Sample(config, rng, shape, colour) for rng in generators(seed, draws))
    rows = [[step.draw(sample) for step in on] for sample in samples]  # sample by sample, as `augment` draws
    for k, step in enumerate(on):
        drawn = [(i, found) for i, row in enumerate(rows) if (found := row[k]) is not None]
        if drawn:
            columns = [np.array(column) for column in zip(*(found for _, found in drawn), strict=True)]
            index = torch.tensor([i for i, _ in drawn], device=images.device)
            images = images.index_copy(0, index, step.batch(images[index], *columns))
    return images


def generators(seed: int, draws: Iterable[int]) -> Iterator[np.random.Generator]:
    """For each draw's number, 0 or more, the generator that its sample's changes come from.

    It is one generator, moved: each is good until the next is asked for. Philox counts, so to move it costs
    a tenth of what it costs to seed another; a draw has 2^192 numbers before the next one's begin.
    """
    bits = np.random.Philox(key=np.random.SeedSequence((3, seed)).generate_state(2, np.uint64))
    rng, start = np.random.Generator(bits), bits.state
    for draw in draws:
        start["state"]["counter"][3] = draw
        bits.state = start
        yield rng


@dataclass(frozen=True)
class Sample:
    """What the parameters of a sample's changes are drawn from."""

    config: AugmentConfig
    rng: np.random.Generator
    shape: tuple[int, ...]
    """(height, width, channels)."""
    colour: Colour

    @property
    def red(self) -> int:
        """The number of the red channel; of a gray picture 0."""
        return 2 if self.colour == "bgr" else 0


Parameters = tuple[Any, ...] | None
"""What a change needs beside the picture, in order; None leaves the sample as it is."""


@dataclass(frozen=True)
class Step:
    """One kind of change: what switches it on, what is drawn for it, and its two implementations."""

    options: tuple[str, ...]
    """Fields of AugmentConfig: the step is on where one of them is above 0."""
    draw: Callable[[Sample], Parameters]
    """Draws what the change needs from the sample's generator, if the step is on."""
    picture: Callable[..., Image]
    """Changes one picture: a function of `changes`."""
    batch: Callable[..., Tensor]
    """Changes a batch: the function of the same name in `batch_changes`."""


def _flip(sample: Sample) -> Parameters:
    return () if sample.rng.random() < sample.config.flip else None


def _mask(sample: Sample) -> Parameters:
    if sample.rng.random() >= sample.config.mask:
        return None
    return sample.rng.uniform(*MASK_DROP), sample.rng.integers(0, 256, sample.shape[2])


def _warp(sample: Sample) -> Parameters:
    config = sample.config
    angle, size, x, y = sample.rng.uniform(-1, 1, 4)
    move = config.shift * sample.shape[1]
    return config.rotate * angle, 1 + config.scale * size, move * x, move * y


def _gamma(sample: Sample) -> Parameters:
    return ((1 + sample.config.gamma) ** sample.rng.uniform(-1, 1),)


def _light(sample: Sample) -> Parameters:
    return tuple(sample.config.light * sample.rng.uniform(-1, 1, 2))


def _tone(sample: Sample) -> Parameters:
    bright, contrast = sample.rng.uniform(-1, 1, 2)
    return 1 + sample.config.brightness * bright, 1 + sample.config.contrast * contrast


def _colours(sample: Sample) -> Parameters:
    if sample.colour == "gray":
        return None
    saturation, hue = sample.rng.uniform(-1, 1, 2)
    config = sample.config
    return (changes.colour_matrix(1 + config.saturation * saturation, config.hue * hue, sample.colour),)


def _gray(sample: Sample) -> Parameters:
    lost = sample.colour != "gray" and sample.rng.random() < sample.config.gray
    return (sample.red,) if lost else None


def _low_resolution(sample: Sample) -> Parameters:
    config, rng = sample.config, sample.rng
    return (rng.uniform(config.low_resolution_least, 1),) if rng.random() < config.low_resolution else None


def _blur(sample: Sample) -> Parameters:
    rng = sample.rng
    return (rng.uniform(*BLUR) * sample.shape[1],) if rng.random() < sample.config.blur else None


def _noise(sample: Sample) -> Parameters:
    spread = 255 * sample.config.noise * sample.rng.random()
    return (spread * sample.rng.standard_normal(sample.shape, dtype=np.float32),)


def _jpeg(sample: Sample) -> Parameters:
    low, high = JPEG_QUALITY
    rng = sample.rng
    return (rng.integers(low, high + 1), sample.red) if rng.random() < sample.config.jpeg else None


def _erase(sample: Sample) -> Parameters:
    rng, (height, width, _) = sample.rng, sample.shape
    if rng.random() >= sample.config.erase:
        return None
    pixels = rng.uniform(*sample.config.erase_area) * height * width
    ratio = 2 ** rng.uniform(-1, 1)  # height over width, from 1:2 to 2:1, where that fits into the picture
    ratio = min(max(ratio, pixels / width**2), height**2 / max(pixels, 1))
    tall = min(height, round((pixels * ratio) ** 0.5))
    wide = min(width, round((pixels / ratio) ** 0.5))
    return rng.integers(height - tall + 1), rng.integers(width - wide + 1), tall, wide


STEPS = (
    Step(("flip",), _flip, changes.mirror, batch_changes.mirror),
    Step(("mask",), _mask, changes.paint_mask, batch_changes.paint_mask),
    Step(("rotate", "scale", "shift"), _warp, changes.warp, batch_changes.warp),
    Step(("gamma",), _gamma, changes.change_gamma, batch_changes.change_gamma),
    Step(("light",), _light, changes.light_from, batch_changes.light_from),
    Step(("brightness", "contrast"), _tone, changes.adjust, batch_changes.adjust),
    Step(("saturation", "hue"), _colours, changes.mix_channels, batch_changes.mix_channels),
    Step(("gray",), _gray, changes.to_gray, batch_changes.to_gray),
    Step(("low_resolution",), _low_resolution, changes.lower_resolution, batch_changes.lower_resolution),
    Step(("blur",), _blur, changes.blur, batch_changes.blur),
    Step(("noise",), _noise, changes.add_noise, batch_changes.add_noise),
    Step(("jpeg",), _jpeg, changes.recompress, batch_changes.recompress),
    Step(("erase",), _erase, changes.paint_rectangle, batch_changes.paint_rectangle),
)
"""All changes, in the order in which they are drawn and applied."""


@cache
def steps(config: AugmentConfig) -> tuple[Step, ...]:
    """Those that are on."""
    return tuple(step for step in STEPS if any(getattr(config, name) for name in step.options))
