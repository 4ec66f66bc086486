"""Angles between directions, in blocks, so that 100,000 classes need no square matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError

_CELLS = 2**24  # of a matrix of cosines at once: 64 MiB


def nearest(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Angle from each direction to the nearest other one, (C,) degrees, and which it is, (C,) int64.

    Args:
        directions: (C, D) rows of length 1, C >= 2.
    """
    angles, indices = [], []
    for start, rows in _blocks(directions, len(directions)):
        cosine = rows @ directions.T
        own = torch.arange(len(rows))
        cosine[own, start + own] = -2.0
        index = cosine.argmax(dim=1)
        angles.append(angle(rows, directions[index]))
        indices.append(index)
    return torch.cat(angles), torch.cat(indices)


def nearest_rivals(embeddings: Tensor, labels: Tensor, directions: Tensor) -> Tensor:
    """Angle from each image to the nearest centre that is not its own, (N,) degrees.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,) int64 in [0, C).
        directions: (C, D) rows of length 1, C >= 2.
    """
    angles = []
    for start, rows in _blocks(F.normalize(embeddings), len(directions)):
        own = labels[start : start + len(rows), None]
        rival = (rows @ directions.T).scatter(1, own, -2.0).argmax(dim=1)
        angles.append(angle(rows, directions[rival]))
    return torch.cat(angles)


def angle(one: Tensor, other: Tensor) -> Tensor:
    """Angles (N,) in degrees between rows of length 1, (N, D) each, exact where they are small too.

    2 atan2(|a - b|, |a + b|): the arc cosine of a float32 cosine is off by up to 0.03 degrees near 0.
    """
    return torch.rad2deg(2 * torch.atan2((one - other).norm(dim=1), (one + other).norm(dim=1)))


def class_means(embeddings: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Directions (C, D) of the means of each class's unit embeddings.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,) int64 in [0, classes).

    Raises:
        UserError: a class has no embedding.
    """
    counts = torch.bincount(labels, minlength=classes)
    if bool((counts == 0).any()):
        raise UserError(f"labels: class {int(torch.argmin(counts))} has no embedding; leave it out")
    total = embeddings.new_zeros(classes, embeddings.shape[1])
    return F.normalize(total.index_add(0, labels, F.normalize(embeddings)))


def _blocks(rows: Tensor, columns: int) -> list[tuple[int, Tensor]]:
    size = max(1, _CELLS // columns)
    return [(start, rows[start : start + size]) for start in range(0, len(rows), size)]
