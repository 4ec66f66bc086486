"""How uneven one number is over the classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from evenface.errors import UserError


@dataclass(frozen=True)
class Spread:
    """One number over n classes."""

    n: int
    """Classes that have the number."""
    mean: float
    sd: float
    """Standard deviation over the classes, of the population."""
    cv: float
    """sd / mean: 0 is even. Without meaning where the mean is not positive, and NaN there."""
    gini: float
    """Half the mean difference of two classes over the mean, 0 (even) to 1; NaN as `cv`."""
    least: float
    most: float


def spread(values: Tensor) -> Spread:
    """The spread of values (C,), those that are NaN left out.

    Raises:
        UserError: nothing is left.
    """
    kept = values[~values.isnan()].double().sort().values
    n = len(kept)
    if not n:
        raise UserError("spread: no class has this number")
    mean, sd = float(kept.mean()), float(kept.std(correction=0))
    rank = torch.arange(1, n + 1, dtype=torch.float64)
    gini = float(((2 * rank - n - 1) * kept).sum()) / (n * n * mean) if mean > 0 else torch.nan
    return Spread(n, mean, sd, sd / mean if mean > 0 else torch.nan, gini, float(kept[0]), float(kept[-1]))
