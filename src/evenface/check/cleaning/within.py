"""Pictures and groups of pictures that are not of the person whose name they bear."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from evenface.check.cleaning.faces import Faces, Floats, Ints

LEAST = 2
"""Pictures of the smaller of two groups: a single one is a stray."""
_MOST = 1500  # pictures of a person that are grouped; of more, evenly drawn ones


def nearest(faces: Faces, centres: Floats, count: int) -> tuple[Ints, Floats]:
    """The centres (P, D) nearest to each picture, (M, count) rows, the nearest first, and their cosines."""
    count = min(count, len(centres))
    which = np.empty((len(faces), count), dtype=np.int64)
    cosines = np.empty((len(faces), count), dtype=np.float32)
    for part in faces.chunks(len(centres)):
        found = faces.unit(part) @ centres.T
        every = np.arange(len(found))
        for rank in range(count):  # for two or three, faster than to part them
            best = found.argmax(axis=1)
            which[part, rank], cosines[part, rank] = best, found[every, best]
            found[every, best] = -np.inf
    return which, cosines


@dataclass(frozen=True, eq=False)
class Split:
    """A person's pictures as two groups."""

    person: int
    larger: Ints
    smaller: Ints
    """Pictures of the set."""
    within: float
    """Mean cosine of the pairs within a group."""
    between: float
    """Mean cosine of the pairs across."""

    @property
    def lost(self) -> float:
        """The share of the likeness within that is lost across."""
        return 1 - self.between / max(self.within, 0.05)


def splits(faces: Faces) -> list[Split]:
    """Each person with 2 x LEAST pictures or more, split at the merge of an average linkage that parts best.

    Of the merges of two groups of LEAST or more that between them hold half of the pictures, the one with the
    least `between` is taken.
    """
    found = []
    for person, which in faces.each():
        if len(which) < 2 * LEAST:
            continue
        if len(which) > _MOST:
            which = which[np.linspace(0, len(which) - 1, _MOST).astype(np.int64)]
        rows = faces.unit(which)
        split = _best(1 - rows @ rows.T)
        if split is not None:
            left, right, within, between = split
            larger, smaller = (left, right) if len(left) >= len(right) else (right, left)
            found.append(Split(person, which[larger], which[smaller], within, between))
    return found


def _best(distance: NDArray[np.float32]) -> tuple[list[int], list[int], float, float] | None:
    """Of a symmetric matrix of 1 - cosine: (a group, the other group, cosine within, cosine between)."""
    count = len(distance)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(np.maximum(distance, 0), checks=False), "average")
    members: list[list[int]] = [[i] for i in range(count)]
    inner = [0.0] * count  # the sum of the distances of a group's pairs
    best = None
    for left, right, height, _ in tree.tolist():
        one, two = members[int(left)], members[int(right)]
        pairs = len(one) * (len(one) - 1) / 2 + len(two) * (len(two) - 1) / 2
        apart = inner[int(left)] + inner[int(right)]
        enough = min(len(one), len(two)) >= LEAST and 2 * (len(one) + len(two)) >= count
        if enough and (best is None or height > 1 - best[3]):
            best = (one, two, 1 - apart / pairs, 1 - height)
        members.append(one + two)
        inner.append(apart + height * len(one) * len(two))
    return best
