"""How uniformly directions lie on the hypersphere."""

from math import exp, inf, lgamma

import torch
from torch import Tensor
from torch.nn.functional import normalize

_BLOCK = 2**24  # cells of a matrix of distances at once


def energy(directions: Tensor) -> float:
    """Mean of 1 / |w_i - w_j| over all pairs, the Riesz energy of exponent 1: smaller is more uniform.

    Args:
        directions: (C, D) rows of length 1, C >= 2; infinite where two are the same.
    """
    # In float32 two that are 1e-4 apart would be the same.
    directions = normalize(directions.double())
    count, total = len(directions), 0.0
    rows = max(1, _BLOCK // count)
    for start in range(0, count, rows):
        cosine = directions[start : start + rows] @ directions.T
        own = torch.arange(len(cosine))
        cosine[own, start + own] = -inf  # a distance to itself counts nothing: 1 / inf
        total += float((2 - 2 * cosine).clamp(min=0).rsqrt().sum())
    return total / (count * (count - 1))


def random_energy(dimensions: int) -> float:
    """The expectation of `energy` for directions drawn uniformly, which `energy` is judged by (derived here).

    The cosine t of two has a density like (1 - t^2)^((D-3)/2), so u = (1 - t) / 2 is Beta((D-1)/2, (D-1)/2)
    distributed, |w_i - w_j| = 2 sqrt(u), and E[1 / (2 sqrt(u))] is half a ratio of two beta functions.
    Infinite for D = 2.
    """
    if dimensions < 3:
        return inf
    half = (dimensions - 1) / 2
    log_beta = lgamma(half - 0.5) - lgamma(2 * half - 0.5) - lgamma(half) + lgamma(2 * half)
    return 0.5 * exp(log_beta)
