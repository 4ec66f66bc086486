"""MagFace."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import UserError, require_range
from evenface.losses.arcface import add_angle
from evenface.losses.cosine_head import CosineHead


class MagFace(CosineHead):
    """MagFace (Meng et al., CVPR 2021): ArcFace's margin grows with the norm.

    With a the norm, held within `least_norm` and `largest_norm`, the margin m(a) is linear between
    `least_margin` and `largest_margin`, and the loss is the mean of

        cross-entropy with cos(angle + m(a)) for the target + norm_weight g(a),
        g(a) = 1 / a + a / largest_norm^2

    g pulls norms up, the wider margin holds them down where a sample is hard: the norm tells the quality. The
    gradient passes through both, but not where a norm is outside its limits. So that each sample has one best
    norm, norm_weight should be above s m'(a) / (1 / least_norm^2 - 1 / largest_norm^2): 22.6 by the defaults.
    The margin stands at every angle, as in the paper's eq. 1; the authors' code has none from pi/2 on.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        least_margin: radians, 0 to `largest_margin`.
        largest_margin: radians, up to pi/2.
        least_norm: greater than 0, below `largest_norm`.
        largest_norm: norm of an embedding.
        norm_weight: lambda_g, 0 or more.

    Attributes:
        terms: after each call "softmax" and "magnitude", the mean of g without its weight.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        least_margin: float = 0.45,
        largest_margin: float = 0.8,
        least_norm: float = 10.0,
        largest_norm: float = 110.0,
        norm_weight: float = 35.0,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.largest_margin", largest_margin, 0.0, math.pi / 2)
        require_range("loss.least_margin", least_margin, 0.0, largest_margin)
        require_range("loss.least_norm", least_norm, 1e-6, 1e6)
        require_range("loss.norm_weight", norm_weight, 0.0, 1e6)
        if not least_norm < largest_norm <= 1e6:
            raise UserError(
                f"loss.largest_norm: {largest_norm} must be above loss.least_norm, {least_norm}, up to 1e6"
            )
        self.least_margin = least_margin
        self.largest_margin = largest_margin
        self.least_norm = least_norm
        self.largest_norm = largest_norm
        self.norm_weight = norm_weight

    def margins(self, norm: Tensor) -> Tensor:
        """m(a) in radians of norms a within the limits."""
        slope = (self.largest_margin - self.least_margin) / (self.largest_norm - self.least_norm)
        return self.least_margin + slope * (norm - self.least_norm)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy + norm_weight * mean g."""
        length: Tensor = torch.linalg.vector_norm(embeddings, dim=1)
        norm = length.clamp(self.least_norm, self.largest_norm)
        directions = F.normalize(embeddings)
        own = add_angle(self.own_cosine(directions, labels), self.margins(norm))
        softmax = self.cross_entropy(directions, labels, own).mean()
        magnitude = (1.0 / norm + norm / self.largest_norm**2).mean()
        self.terms = {"softmax": softmax.detach(), "magnitude": magnitude.detach()}
        return softmax + self.norm_weight * magnitude
