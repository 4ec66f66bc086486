"""The two losses without a margin."""

import torch
from torch import Tensor, nn

from evenface.losses.centre_head import CentreHead
from evenface.losses.cosine_head import CosineHead, log1pexp


class Softmax(CentreHead):
    """Cross-entropy of an ordinary linear classifier: W x + b, nothing normalised.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.

    Raises:
        UserError: an argument outside its range.
    """

    PER_CLASS = ("centres", "bias")

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__(num_classes, embedding_size)
        self.bias = nn.Parameter(torch.zeros(len(self.classes)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy."""
        own = (embeddings * self.own(labels)).sum(dim=1) + self.own(labels, "bias")
        rivals = self.rivals(embeddings, labels, raw=True, bias="bias")
        return log1pexp(rivals - own).mean()


class NormalizedSoftmax(CosineHead):
    """NormFace (Wang et al., ACM MM 2017, eq. 5): softmax over scaled cosines, no margin.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0. 16 to 20 does best for small training sets; 64 trains poorly.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float = 20.0):
        super().__init__(num_classes, embedding_size, scale=scale)
