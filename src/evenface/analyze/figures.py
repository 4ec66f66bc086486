"""The numbers of each class, and over the classes."""

from dataclasses import asdict, dataclass
from math import degrees
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenface.analyze.run import Trained
from evenface.geometry import (
    Scopes,
    class_means,
    energy,
    nearest,
    nearest_rivals,
    random_energy,
    scopes,
    spread,
)
from evenface.losses import least_largest_cosine

COLUMNS = {
    "scope": "mean angle of its images to the centre",
    "scope_95": "95 % quantile of these angles",
    "scope_largest": "largest of them; it grows with the number of images",
    "scope_equal": "expected largest of as many images of each class",
    "nearest": "angle to the nearest other centre",
    "margin": "nearest / 2 - scope: from a typical image to the boundary towards the nearest class",
}
"""Of the table of classes; all in degrees."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """The geometry around one set of centres."""

    centres: str
    """learned, or means: the directions of the classes' mean embeddings."""
    columns: dict[str, Tensor]
    """(C,) each, by the names of `COLUMNS`."""
    rival: Tensor
    """(C,) int64: the class of the nearest other centre."""
    own: Scopes
    rivals: Tensor
    """(N,) angle from each image to the nearest centre of another class."""
    energy: float


def geometry(trained: Trained, centres: str, equal: int) -> Geometry:
    """The geometry around the learned centres or around the means, scopes judged at `equal` images."""
    means = class_means(trained.embeddings, trained.labels, len(trained.identities))
    directions = means if centres == "means" or trained.centres is None else trained.centres
    own = scopes(trained.embeddings, trained.labels, directions)
    apart, rival = nearest(directions)
    columns = {
        "scope": own.mean,
        "scope_95": own.q95,
        "scope_largest": own.largest,
        "scope_equal": own.largest_of(equal),
        "nearest": apart.double(),
        "margin": apart / 2 - own.mean,
    }
    rivals = nearest_rivals(trained.embeddings, trained.labels, directions)
    return Geometry(centres, columns, rival, own, rivals, energy(directions))


def equal_count(counts: Tensor) -> int:
    """The number of images that nine classes of ten have, 2 or more."""
    return max(2, int(np.quantile(counts.numpy(), 0.1, method="lower")))


def summary(trained: Trained, found: Geometry, equal: int) -> dict[str, Any]:
    """The numbers over the classes, as plain values for JSON.

    Of each column that anybody has a number in: n, mean, sd, cv, gini, least, most, and the means of `head`
    and `tail`, the third of the classes with the most images and that with the fewest (absent where all have
    the same number).
    """
    counts = found.own.counts
    classes, size = len(counts), trained.embeddings.shape[1]
    order = torch.argsort(counts, descending=True, stable=True)
    third = max(1, classes // 3)
    uneven = bool(counts.min() < counts.max())
    columns: dict[str, dict[str, float]] = {}
    for name, values in found.columns.items():
        if values.isnan().all():
            continue  # scope_equal, where nobody has two images
        columns[name] = asdict(spread(values))
        if uneven:
            for end, part in (("head", order[:third]), ("tail", order[-third:])):
                columns[name][end] = float(values[part].nanmean())
    return {
        "centres": found.centres,
        "classes": classes,
        "images": len(trained.labels),
        "images_equal": equal,
        "columns": columns,
        "evenest_nearest": degrees(float(np.arccos(least_largest_cosine(classes, size)))),
        "energy": found.energy,
        "energy_of_random": random_energy(size),
    }
