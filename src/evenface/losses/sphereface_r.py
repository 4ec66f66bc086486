"""SphereFace-R."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range, unknown
from evenface.losses.cosine_head import CosineHead, log1pexp

VERSIONS = ("v1", "v2")


class SphereFaceR(CosineHead):
    """SphereFace-R (Liu et al., TPAMI 45(2), 2023, table 1): an angle margin that trains without annealing.

    Embeddings are normalised too (the paper's hard feature normalisation), and the margin falls over the
    whole range of angles in one of two ways:

        v1: the target's cosine becomes cos(min(m angle, pi)), rivals keep theirs
        v2: a rival's cosine becomes cos(angle / m), the target keeps its own

    The gradient passes the margin as if it were a constant shift of the cosine (the paper's characteristic
    gradient detachment). The defaults are the authors' configuration of v2, which also multiplies the loss by
    50 / s; that is left out.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        margin: m, 1 to 8; 1 is no margin.
        version: "v1" or "v2".

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        *,
        scale: float = 60.0,
        margin: float = 1.4,
        version: Literal["v1", "v2"] = "v2",
    ):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 1.0, 8.0)
        if version not in VERSIONS:
            raise unknown("loss.version", version, VERSIONS)
        self.margin = margin
        self.version = version

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of s * cosine with the margin on one side, its gradient that of no margin."""
        directions = F.normalize(embeddings)
        own = self.own_cosine(directions, labels)
        if self.version == "v1":
            changed = (self.margin * own.detach().acos()).clamp(max=math.pi).cos()
            return self.cross_entropy(directions, labels, own + (changed - own).detach()).mean()
        rivals = self.rivals(directions, labels, self.rival_logit)
        return log1pexp(rivals - self.scale * own).mean()

    def rival_logit(self, cosine: Tensor) -> Tensor:
        """s cos(angle / m), with the slope of s cos(angle)."""
        changed = (cosine.detach().clamp(-1.0, 1.0).acos() / self.margin).cos()
        return self.scale * (cosine + (changed - cosine).detach())
