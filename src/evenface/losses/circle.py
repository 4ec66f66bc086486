"""Circle loss with class centres."""

import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.cosine_head import CosineHead, log1pexp


class Circle(CosineHead):
    """Circle loss (Sun et al., CVPR 2020, eq. 5 and 6), class-level: the rest to go weighs each similarity.

    Cross-entropy of the logits s (1 + m - c_iy) (c_iy - (1 - m)) for the target and
    s max(0, c_ij + m) (c_ij - m) for a rival; the first factor of each is a weight, a constant to the
    gradient (the paper's eq. 10). Target and rival are alike where c_ij^2 + (1 - c_iy)^2 = 2 m^2: a circle.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, the paper's gamma, greater than 0.
        margin: m, cosine, 0 to 1.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float = 256.0, margin: float = 0.25):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.margin", margin, 0.0, 1.0)
        self.margin = margin

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the weighted logits."""
        directions, m = F.normalize(embeddings), self.margin
        own = self.own_cosine(directions, labels)
        near = self.scale * (1.0 + m - own.detach()) * (own - (1.0 - m))
        return log1pexp(self.rivals(directions, labels, self.rival_logit) - near).mean()

    def rival_logit(self, cosine: Tensor) -> Tensor:
        """s max(0, c + m) (c - m), the first factor a constant."""
        return self.scale * (cosine.detach() + self.margin).clamp(min=0.0) * (cosine - self.margin)
