"""The losses of JPEG compression on a batch, by its arithmetic alone: no file is written."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Whole = NDArray[np.int64]

# ITU-T T.81, Annex K.1: the tables for luma and chroma that libjpeg scales by the quality.
_LUMA_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA_STEPS = np.full((8, 8), 99)
_CHROMA_STEPS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# JFIF: luma, and the differences of blue and red to it.
_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_RGB = torch.linalg.inv(_YCC)


def jpeg(images: Tensor, quality: Whole) -> Tensor:
    """What JPEG makes of a batch: float32 (B, channels, H, W) of whole numbers, 0 to 255, in and out.

    Three channels are red, green, blue; the chroma is halved along each axis, as libjpeg does by default.
    `quality` is (B,), 1 to 100.
    """
    height, width = images.shape[2:]
    if images.shape[1] == 1:
        return (_quantised(images - 128, _LUMA_STEPS, quality) + 128).round().clamp(0, 255)
    planes = _mixed(_YCC, images).round()
    even = functional.pad(planes[:, 1:], (0, width % 2, 0, height % 2), mode="replicate")
    chroma = _quantised(_floor(functional.avg_pool2d(even, 2), 1 / 4, 1 / 2), _CHROMA_STEPS, quality)
    # Halfway between two pixels: 3/4 of the nearer and 1/4 of the farther, libjpeg's "fancy upsampling".
    chroma = functional.interpolate(chroma.round(), scale_factor=2, mode="bilinear")[:, :, :height, :width]
    luma = _quantised(planes[:, :1] - 128, _LUMA_STEPS, quality).round() + 128
    return _mixed(_RGB, torch.cat([luma, _floor(chroma, 8 / 16, 7 / 16)], dim=1)).round().clamp(0, 255)


def _floor(planes: Tensor, even: float, odd: float) -> Tensor:
    """libjpeg's rounding of the chroma: what is added before the floor alternates from column to column."""
    width = planes.shape[3]
    return (planes + torch.tensor([even, odd], device=planes.device).repeat(width)[:width]).floor()


def _mixed(matrix: Tensor, planes: Tensor) -> Tensor:
    return (matrix.to(planes.device) @ planes.flatten(2)).view_as(planes)


def _quantised(planes: Tensor, steps: Whole, quality: Whole) -> Tensor:
    """Round the cosine transform of each 8x8 block of (B, P, H, W) to multiples of the quality's steps."""
    height, width = planes.shape[2:]
    padded = functional.pad(planes, (0, -width % 8, 0, -height % 8), mode="replicate")
    b, p, tall, wide = padded.shape
    blocks = padded.reshape(b, p, tall // 8, 8, wide // 8, 8).transpose(3, 4).flatten(4)
    transform = _cosines(planes.device)
    table = torch.from_numpy(_table(steps, quality)).to(planes.device).view(-1, 1, 1, 1, 64)
    multiples = blocks @ transform.T / table
    # Halves, frequent since pixels are whole numbers, go away from zero whatever the last bit of a float32.
    multiples = (multiples.abs() + 0.5001).floor() * multiples.sign()
    blocks = multiples * table @ transform
    blocks = blocks.view(b, p, tall // 8, wide // 8, 8, 8).transpose(3, 4)
    return blocks.reshape(b, p, tall, wide)[:, :, :height, :width]


def _table(steps: Whole, quality: Whole) -> NDArray[np.float32]:
    """libjpeg's rule: the steps as they are at 50, half of them at 75, all 1 at 100; (B, 8, 8)."""
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    table: Whole = (percent[:, None, None] * steps + 50) // 100
    return table.clip(1, 255).astype(np.float32)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal transform of a flattened 8x8 block, (64, 64)."""
    k = np.arange(8)
    cosines = np.cos(np.pi / 8 * np.outer(k, k + 0.5)) * np.where(k == 0, 8**-0.5, 0.5)[:, None]
    return torch.from_numpy(np.kron(cosines, cosines).astype(np.float32)).to(device)
