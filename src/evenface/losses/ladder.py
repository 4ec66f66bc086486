"""How far apart directions can lie at best, and how far EqM pushes them."""

import math

from evenface.errors import require_range


def least_largest_cosine(count: int, dimensions: int) -> float:
    """A lower bound of the largest cosine between any two of `count` directions in `dimensions` dimensions.

    -1/(C-1) for C <= D+1 (the simplex, reached), 0 for C <= 2D (Rankin, reached), and beyond Levenshtein's
    third bound, C <= D (1-x) (2 + (D+1) x) / (1 - D x^2), solved for the cosine x; it holds up to
    x = (sqrt(D+3) - 1) / (D+2), which stands for all larger C. It is reached by some arrangements, such as 5
    directions in 2 dimensions and 27 in 6.

    Source: V. I. Levenshtein, *Designs as maximum codes in polynomial metric spaces*, Acta Applicandae
    Mathematicae 29, 1992. Solved for x here: D (C-D-1) x^2 + D (D-1) x = C - 2D.

    Args:
        count: C, 2 or more.
        dimensions: D, 2 or more.

    Returns:
        A cosine in [-1, 1).
    """
    if _few(count, dimensions):
        return _of_few(count, dimensions)
    linear = dimensions * (dimensions - 1)
    root = math.sqrt(linear**2 + 4 * dimensions * (count - dimensions - 1) * (count - 2 * dimensions))
    return min(
        2 * (count - 2 * dimensions) / (linear + root), (math.sqrt(dimensions + 3) - 1) / (dimensions + 2)
    )


def welch_cosine(count: int, dimensions: int) -> float:
    """The least possible largest *absolute* cosine of more than 2D directions; of fewer, the bound above.

    -1/(C-1) for C <= D+1, 0 for C <= 2D, and sqrt((C-D) / (D (C-1))) beyond (Welch, IEEE Transactions on
    Information Theory 20, 1974). Directions that may also lie opposite to each other can keep a little
    further apart than this last, so it bounds nothing there; it says how far many of them can be about.

    Args:
        count: C, 2 or more.
        dimensions: D, 2 or more.

    Returns:
        A cosine in [-1, 1).
    """
    if _few(count, dimensions):
        return _of_few(count, dimensions)
    return math.sqrt((count - dimensions) / (dimensions * (count - 1)))


def _few(count: int, dimensions: int) -> bool:
    """Whether there are 2D directions at most, for which the best arrangement is known."""
    require_range("count", count, 2, math.inf)
    require_range("dimensions", dimensions, 2, math.inf)
    return count <= 2 * dimensions


def _of_few(count: int, dimensions: int) -> float:
    return -1.0 / (count - 1) if count <= dimensions + 1 else 0.0
