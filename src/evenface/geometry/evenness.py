"""The geometry of a training set as a few numbers, to set losses side by side."""

from math import isfinite

import torch
from torch import Tensor

from evenface.geometry.angles import class_means, nearest
from evenface.geometry.scopes import scopes
from evenface.geometry.spread import spread


def evenness(embeddings: Tensor, labels: Tensor, centres: Tensor | None) -> dict[str, float]:
    """How even the training people lie.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,) int64 in [0, C), an image or more of each class.
        centres: (C, D) rows of length 1 that the loss learned; None takes the classes' empirical means.

    Returns:
        As standard deviation over mean, over the classes: `centres.cv` of the angle to the nearest other
        centre, `means.cv` the same of the empirical means, `scopes.cv` of the mean angle to the own centre,
        `scopes2.cv` of the expected largest angle of two images. In degrees: `centres.mean`, `scopes.mean`,
        and of the margins, half the angle to the nearest other centre less the mean scope, `margins.mean`,
        `margins.sd`, and `margins.head` and `margins.tail`: of the third of the classes with the most
        images, and of that with the fewest. A figure without meaning is left out: `scopes2.cv` where nobody
        has two images, those of head and tail where all have the same number.
    """
    counts = torch.bincount(labels)
    means = class_means(embeddings, labels, len(counts))
    centres = means if centres is None else centres
    angles, _ = nearest(centres)
    own = scopes(embeddings, labels, centres)
    margins = angles / 2 - own.mean
    third = max(1, len(counts) // 3)
    order = torch.argsort(counts, descending=True, stable=True)
    apart, width = spread(angles), spread(own.mean)
    figures = {
        "centres.cv": apart.cv,
        "means.cv": spread(nearest(means)[0]).cv,
        "scopes.cv": width.cv,
        "scopes2.cv": spread(own.largest_of(2)).cv if counts.max() > 1 else torch.nan,
        "centres.mean": apart.mean,
        "scopes.mean": width.mean,
        "margins.mean": float(margins.mean()),
        "margins.sd": spread(margins).sd,
    }
    if counts.min() < counts.max():
        figures["margins.head"] = float(margins[order[:third]].mean())
        figures["margins.tail"] = float(margins[order[-third:]].mean())
    return {name: value for name, value in figures.items() if isfinite(value)}
