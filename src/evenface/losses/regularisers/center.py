"""Center loss."""

import torch
from torch import Tensor

from evenface.errors import require_range
from evenface.losses.centre_head import CentreHead
from evenface.losses.regularisers.base import Regulariser


class CenterLoss(Regulariser):
    """Center loss (Wen et al., ECCV 2016, eq. 2): embeddings to the moving mean of their class.

    The mean over the batch of |x_i - c_{y_i}|^2 / 2. The paper sums over the batch, here and in the softmax;
    both are means in this library, so `weight` is the paper's lambda. The centres c are its own, not the
    loss's; they start at zero, no gradient reaches them, and after each call in training mode they move by
    eq. 4 with the batch's n_j samples of each class j:

        c_j <- c_j - alpha sum_{y_i = j} (c_j - x_i) / (1 + n_j)

    Args:
        num_classes: C of the loss.
        embedding_size: D of the loss.
        weight: 0 or more; the paper's is 0.003, for embeddings that are not normalised.
        alpha: how fast the centres move, 0 to 1.

    Attributes:
        centres: buffer (P, embedding_size) of the P classes that this process holds.

    Raises:
        UserError: an argument outside its range.
    """

    PER_CLASS = ("centres",)

    centres: Tensor

    def __init__(self, num_classes: int, embedding_size: int, *, weight: float = 0.003, alpha: float = 0.5):
        super().__init__(num_classes, embedding_size, weight=weight)
        require_range("regularisers.center.alpha", alpha, 0.0, 1.0)
        self.alpha = alpha
        self.register_buffer("centres", torch.zeros(len(self.classes), embedding_size))

    def forward(self, embeddings: Tensor, labels: Tensor, head: CentreHead) -> Tensor:
        """Half the mean squared distance to the centres, which move afterwards."""
        difference = embeddings - self.classes.of(self.centres, labels).to(embeddings)
        if self.training:
            _, place, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
            counts = sizes[place]
            step = self.alpha * difference.detach() / (1 + counts)[:, None]
            position = self.classes.position(labels)
            held = position >= 0
            self.centres.index_add_(0, position[held], step[held].to(self.centres))
        return 0.5 * difference.square().sum(dim=1).mean()
