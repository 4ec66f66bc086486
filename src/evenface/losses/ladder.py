"""How far apart directions can lie at best."""

import math

from evenface.errors import require_range


def least_largest_cosine(count: int, dimensions: int) -> float:
    """A lower bound of the largest cosine between any two of `count` directions in `dimensions` dimensions.

    The classical ladder: -1/(C-1) for C <= D+1 (the simplex, reached), 0 for C <= 2D (Rankin, reached),
    and beyond sqrt((C-D) / (D(C-1))) (Welch, not always reached).

    Args:
        count: C, 2 or more.
        dimensions: D, 2 or more.

    Returns:
        A cosine in [-1, 1).
    """
    require_range("count", count, 2, math.inf)
    require_range("dimensions", dimensions, 2, math.inf)
    if count <= dimensions + 1:
        return -1.0 / (count - 1)
    if count <= 2 * dimensions:
        return 0.0
    return math.sqrt((count - dimensions) / (dimensions * (count - 1)))
