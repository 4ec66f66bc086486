"""How many images each training person has."""

from math import log

import numpy as np
from numpy.typing import NDArray

from evenface.errors import UserError

Ints = NDArray[np.int64]


def geometric(people: int, imbalance: float) -> NDArray[np.float64]:
    """Shares (people,) that fall by the same factor from each person to the next."""
    return np.asarray(imbalance ** -(np.arange(people) / max(people - 1, 1)))


def power(people: int, imbalance: float) -> NDArray[np.float64]:
    """Shares (people,) that fall by a power of the place: few people with many images, as in collections."""
    return np.asarray(np.arange(1, people + 1) ** (-log(imbalance) / log(max(people, 2))))


def sizes(shares: NDArray[np.float64], images: int, field: str) -> Ints:
    """`images` shared out in whole numbers, (people,), each to within one of its share.

    `field` is the table of the user's settings, "lab" or "data", which errors name.

    Raises:
        UserError: somebody would get none.
    """
    exact = shares / shares.sum() * images
    counts: Ints = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: images - counts.sum()]] += 1
    if counts.min() < 1:
        raise UserError(
            f"{field}.images: {images} are too few for {len(shares)} people at this imbalance: the last "
            f"gets none; use more, or a smaller {field}.imbalance"
        )
    return counts


def most(shares: NDArray[np.float64], counts: Ints) -> int:
    """The most images that `sizes` can share out so that people with `counts` images have them."""
    have = np.sort(counts)[::-1][: len(shares)]
    return int(np.floor(shares.sum() * (have / shares).min()))


def draw(labels: Ints, sizes: Ints, rng: np.random.Generator, field: str) -> Ints:
    """Indices of images such that the person with the k-th most images gives sizes[k] of them.

    Args:
        labels: (N,), the person of each image, 0 to C-1.
        sizes: (K,), falling, K <= C. The order of people with as many images, and the images, are drawn.
        rng: draws them.
        field: as of `sizes`.

    Raises:
        UserError: the k-th person has fewer than sizes[k].
    """
    counts = np.bincount(labels)
    order = np.lexsort((rng.random(len(counts)), -counts))[: len(sizes)]
    if len(order) < len(sizes):
        raise UserError(f"{field}.people: {len(sizes)} are more than there are, {len(order)}")
    if (short := counts[order] < sizes).any():
        k = int(np.argmax(short))
        raise UserError(
            f"{field}.images: the person at place {k + 1} of the cut needs {sizes[k]} images and has "
            f"{counts[order[k]]}; use fewer images, a smaller {field}.imbalance, or more people"
        )
    wanted = np.zeros(len(counts), dtype=np.int64)
    wanted[order] = sizes
    return at_most(labels, wanted, rng)


def draw_people(
    labels: Ints, people: int, least: float, rng: np.random.Generator, field: str
) -> NDArray[np.bool_]:
    """Which `people` of those who have `least` images or more a draw takes, (C,).

    One image after another is drawn, and its person taken with all others, so those with many are likelier.

    Args:
        labels, rng, field: as of `draw`.

    Raises:
        UserError: fewer have so many.
    """
    counts = np.bincount(labels)
    chances = np.where(counts >= least, counts, 0)
    if people > (able := np.count_nonzero(chances)):
        raise UserError(f"{field}.people: {people} are more than those with {least:g} images, {able}")
    taken = np.zeros(len(counts), dtype=bool)
    taken[rng.choice(len(counts), people, replace=False, p=chances / chances.sum())] = True
    return taken


def at_most(labels: Ints, limits: Ints, rng: np.random.Generator) -> Ints:
    """Indices, rising, of up to limits[c] images of each person c, drawn."""
    shuffled = rng.permutation(len(labels))
    by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels, minlength=len(limits))
    number = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_person[number < limits[labels[by_person]]])
