"""Verification and identification over all images of a set of people."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenface.errors import UserError
from evenface.evaluation.metrics import Roc, RocCounter
from evenface.evaluation.templates import unit_rows

_BLOCK = 256  # rows of the cosine matrix at once


def all_pairs(embeddings: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cosines and same-person flags of all N(N-1)/2 pairs of images, (i, j) with i < j in row order.

    Args:
        embeddings: (N, D) raw, N >= 2.
        labels: (N,) integers, the person of each image.

    Raises:
        UserError: shapes do not fit, or an embedding is all zero or not finite.
    """
    unit, people = _labelled(embeddings, labels)
    n = len(unit)
    scores = np.empty(n * (n - 1) // 2, dtype=np.float32)
    same = np.empty(len(scores), dtype=np.bool_)
    start = 0
    for i in range(n - 1):
        stop = start + n - 1 - i
        scores[start:stop] = unit[i + 1 :] @ unit[i]
        same[start:stop] = people[i + 1 :] == people[i]
        start = stop
    return scores, same


def pairs_roc(embeddings: ArrayLike, labels: ArrayLike) -> Roc:
    """The ROC of `all_pairs`, its impostor pairs counted as they come (see `RocCounter`).

    Memory goes with the number of images and of genuine pairs, not with that of all pairs.

    Raises:
        UserError: as `all_pairs`, or there is no genuine or no impostor pair.
    """
    unit, people = _labelled(embeddings, labels)
    person, images = np.unique(people, return_inverse=True, return_counts=True)[1:]
    if len(images) < 2 or images.max() < 2:
        raise UserError("labels: all pairs need two people or more, and one of them with two images or more")
    order = np.argsort(person, kind="stable")
    unit, person = unit[order], person[order]  # now each person's images are neighbours
    ends = images.cumsum()
    genuine = []
    for start, end in zip(ends - images, ends, strict=True):
        own = unit[start:end]
        genuine.append((own @ own.T)[np.triu_indices(len(own), 1)])
    counter = RocCounter(np.concatenate(genuine))
    del genuine
    for start in range(0, len(unit), _BLOCK):
        rows = person[start : start + _BLOCK, None]
        counter.add((unit[start : start + _BLOCK] @ unit[start:].T)[rows < person[start:]])
    return counter.roc()


def rank1(embeddings: ArrayLike, labels: ArrayLike) -> float:
    """Closed-set leave-one-out rank-1 rate, 0 to 1.

    Each image that shares its person with another is searched among all other images; it is a hit if the
    best image of that person scores higher than every image of anybody else (a tie is a miss). People with
    one image are only searched through.

    Raises:
        UserError: as `all_pairs`, or nobody has two images.
    """
    unit, people = _labelled(embeddings, labels)
    hits = probes = 0
    for start in range(0, len(unit), _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosine = unit[rows] @ unit.T
        mates = people[rows, None] == people
        other = np.where(mates, -np.inf, cosine).max(axis=1)
        mates[np.arange(len(cosine)), start + np.arange(len(cosine))] = False
        mate = np.where(mates, cosine, -np.inf).max(axis=1)
        probes += int(mates.any(axis=1).sum())
        hits += int((mate > other).sum())
    if not probes:
        raise UserError("rank1: nobody has two images or more")
    return hits / probes


def _labelled(embeddings: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    unit, people = unit_rows(embeddings), np.asarray(labels)
    if people.shape != (len(unit),) or len(unit) < 2:
        raise UserError(f"labels: shape {people.shape} for {len(unit)} embeddings; give one each, 2 or more")
    return unit, people
