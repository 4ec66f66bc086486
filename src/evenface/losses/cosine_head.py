"""What losses over scaled cosines share."""

import torch.nn.functional as F
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.centre_head import CentreHead

# Keeps arccos and sqrt(1 - cosine^2) differentiable: their slope at the clamp is about 700, not infinite.
COSINE_LIMIT = 1.0 - 1e-6


class CosineHead(CentreHead):
    """Cross-entropy over scaled cosines; an additive-margin loss overrides `target_cosine`.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        scale: s, greater than 0: the logits are s times the cosines.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, scale: float):
        super().__init__(num_classes, embedding_size)
        require_range("loss.scale", scale, 1e-3, 1e6)
        self.scale = scale

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """What becomes of the cosine (N,) between each embedding and its own class's centre."""
        return cosine

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of s * cosine, the target's cosine replaced by `target_cosine` of it."""
        directions = F.normalize(embeddings)
        own = self.target_cosine(self.own_cosine(directions, labels))
        return self.cross_entropy(directions, labels, own).mean()

    def cross_entropy(self, directions: Tensor, labels: Tensor, own: Tensor) -> Tensor:
        """(N,) of s * cosine, with s * own (N,) as the target's logits."""
        rivals = self.rivals(directions, labels, scale=self.scale)
        return log1pexp(rivals - self.scale * own)


def log1pexp(value: Tensor) -> Tensor:
    """log(1 + exp(value)): of the rivals' logsumexp less the target's logit it is the cross-entropy."""
    return F.softplus(value, threshold=40.0)  # beyond which float64 does not see the 1
