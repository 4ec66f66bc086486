"""Who is trained on and whose images are tested, as features and labels in memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenface.data.cuts import Ints, at_most, draw, draw_people, geometric, power, sizes
from evenface.errors import UserError
from evenface.lab.config import SetsConfig, SourceName
from evenface.lab.features import features
from evenface.lab.sources import SOURCES, folder, left_out, pictures, shared
from evenface.progress import Progress

Shown = Callable[[SourceName], Progress]
"""Of a source's name: what `embed` calls while its features are computed."""
_LAWS = {"geometric": geometric, "power": power}


@dataclass(frozen=True, eq=False)
class Faces:
    """N images of C people."""

    features: Tensor
    """(N, F) float32."""
    labels: Tensor
    """(N,) int64, 0 to C-1."""

    def __str__(self) -> str:
        counts = torch.bincount(self.labels)
        return (
            f"{len(self.labels):,} images of {len(counts):,} people ({counts.min()} to {counts.max()} each)"
        )

    @classmethod
    def of(cls, rows: NDArray[np.float16], labels: Ints, images: Ints) -> "Faces":
        """These images of a collection, the people counted from 0 without gaps."""
        people = np.unique(labels[images], return_inverse=True)[1]
        return cls(torch.from_numpy(rows[images].astype(np.float32)), torch.from_numpy(people))


def training_and_test(config: SetsConfig, cache: Path, shown: Shown | None = None) -> tuple[Faces, Faces]:
    """The two sets that the settings name, with the features of `evenface.lab.features`.

    The seed draws in this order: the people held out, those of a cut and its images, the test images.

    Raises:
        UserError: a folder is not set or does not have the pictures, or fewer than 2 people are left.
    """
    rng = np.random.default_rng((1, config.seed))
    rows, labels, several = _collection(config.train, frozenset(), config, cache, shown)
    held = np.zeros(len(several), dtype=bool)
    if config.holdout:
        if config.holdout > several.sum() - 2:
            raise UserError(f"lab.holdout: {config.holdout} is too many of {several.sum()} people; use fewer")
        held[rng.choice(np.flatnonzero(several), config.holdout, replace=False)] = True
    train = Faces.of(rows, labels, _among(labels, several & ~held, lambda here: _cut(config, here, rng)))
    if not config.holdout:
        known = shared(config.test, config.train, config) if config.strangers else set()
        rows, labels, held = _collection((config.test,), frozenset(known), config, cache, shown)
    few = np.full(len(held), config.test_most)
    return train, Faces.of(rows, labels, _among(labels, held, lambda here: at_most(here, few, rng)))


def _collection(
    names: tuple[SourceName, ...],
    without: frozenset[str],
    config: SetsConfig,
    cache: Path,
    shown: Shown | None,
) -> tuple[NDArray[np.float16], Ints, NDArray[np.bool_]]:
    """Features (N, F) and labels (N,) of all pictures of some sources, and who has 2 or more, (C,)."""
    rows: list[NDArray[np.float16]] = []
    labels: list[Ints] = []
    several: list[NDArray[np.bool_]] = []
    for name in names:
        faces = pictures(name, config)
        absent = left_out(name, config) | without
        here = np.array([person not in absent for person in faces.identities], dtype=bool)
        labels.append(faces.labels + sum(map(len, several)))
        several.append(here & (faces.counts() >= 2))
        rows.append(features(faces, folder(name, config), SOURCES[name], cache, shown and shown(name)))
    return np.concatenate(rows), np.concatenate(labels), np.concatenate(several)


def _among(labels: Ints, people: NDArray[np.bool_], choose: Callable[[Ints], Ints]) -> Ints:
    """Indices that `choose` picks by the labels, counted from 0 without gaps, of these people alone."""
    images = np.flatnonzero(people[labels])
    if people.sum() < 2:
        raise UserError("lab: fewer than 2 people with 2 images or more are left; check the folders")
    return images[choose(np.unique(labels[images], return_inverse=True)[1])]


def _cut(config: SetsConfig, labels: Ints, rng: np.random.Generator) -> Ints:
    if config.cut == "natural":
        return np.arange(len(labels))
    people = config.people or int(labels.max()) + 1
    if config.drawn:
        chosen = draw_people(labels, people, config.images / people, rng, "lab")
        whole = replace(config, drawn=False)
        return _among(labels, chosen, lambda here: _cut(whole, here, rng))
    wanted = sizes(_LAWS[config.cut](people, config.imbalance), config.images, "lab")
    return draw(labels, wanted, rng, "lab")
