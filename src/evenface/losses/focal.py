"""Focal loss over scaled cosines."""

import torch
import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.cosine_head import CosineHead


class Focal(CosineHead):
    """Focal loss (Lin et al., ICCV 2017, eq. 4), with the probability p of a softmax over scaled cosines.

    -(1 - p)^gamma log p: samples that are classified well count less. The paper has no cosines and so gives
    no scale; the default is that of `NormalizedSoftmax`, which gamma = 0 is.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0.
        gamma: 0 to 10.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float = 20.0, gamma: float = 2.0):
        super().__init__(num_classes, embedding_size, scale=scale)
        require_range("loss.gamma", gamma, 0.0, 10.0)
        self.gamma = gamma

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean of -(1 - p)^gamma log p."""
        directions = F.normalize(embeddings)
        surprise = self.cross_entropy(directions, labels, self.own_cosine(directions, labels))
        # 1 - p by expm1, exact near p = 1; off 0, where a power below 1 has an infinite slope.
        missing = (-torch.expm1(-surprise)).clamp(min=torch.finfo(surprise.dtype).tiny)
        return (missing**self.gamma * surprise).mean()
