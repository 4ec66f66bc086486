"""Who is trained on and whose images are tested, as features and labels in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenface.errors import UserError
from evenface.evaluation.embed import Progress
from evenface.lab.config import SetsConfig, SourceName
from evenface.lab.cuts import Ints, at_most, balanced, draw, long_tail
from evenface.lab.features import features
from evenface.lab.sources import SOURCES, folder, pictures, shared


@dataclass(frozen=True, eq=False)
class Faces:
    """N images of C people."""

    features: Tensor
    """(N, F) float32."""
    labels: Tensor
    """(N,) int64, 0 to C-1."""

    def __str__(self) -> str:
        counts = torch.bincount(self.labels)
        return f"{len(self.labels):,} images of {len(counts):,} people ({counts.min()} to {counts.max()} each)"


def training_and_test(
    config: SetsConfig, cache: Path, progress: Callable[[SourceName], Progress] | None = None
) -> tuple[Faces, Faces]:
    """The two sets that the settings name, with the features of `evenface.lab.features`.

    The seed draws in this order: the people held out, the training cut, the test images.

    Args:
        config: which sets.
        cache: folder of the features.
        progress: of a source's name, what `embed` calls while its features are computed.

    Raises:
        UserError: a folder is not set or does not have the pictures, or fewer than 2 people are left.
    """
    rng = np.random.default_rng((1, config.seed))
    source = config.train
    faces = pictures(source, config)
    labels, several = faces.labels, faces.counts() >= 2
    held = np.zeros(len(several), dtype=bool)
    if config.holdout:
        if config.holdout > several.sum() - 2:
            raise UserError(f"lab.holdout: {config.holdout} is too many of {several.sum()} people; use fewer")
        held[rng.choice(np.flatnonzero(several), config.holdout, replace=False)] = True
    train = _among(labels, several & ~held, lambda here: _cut(config, here, rng))
    tested = source
    if not config.holdout:
        tested = "lfw" if source == "cfp" else "cfp"
        faces = pictures(tested, config)
        labels, held = faces.labels, faces.counts() >= 2
        if config.strangers:
            both = shared(tested, source, config)
            held &= np.array([name not in both for name in faces.identities])
    test = _among(labels, held, lambda here: _up_to(config.test_most, here, rng))
    return _load(source, train, config, cache, progress), _load(tested, test, config, cache, progress)


def _among(labels: Ints, people: NDArray[np.bool_], choose: Callable[[Ints], Ints]) -> Ints:
    """Indices that `choose` picks by the labels, counted from 0 without gaps, of these people alone."""
    images = np.flatnonzero(people[labels])
    if people.sum() < 2:
        raise UserError("lab: fewer than 2 people with 2 images or more are left; check the folders")
    return images[choose(np.unique(labels[images], return_inverse=True)[1])]


def _cut(config: SetsConfig, labels: Ints, rng: np.random.Generator) -> Ints:
    if config.cut == "natural":
        return np.arange(len(labels))
    sizes = {"long-tail": long_tail, "balanced": balanced}[config.cut]
    people = config.people or int(labels.max()) + 1
    return draw(labels, sizes(people, config.most, config.imbalance), rng)


def _up_to(most: int, labels: Ints, rng: np.random.Generator) -> Ints:
    return at_most(labels, np.full(labels.max() + 1, most), rng)


def _load(
    name: SourceName,
    images: Ints,
    config: SetsConfig,
    cache: Path,
    progress: Callable[[SourceName], Progress] | None,
) -> Faces:
    faces = pictures(name, config)
    rows = features(faces, folder(name, config), SOURCES[name], cache, progress and progress(name))
    labels = np.unique(faces.labels[images], return_inverse=True)[1]
    return Faces(torch.from_numpy(rows[images].astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))
