"""ArcFace."""

import math

import torch
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.cosine_head import COSINE_LIMIT, CosineHead


def add_angle(cosine: Tensor, margin: Tensor) -> Tensor:
    """cos(angle + margin) of cosines (N,) and margins in radians, (N,) or (), going on falling beyond pi."""
    inside = cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT)
    added = inside * margin.cos() - torch.sqrt(1.0 - inside**2) * margin.sin()
    return torch.where(cosine > -margin.cos(), added, cosine - margin * margin.sin())


class ArcFace(CosineHead):
    """ArcFace (Deng et al., CVPR 2019, eq. 3): a margin added to the target's angle.

    Where angle + margin would pass pi, cos(angle + margin) would rise again; there the target's cosine is
    lowered by margin * sin(margin) instead, as the authors' code does, so the logit falls with the angle.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, radians, 0 to pi/2.
        detached: let the gradient pass the margin as if it were a constant shift of the cosine, as the
            authors' PyTorch code does in effect; False differentiates through the angle.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        detached: bool = False,
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 0.0, math.pi / 2)
        self.margin = margin
        self.detached = detached

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """cos(angle + margin), going on below as cosine - margin * sin(margin)."""
        changed = add_angle(cosine, cosine.new_full((), self.margin))
        return cosine + (changed - cosine).detach() if self.detached else changed
