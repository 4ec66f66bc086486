"""The handwritten digits that scikit-learn carries: 1,797 images (Alpaydin and Kaynak, UCI, 1998)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evenface.errors import UserError, require_range

CLASSES = 10
UNSEEN = 30
MOST = 144  # the rarest digit has 174 images


@dataclass(frozen=True, eq=False)
class Digits:
    """Images and what they show."""

    images: Tensor
    """(N, 64) float32, 8x8 pixels, -1 (paper) to 1 (ink)."""
    labels: Tensor
    """(N,) int64, the digit."""


def digits() -> tuple[Digits, Digits]:
    """(144 images of each digit to train on; the first 30 of each, which no training sees).

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError("picture: the digits come with scikit-learn; pip install 'evenface[demo]'") from None
    pixels, labels = load_digits(return_X_y=True)
    everything = Digits(torch.from_numpy(pixels / 8 - 1).float(), torch.from_numpy(labels).long())
    return _some(everything, UNSEEN, [MOST] * CLASSES), _some(everything, 0, [UNSEEN] * CLASSES)


def sizes(imbalance: float) -> list[int]:
    """Images of each digit, from 144 for 0 falling by a geometric law to 144 / `imbalance` for 9.

    Args:
        imbalance: largest over smallest class, 1 (balanced) to 144.

    Raises:
        UserError: it is outside its range.
    """
    require_range("--imbalance", imbalance, 1, MOST)
    return [round(MOST * imbalance ** (-k / (CLASSES - 1))) for k in range(CLASSES)]


def cut(train: Digits, counts: list[int]) -> Digits:
    """The first `counts[k]` images of each digit k."""
    return _some(train, 0, counts)


def _some(digits: Digits, start: int, counts: list[int]) -> Digits:
    of_class = [np.flatnonzero(digits.labels.numpy() == k) for k in range(CLASSES)]
    keep = np.concatenate([rows[start : start + n] for rows, n in zip(of_class, counts, strict=True)])
    return Digits(digits.images[keep], digits.labels[keep])
