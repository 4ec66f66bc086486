"""SphereFace2."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evenface.errors import require_range
from evenface.losses.cosine_head import CosineHead


class SphereFace2(CosineHead):
    """SphereFace2 (Wen et al., ICLR 2022, eq. 6), its form C: C binary classifications instead of a softmax.

    With c the cosines, g(c) = 2 ((c + 1) / 2)^t - 1, lambda = `target_weight` and one bias b for all classes,
    which is learnt:

        L_i = gain / s (lambda log(1 + exp(-s (g(c_iy) - m) - b))
                        + (1 - lambda) sum_{j != y} log(1 + exp(s (g(c_ij) + m) + b)))

    As in the authors' code, the gradient passes g as if it were a constant shift of the cosine, b starts
    where the loss is least with all cosines 0, and the paper's 1 / s is multiplied by a gain.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, the paper's r, greater than 0, at most 500.
        margin: m, cosine, 0 to 1.
        exponent: t, 1 to 100; 1 leaves the cosine as it is.
        target_weight: lambda, between 0 and 1: the weight of the target against that of all its rivals.
        gain: greater than 0, the size of the gradient in place of s.

    Attributes:
        bias: parameter (), b.
        terms: after each call "target" and "rivals", the two lines above, both times gain / s.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 40.0,
        margin: float = 0.4,
        exponent: float = 3.0,
        target_weight: float = 0.7,
        gain: float = 50.0,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.scale", scale, 1e-3, 500.0)  # exp(s m), of the first bias, overflows at 709
        require_range("loss.margin", margin, 0.0, 1.0)
        require_range("loss.exponent", exponent, 1.0, 100.0)
        require_range("loss.target_weight", target_weight, 1e-6, 1.0 - 1e-6)
        require_range("loss.gain", gain, 1e-6, 1e6)
        self.margin = margin
        self.exponent = exponent
        self.target_weight = target_weight
        self.gain = gain
        self.bias = nn.Parameter(torch.tensor(self.first_bias(), dtype=torch.float32))

    def first_bias(self) -> float:
        """The b of the least loss where every cosine is 0.

        There lambda sigmoid(-s (g(0) - m) - b) = (1 - lambda) (C - 1) sigmoid(s (g(0) + m) + b), a quadratic
        in exp(b); asinh is its positive root's logarithm without cancellation.
        """
        odds = self.target_weight / ((1.0 - self.target_weight) * (self.num_classes - 1))
        middle = self.scale * (math.pow(2.0, 1.0 - self.exponent) - 1.0)
        slope = (1.0 - odds) / (2.0 * math.sqrt(odds)) * math.exp(self.scale * self.margin)
        return 0.5 * math.log(odds) - middle - math.asinh(slope)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean L_i."""
        directions = F.normalize(embeddings)
        shaped = self.shaped(self.own_cosine(directions, labels))
        own = F.softplus(-self.scale * (shaped - self.margin) - self.bias.to(shaped)).mean()
        rivals = self.rivals(directions, labels, self.rival_term, self.bias, reduce="sum").mean()
        factor = self.gain / self.scale
        own, rivals = factor * self.target_weight * own, factor * (1.0 - self.target_weight) * rivals
        self.terms = {"target": own.detach(), "rivals": rivals.detach()}
        return own + rivals

    def shaped(self, cosine: Tensor) -> Tensor:
        """g of cosines, with the slope of the cosine."""
        changed = 2.0 * ((cosine.clamp(min=-1.0) + 1.0) / 2.0) ** self.exponent - 1.0
        return cosine + (changed - cosine).detach()

    def rival_term(self, cosine: Tensor, bias: Tensor) -> Tensor:
        """log(1 + exp(s (g(c) + m) + b)) of rivals' cosines."""
        return F.softplus(self.scale * (self.shaped(cosine) + self.margin) + bias)
