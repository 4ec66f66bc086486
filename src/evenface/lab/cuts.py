"""How many images each training person has."""

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

Ints = NDArray[np.int64]


def long_tail(people: int, most: int, imbalance: float) -> Ints:
    """Images of each person, (people,), falling: most * imbalance^(-k / (people - 1)), rounded, 1 or more."""
    share = np.arange(people) / max(people - 1, 1)
    return np.maximum(np.rint(most * imbalance**-share), 1).astype(np.int64)


def balanced(people: int, most: int, imbalance: float) -> Ints:
    """As many images in all as `long_tail`, everybody the same number, to within one, (people,), falling."""
    total = int(long_tail(people, most, imbalance).sum())
    return total // people + (np.arange(people) < total % people)


def draw(labels: Ints, sizes: Ints, rng: np.random.Generator) -> Ints:
    """Indices of images such that the person with the k-th most images gives sizes[k] of them.

    Args:
        labels: (N,), the person of each image, 0 to C-1.
        sizes: (K,), falling, K <= C. The order of people with as many images, and the images, are drawn.

    Raises:
        UserError: the k-th person has fewer than sizes[k].
    """
    counts = np.bincount(labels)
    order = np.lexsort((rng.random(len(counts)), -counts))[: len(sizes)]
    enough = np.minimum.accumulate(np.append(counts[order], 0)[: len(sizes)] >= sizes[: len(order)])
    if len(order) < len(sizes) or not enough.all():
        raise UserError(
            f"lab.people: only {int(enough.sum())} of {len(sizes)} people have enough images for this cut; "
            "use fewer, or a smaller lab.most"
        )
    wanted = np.zeros(len(counts), dtype=np.int64)
    wanted[order] = sizes
    return at_most(labels, wanted, rng)


def at_most(labels: Ints, limits: Ints, rng: np.random.Generator) -> Ints:
    """Indices, rising, of up to limits[c] images of each person c, drawn."""
    shuffled = rng.permutation(len(labels))
    by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels, minlength=len(limits))
    number = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_person[number < limits[labels[by_person]]])
