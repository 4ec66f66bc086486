"""How far a class's images lie from its centre."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError
from evenface.geometry.angles import angle


@dataclass(frozen=True, eq=False)
class Scopes:
    """The angles of each class's images to its centre; everything in degrees, (C,), float64."""

    angles: Tensor
    """(N,), sorted within each class, class after class."""
    counts: Tensor
    """Images of each class, (C,) int64, 1 or more."""
    mean: Tensor
    """Mean angle."""
    q95: Tensor
    """95 % quantile of the angles, interpolated."""
    largest: Tensor
    """Largest angle. It grows with the number of images: judge evenness by `largest_of`."""

    def largest_of(self, k: int) -> Tensor:
        """Expected largest angle of k images of each class, (C,); NaN for a class with fewer than k.

        What drawing k of the n images without replacement gives in the mean, exactly: the i-th smallest
        angle is the largest of C(i-1, k-1) of the C(n, k) draws (derived here).
        """
        counts = torch.repeat_interleave(self.counts, self.counts).double()
        rank = torch.cat([torch.arange(1, int(n) + 1) for n in self.counts]).double()
        share = torch.exp(_log_choose(rank - 1, k - 1) - _log_choose(counts, k))
        share = torch.where(rank >= k, share, 0.0)
        expected = _sum(share * self.angles, self.counts)
        return torch.where(self.counts >= k, expected, torch.nan)


def scopes(embeddings: Tensor, labels: Tensor, directions: Tensor) -> Scopes:
    """The scopes of all classes.

    Args:
        embeddings: (N, D), not normalised.
        labels: (N,) int64 in [0, C); every class has an image.
        directions: (C, D) rows of length 1, the centres.

    Raises:
        UserError: a class has no embedding.
    """
    counts = torch.bincount(labels, minlength=len(directions))
    if bool((counts == 0).any()):
        raise UserError(f"labels: class {int(torch.argmin(counts))} has no embedding; leave it out")
    own = angle(F.normalize(embeddings), directions[labels]).double()
    order = torch.argsort(own)
    order = order[torch.argsort(labels[order], stable=True)]
    own = own[order]
    first = counts.cumsum(0) - counts
    place = 0.95 * (counts - 1).double()
    low = first + place.long()
    high = torch.minimum(low + 1, first + counts - 1)
    q95 = own[low] + (own[high] - own[low]) * place.frac()
    return Scopes(own, counts, _sum(own, counts) / counts, q95, own[first + counts - 1])


def _sum(values: Tensor, counts: Tensor) -> Tensor:
    classes = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return values.new_zeros(len(counts)).index_add(0, classes, values)


def _log_choose(n: Tensor, k: int) -> Tensor:
    """log of n over k; without meaning where n < k."""
    n = n.clamp(min=k)
    return torch.lgamma(n + 1) - torch.lgamma(n - k + 1) - torch.lgamma(torch.tensor(k + 1.0).double())
