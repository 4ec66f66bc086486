"""Every loss, most with class centres. Each is called the same way: `loss = head(embeddings, labels)`.

A new loss is one file and one line in `LOSSES`.
"""

from typing import Any

from evenface.errors import unknown
from evenface.losses.arcface import ArcFace
from evenface.losses.base import CentreHead, CosineHead, FaceLoss
from evenface.losses.cosface import CosFace
from evenface.losses.eqm import EqM
from evenface.losses.ladder import least_largest_cosine
from evenface.losses.softmax import NormalizedSoftmax, Softmax
from evenface.losses.sphereface import SphereFace

LOSSES: dict[str, type[CentreHead]] = {
    "eqm": EqM,
    "softmax": Softmax,
    "normalized-softmax": NormalizedSoftmax,
    "sphereface": SphereFace,
    "cosface": CosFace,
    "arcface": ArcFace,
}


def create(name: str, num_classes: int, embedding_size: int, **options: Any) -> CentreHead:
    """The loss called `name` in `LOSSES`, with `options` as its keyword arguments.

    Raises:
        UserError: no such loss, or an option out of its range.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name](num_classes, embedding_size, **options)


__all__ = [
    "LOSSES",
    "ArcFace",
    "CentreHead",
    "CosFace",
    "CosineHead",
    "EqM",
    "FaceLoss",
    "NormalizedSoftmax",
    "Softmax",
    "SphereFace",
    "create",
    "least_largest_cosine",
]
