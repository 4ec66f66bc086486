"""The changes of augmentation on a batch, uint8 (B, channels, height, width) on any device.

Each is the function of its name in `changes`, with an array of B values for every parameter, in the memory of
the CPU. What a sample becomes does not depend on the others of its batch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evenface.data.changes import ERASED, LUMA, mask_edges
from evenface.data.jpeg import jpeg

Values = NDArray[np.float64]
Whole = NDArray[np.int64]


def mirror(images: Tensor) -> Tensor:
    """Left for right."""
    return images.flip(3)


def paint_mask(images: Tensor, drop: Values, colour: Whole) -> Tensor:
    """Paint a face mask; `colour` is (B, channels)."""
    height, width = images.shape[2:]
    a, b, c = np.array([mask_edges(height, width, d) for d in drop]).transpose(2, 0, 1)
    x, y = _pixels(images)
    within = _each(a, images) * x + _each(b, images) * y + _each(c, images)
    share = (within.amin(dim=1, keepdim=True) + 0.5).clamp(0, 1)
    return _rounded(torch.lerp(images.float(), _each(colour, images), share))


def warp(images: Tensor, degrees: Values, scale: Values, right: Values, down: Values) -> Tensor:
    """Rotate counter-clockwise and scale about the middle, then shift by pixels; the border is replicated."""
    # affine_grid wants the way back, from the new pixels to the old, in units of half the picture's size.
    cos, sin = np.cos(np.deg2rad(degrees)) / scale, np.sin(np.deg2rad(degrees)) / scale
    back = np.array([[cos, -sin, sin * down - cos * right], [sin, cos, -sin * right - cos * down]])
    half = np.array(images.shape[:1:-1]) / 2
    back *= np.append(half, 1)[:, None] / half[:, None, None]
    theta = torch.from_numpy(back.transpose(2, 0, 1).astype(np.float32)).to(images.device)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return _rounded(functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False))


def change_gamma(images: Tensor, exponent: Values) -> Tensor:
    """Raise the pixels, as fractions of 255, to the power `exponent`."""
    return _look_up(images, 255 * _levels(images) ** _each(exponent, images).view(-1, 1))


def light_from(images: Tensor, right: Values, down: Values) -> Tensor:
    """Multiply by a plane that is 1 in the middle, 1 + right at the right edge and 1 + down at the bottom."""
    across = torch.linspace(-1, 1, images.shape[3], device=images.device)
    along = torch.linspace(-1, 1, images.shape[2], device=images.device)[:, None]
    return _rounded(images * (1 + _each(right, images) * across + _each(down, images) * along))


def adjust(images: Tensor, brightness: Values, contrast: Values) -> Tensor:
    """Multiply the pixels by `brightness`, then their distances to the new mean by `contrast`."""
    bright, far = _each(brightness, images).view(-1, 1), _each(contrast, images).view(-1, 1)
    mean = bright * images.flatten(1).float().mean(dim=1, keepdim=True)
    return _look_up(images, (255 * _levels(images) * bright - mean) * far + mean)


def mix_channels(images: Tensor, matrix: Values) -> Tensor:
    """Multiply every pixel by its sample's matrix, (B, 3, 3)."""
    matrices = torch.from_numpy(matrix.astype(np.float32)).to(images.device)
    return _rounded((matrices @ images.flatten(2).float()).view_as(images))


def to_gray(images: Tensor, red: Whole) -> Tensor:
    """Luma in all three channels, of which `red` (0 or 2) is the red one."""
    weights = np.where(red[:, None] == 0, LUMA, LUMA[::-1])
    gray = (images * _each(weights, images)).sum(dim=1, keepdim=True)
    return _rounded(gray).expand_as(images)


def lower_resolution(images: Tensor, factor: Values) -> Tensor:
    """Shrink each side to `factor` of its pixels, by areas, and enlarge it again."""
    rows, columns = (
        _there_and_back(n, np.maximum(1, np.rint(n * factor)), images.device) for n in images.shape[2:]
    )
    return _along_both(images, rows, columns)


def blur(images: Tensor, deviation: Values) -> Tensor:
    """Gaussian blur with a standard deviation in pixels; the border is mirrored."""
    rows, columns = (_gaussian(n, deviation, images.device) for n in images.shape[2:])
    return _along_both(images, rows, columns)


def add_noise(images: Tensor, noise: NDArray[np.float32]) -> Tensor:
    """Add an array (B, height, width, channels)."""
    return _rounded(images + torch.from_numpy(noise).to(images.device).permute(0, 3, 1, 2))


def recompress(images: Tensor, quality: Whole, red: Whole) -> Tensor:
    """What JPEG makes of each picture; the channels of all have one order."""
    if red[0] == 2:
        return jpeg(images.flip(1).float(), quality).to(torch.uint8).flip(1)
    return jpeg(images.float(), quality).to(torch.uint8)


def paint_rectangle(images: Tensor, top: Whole, left: Whole, tall: Whole, wide: Whole) -> Tensor:
    """Paint a rectangle of pixels in mid-gray."""
    x, y = _pixels(images)
    rows = (y >= _each(top, images)) & (y < _each(top + tall, images))
    return images.masked_fill(rows & (x >= _each(left, images)) & (x < _each(left + wide, images)), ERASED)


def _each(values: Values | Whole, images: Tensor) -> Tensor:
    """One number a sample, (B,), or one a channel, (B, K), as float32 (B, 1 or K, 1, 1) beside the images."""
    return torch.from_numpy(values.astype(np.float32)).to(images.device).view(len(values), -1, 1, 1)


def _pixels(images: Tensor) -> tuple[Tensor, Tensor]:
    """x (width,) and y (height, 1) of the pixels."""
    height, width = images.shape[2:]
    return (
        torch.arange(width, device=images.device),
        torch.arange(height, device=images.device)[:, None],
    )


def _levels(images: Tensor) -> Tensor:
    """The 256 values of a pixel as fractions of 255."""
    return torch.arange(256, device=images.device) / 255


def _look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Each sample by its own table, (B, 256)."""
    return _rounded(tables).gather(1, images.flatten(1).long()).view_as(images)


def _along_both(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Multiply each sample's columns by a (B, height, height) and its rows by a (B, width, width) matrix."""
    return _rounded(rows[:, None] @ images.float() @ columns[:, None].mT)


def _there_and_back(pixels: int, fewer: Values, device: torch.device) -> Tensor:
    """The matrix that averages `pixels` to `fewer` (B,) by areas and interpolates between those again."""
    less = torch.from_numpy(fewer.astype(np.float32)).to(device).view(-1, 1, 1)
    x = torch.arange(pixels, device=device)
    step = pixels / less
    # The share of old pixel j (across) in new pixel i (down). Rows from `fewer` on are not used below.
    i = x[:, None]
    shrink = (torch.minimum((i + 1) * step, x + 1) - torch.maximum(i * step, x)).clamp(min=0) / step
    middle = torch.minimum(((x[:, None] + 0.5) / step - 0.5).clamp(min=0), less - 1)
    return (1 - (middle - x).abs()).clamp(min=0) @ shrink


def _gaussian(pixels: int, deviation: Values, device: torch.device) -> Tensor:
    """The matrix of a blur along an axis, its kernel as long as OpenCV's for bytes, (B, pixels, pixels)."""
    radius = np.rint(3 * deviation * 2 + 1).astype(int) // 2
    k = np.arange(-radius.max(), radius.max() + 1)
    weights = np.exp(-0.5 * (k / deviation[:, None]) ** 2) * (abs(k) <= radius[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    # A mirror without a second border pixel has a period of 2 (pixels - 1).
    period = 2 * (pixels - 1)
    source = (np.arange(pixels)[:, None] + k) % period
    source = np.minimum(source, period - source)
    mirrored = functional.one_hot(torch.from_numpy(source), pixels).float().to(device)
    return torch.einsum("bk,xkj->bxj", torch.from_numpy(weights.astype(np.float32)).to(device), mirrored)


def _rounded(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)
