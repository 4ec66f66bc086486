"""The contrastive loss."""

import torch
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.pairs import PairLoss, genuine_and_impostor, mean_or_zero, squared_distances


class Contrastive(PairLoss):
    """Contrastive loss (Hadsell, Chopra, LeCun, CVPR 2006, eq. 4): genuine pairs together, impostors apart.

    With d the Euclidean distance of two L2-normalised embeddings, a genuine pair costs d^2 / 2 and an
    impostor pair max(0, margin - d)^2 / 2. All pairs of the batch are taken. The loss is the mean over the
    genuine pairs plus the mean over the impostor pairs, so that each kind counts the same.

    The paper normalises nothing and leaves the choice of pairs open; both are chosen here.

    Args:
        num_classes: C, 2 or more.
        embedding_size: D, 2 or more.
        margin: the distance beyond which an impostor pair costs nothing, 0 to 2.

    Raises:
        UserError: an argument outside its range.
    """

    def __init__(self, num_classes: int, embedding_size: int, *, margin: float = 1.0):
        super().__init__(num_classes, embedding_size)
        require_range("loss.margin", margin, 0.0, 2.0)
        self.margin = margin

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean over genuine pairs + mean over impostor pairs; 0 for a single embedding."""
        squared = squared_distances(embeddings)
        genuine, impostor = genuine_and_impostor(labels)
        short = (self.margin - torch.sqrt(squared[impostor])).clamp_min(0.0)
        return 0.5 * (mean_or_zero(squared[genuine]) + mean_or_zero(short**2))
